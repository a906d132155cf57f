// Where support stands while they argue, and the outcome when they are done.

import { percent } from "./state.js";
import { make } from "./voices.js";

export function drawSupport(list, state) {
  const rows = new Map([...list.children].map((row) => [row.dataset.answer, row]));
  for (const { answer, share, seats } of state.support) {
    const row = rows.get(answer) ?? bar(answer);
    row.dataset.colour = String(state.colours.get(answer));
    row.querySelector(".share").textContent = percent(share);
    row.querySelector(".who").textContent = seats.join(", ");
    row.querySelector(".fill").style.width = percent(share);
    list.append(row);
    rows.delete(answer);
  }
  for (const row of rows.values()) row.remove();
}

function bar(answer) {
  const row = make("li");
  row.dataset.answer = answer;
  const track = make("span", "track");
  track.append(make("span", "fill"));
  row.append(make("span", "option", answer), make("span", "share"), track, make("span", "who"));
  return row;
}

export function drawOutcome(box, state, { explain, again, review }) {
  const record = state.record;
  box.replaceChildren();
  if (record.status === "failed") {
    box.append(make("p", "answer none", "No answer."), make("p", "reason", record.reason ?? ""));
  } else {
    const colour = state.colours.get(record.decision.support[0]?.answer);
    const answer = make("p", "answer", record.answer ?? "");
    answer.dataset.colour = colour === undefined ? "none" : String(colour);
    box.append(answer, make("p", "sure", `${percent(record.confidence)} sure · ${record.decision.rule}`));
    if (record.status === "cut") box.append(make("p", "reason", `The debate was cut short: ${record.reason ?? ""}`));
  }
  if (review) box.append(make("p", "review", `Needs a person's eye: ${review.join("; ")}`));
  if (record.dissent) box.append(...dissent(record.dissent));
  for (const note of [record.decision.tie, record.decision.note, ...record.notes]) {
    if (note) box.append(make("p", "note", note));
  }
  box.append(make("p", "cost", cost(record.usage)), tools(explain, again));
}

function dissent({ answer, share, seats, text }) {
  const quote = make("blockquote", "dissent");
  quote.append(make("p", "", text || "(said nothing)"), make("footer", "", seats.join(", ")));
  return [make("h3", "", `The dissent: ${answer} (${percent(share)})`), quote];
}

function cost({ calls, prompt_tokens: read, cached_tokens: cached, completion_tokens: written, wall_s: wall }) {
  return `${calls} calls · ${read} tokens read, ${cached} of them from the cache · ${written} written · ${wall.toFixed(1)} s`;
}

function tools(explain, again) {
  const row = make("p", "row");
  const why = make("button", "quiet", "Explain"), watch = make("button", "quiet", "Watch again");
  for (const [button, act] of [[why, explain], [watch, again]]) {
    button.type = "button";
    button.addEventListener("click", act);
  }
  row.append(why, watch);
  return row;
}
