// One card a seat: what it is saying now, and what it said in earlier rounds. Text of a model is only ever text.

import { percent, turnsOf } from "./state.js";

export class Voices {
  constructor(box, names) {
    this.box = box;
    this.names = names;
    this.cards = new Map();
  }

  set(state) {
    this.box.replaceChildren();
    this.cards.clear();
    for (const { seat, persona } of state.seats) this.#card(seat, this.names(persona));
  }

  // The quick way for the next words of a turn; everything else goes through `refresh`.
  append(state, { turn: id, text }) {
    const turn = state.turns.get(id), card = turn && this.#cardOf(turn);
    if (!card) return;
    const said = card.turns.get(id)?.querySelector(".said");
    if (!said) return this.refresh(state, turn);
    const follows = card.root.scrollHeight - card.root.scrollTop - card.root.clientHeight < 40;
    said.append(text);
    if (follows) card.root.scrollTop = card.root.scrollHeight;
  }

  refresh(state, turn) {
    const card = this.#cardOf(turn);
    const standing = state.answerOf.get(turn.seat);
    card.root.dataset.colour = standing === undefined ? "none" : String(state.colours.get(standing));
    const drawn = draw(turn);
    card.turns.get(turn.id)?.replaceWith(drawn);
    if (!card.turns.has(turn.id)) card.list.append(drawn);
    card.turns.set(turn.id, drawn);
    card.root.classList.toggle("speaking", turnsOf(state, turn.seat).some(({ status }) => status === "speaking"));
  }

  recolour(state) {
    for (const [seat, card] of this.cards) {
      const standing = state.answerOf.get(seat);
      card.root.dataset.colour = standing === undefined ? "none" : String(state.colours.get(standing));
    }
  }

  show(seat) {
    const root = this.cards.get(seat)?.root;
    root?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    root?.focus({ preventScroll: true });
  }

  #cardOf(turn) {
    // Judges and coordinators have no seat; they get a card when they speak.
    return this.cards.get(turn.seat) ?? this.#card(turn.seat, this.names(turn.persona));
  }

  #card(seat, name) {
    const root = make("article", "card"), heading = make("h3", "", name), list = make("ol", "turns");
    root.tabIndex = 0;
    root.setAttribute("aria-label", name);
    root.append(heading, list);
    this.box.append(root);
    const card = { root, list, turns: new Map() };
    this.cards.set(seat, card);
    return card;
  }
}

const KINDS = { ballot: "ballot", check: "check", ruling: "ruling", synthesis: "synthesis" };

function draw(turn) {
  const item = make("li", `turn ${turn.status}`);
  const head = make("p", "mark");
  head.append(make("span", "round", KINDS[turn.kind] ?? `round ${turn.round}`));
  if (turn.heard?.length) head.append(make("span", "heard", `heard ${turn.heard.join(", ")}`));
  if (turn.flippedFrom) head.append(make("span", "flip", `↻ changed from ${turn.flippedFrom}`));
  item.append(head, make("p", "said", turn.text));
  if (turn.status === "failed" || turn.status === "cancelled") item.append(make("p", "reason", `${turn.status}: ${turn.reason ?? ""}`));
  if (turn.position) {
    const of = turn.kind === "check" ? "right" : "sure";
    const sure = turn.position.confidence == null ? "" : ` · ${percent(turn.position.confidence)} ${of}`;
    item.append(make("p", "position", `${turn.position.answer}${sure}`));
  }
  return item;
}

export function make(tag, kind = "", text = null) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== null) made.textContent = text;
  return made;
}
