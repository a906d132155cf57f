// Talking to the server: JSON calls, and a debate's events as they come. The events are read with fetch, not EventSource,
// so that an API key can travel in a header; a broken connection is taken up again behind the last event seen.

const KEY = "chorus-key";

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export function useKey(secret) {
  try { secret ? sessionStorage.setItem(KEY, secret) : sessionStorage.removeItem(KEY); } catch { /* kept nowhere then */ }
}

function headers(more = {}) {
  let secret = null;
  try { secret = sessionStorage.getItem(KEY); } catch { /* storage is off */ }
  return secret ? { ...more, Authorization: `Bearer ${secret}` } : more;
}

export async function call(method, path, body, as = "json") {
  const sent = { method, headers: headers(body ? { "Content-Type": "application/json" } : {}) };
  if (body) sent.body = JSON.stringify(body);
  const reply = await fetch(path, sent);
  if (!reply.ok) throw new Refused(reply.status, await complaint(reply));
  return reply.status === 204 ? null : reply[as]();
}

async function complaint(reply) {
  try { return (await reply.json()).error.message; } catch { return `the server answered ${reply.status}`; }
}

// Calls `take(event)` for each event until the debate is over or `signal` aborts.
export async function follow(debate, take, signal, lost = () => {}) {
  let last = null, over = false, wait = 500;
  while (!over && !signal.aborted) {
    try {
      const resumed = last === null ? {} : { "Last-Event-ID": last };
      const reply = await fetch(`/v1/debates/${encodeURIComponent(debate)}/events`, { headers: headers(resumed), signal });
      if (!reply.ok) throw new Refused(reply.status, await complaint(reply));
      wait = 500;
      for await (const { id, data } of messages(reply.body)) {
        if (id !== null) last = id;
        const event = JSON.parse(data);
        if (event.error) throw new Refused(500, event.error.message);
        take(event);
        over = event.event === "decided";
      }
      if (last === null && !over) throw new Refused(404, "the debate left no events");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) throw error;
    }
    if (!over && !signal.aborted) {
      lost();
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(2 * wait, 8000);
    }
  }
}

// The messages of a server-sent stream (WHATWG HTML, section 9.2), as far as our server uses it.
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value.replaceAll("\r\n", "\n");
    let end;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const message = { id: null, data: [] };
      for (const line of held.slice(0, end).split("\n")) {
        if (line.startsWith("data:")) message.data.push(line.slice(5).trimStart());
        else if (line.startsWith("id:")) message.id = line.slice(3).trim();
      }
      held = held.slice(end + 2);
      if (message.data.length) yield { id: message.id, data: message.data.join("\n") };
    }
  }
}
