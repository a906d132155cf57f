// The page: a question goes out, a debate's events come in, and each part of the page draws what concerns it.

import { Past } from "./past.js";
import { Stage } from "./stage.js";
import { apply, begin, percent } from "./state.js";
import { drawOutcome, drawSupport } from "./verdict.js";
import { Voices, make } from "./voices.js";
import { Refused, call, follow, useKey } from "./wire.js";

const at = (id) => document.getElementById(id);
const cards = new Map();  // persona id -> display name
const names = (persona) => cards.get(persona) ?? persona;
const voices = new Voices(at("voices"), names);
const stage = new Stage(at("graph"), names, (seat) => voices.show(seat));
const past = new Past(at("past"), call, complain);

let shown = null;     // the AbortController of the debate on the page
let dirty = false;    // whether seats and support are to be drawn again with the next frame

// ---- asking -------------------------------------------------------------------------------------------------------

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question) return;
  at("send").disabled = true;
  complain(null);
  try {
    const { id } = await call("POST", "/v1/debates", { question, chorus: options() });
    location.hash = `#/debates/${encodeURIComponent(id)}`;
  } catch (error) {
    complain(error);
  } finally {
    at("send").disabled = false;
  }
});

at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});

at("stop").addEventListener("click", async () => {
  const debate = asked();
  if (debate) await call("POST", `/v1/debates/${encodeURIComponent(debate)}/cancel`).catch(complain);
});

function options() {
  const chosen = {};
  for (const name of ["personas", "topology", "decision"]) if (at(name).value) chosen[name] = at(name).value;
  for (const name of ["rounds", "seed"]) if (at(name).value !== "") chosen[name] = Number(at(name).value);
  return chosen;
}

// ---- watching -----------------------------------------------------------------------------------------------------

function asked() {
  return decodeURIComponent(location.hash.match(/^#\/debates\/(.+)$/)?.[1] ?? "");
}

async function open() {
  shown?.abort();
  const debate = asked();
  at("welcome").hidden = Boolean(debate);
  at("debate").hidden = !debate;
  at("stop").hidden = true;
  complain(null);
  say("");
  if (!debate) return;
  const mine = (shown = new AbortController());
  const seen = [];
  try {
    const watched = watching(debate);
    await follow(debate, (event) => { seen.push(event); watched.take(event); }, mine.signal, () => say("The connection was lost; taking it up again."));
    if (!mine.signal.aborted && watched.state.record) await conclude(debate, watched.state, seen, mine.signal);
  } catch (error) {
    if (!mine.signal.aborted) complain(error);
  } finally {
    if (shown === mine) at("stop").hidden = true;
  }
}

// Returns a fresh state, and what takes each event into it and onto the page.
function watching(debate) {
  const state = begin();
  at("outcome").replaceChildren(make("p", "waiting", "Still being argued."));
  at("support").replaceChildren();
  const take = (event) => {
    if (event.event === "turn_delta") {
      apply(state, event);
      voices.append(state, event);
      return;
    }
    apply(state, event);
    draw(state, event);
  };
  return { state, take, debate };
}

function draw(state, event) {
  if (event.event === "convened") {
    at("asked").textContent = state.question;
    document.title = `${state.question.slice(0, 60)} · greek-chorus`;
    at("stop").hidden = false;
    stage.set(state);
    voices.set(state);
    say(`${state.seats.length} voices convene.`);
  } else if (event.event === "turn_started") {
    stage.light(state, event);
  } else if (event.event === "turn_finished") {
    const { seat, persona, position, flipped_from: before } = event.turn;
    if (position) say(`${names(persona)} ${before ? `changes from ${before} to` : "says"} ${position.answer}.`);
    else say(`${names(persona) || seat} has spoken.`);
  }
  const turn = state.turns.get(typeof event.turn === "string" ? event.turn : event.turn?.id);
  if (turn) voices.refresh(state, turn);
  redraw(state);
}

function redraw(state) {
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => {
    dirty = false;
    stage.refresh(state);
    voices.recolour(state);
    drawSupport(at("support"), state);
  });
}

async function conclude(debate, state, seen, signal) {
  const { record } = state;
  const name = encodeURIComponent(debate);
  const stored = await past.find(debate).catch(() => null);
  if (signal.aborted) return;
  drawOutcome(at("outcome"), state, {
    review: stored?.needs_review?.reasons,
    explain: () => explain(name),
    again: () => again(debate, seen),
  });
  redraw(state);
  const sure = `, ${percent(record.confidence)} sure`;
  say(record.answer == null ? `No answer: ${record.reason}` : `The answer: ${record.answer.slice(0, 200)}${sure}.`);
  past.refresh();
}

async function explain(name) {
  try {
    at("outcome").append(make("pre", "explanation", await past.text(`/v1/debates/${name}/explanation`)));
  } catch (error) {
    complain(error);
  }
}

// Plays the events once more at the pace they came, long silences shortened.
async function again(debate, seen) {
  shown?.abort();
  const mine = (shown = new AbortController());
  const watched = watching(debate);
  let clock = 0;
  for (const event of seen) {
    const wait = Math.min((event.at ?? 0) - clock, 1.5);
    clock = event.at ?? clock;
    if (wait > 0.004) await new Promise((done) => setTimeout(done, 1000 * wait));
    if (mine.signal.aborted) return;
    watched.take(event);
    at("stop").hidden = true;
  }
  await conclude(debate, watched.state, seen, mine.signal);
}

// ---- words and looks ----------------------------------------------------------------------------------------------

function say(words) { at("status").textContent = words; }

function complain(error) {
  at("fault").hidden = !error;
  at("fault").textContent = error ? error.message : "";
  if (error instanceof Refused && (error.status === 401 || error.status === 403)) at("key-row").hidden = false;
}

at("key-save").addEventListener("click", () => {
  useKey(at("key").value.trim());
  at("key").value = "";
  at("key-row").hidden = true;
  complain(null);
  introduce();
  open();
});

function dress(theme) {
  document.documentElement.dataset.theme = theme;
  at("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

at("theme").addEventListener("click", () => {
  const theme = at("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
  dress(theme);
  try { localStorage.setItem("chorus-theme", theme); } catch { /* remembered for this page only */ }
});

async function introduce() {
  try {
    const { data } = await call("GET", "/v1/personas");
    at("cast").replaceChildren(...[...new Set(data.map(({ pack }) => pack)), ...data.map(({ id }) => id)].filter(Boolean).map((value) => {
      const option = make("option");
      option.value = value;
      return option;
    }));
    for (const { id, name } of data) cards.set(id, name);
  } catch (error) {
    complain(error);
  }
}

let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
try { theme = localStorage.getItem("chorus-theme") ?? theme; } catch { /* the system's then */ }
dress(theme);
addEventListener("hashchange", open);
await introduce();
open();
