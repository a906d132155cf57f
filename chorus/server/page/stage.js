// The seats on their graph. An edge lights when its hearer begins a turn for which it heard the speaker.

import { turnsOf } from "./state.js";

const SVG = "http://www.w3.org/2000/svg";
const CENTRE = { x: 320, y: 205 }, REACH = { x: 235, y: 145 }, RADIUS = 30;

export class Stage {
  constructor(svg, names, choose) {
    this.svg = svg;
    this.names = names;
    this.choose = choose;
    this.seats = new Map();
    this.edges = new Map();
  }

  set(state) {
    this.svg.replaceChildren(arrowHead());
    this.seats.clear();
    this.edges.clear();
    const places = new Map(state.seats.map(({ seat }, i) => [seat, place(i, state.seats.length)]));
    const edges = this.svg.appendChild(element("g", { class: "edges", "aria-hidden": "true" }));
    for (const { from, to } of state.edges) {
      const line = element("path", { class: "edge", d: curve(places.get(from), places.get(to)), "marker-end": "url(#arrow)" });
      this.edges.set(`${from}\n${to}`, edges.appendChild(line));
    }
    for (const { seat, persona } of state.seats) this.#seat(seat, this.names(persona), places.get(seat));
  }

  light(state, started) {
    for (const id of started.heard) {
      const from = state.turns.get(id)?.seat;
      const line = this.edges.get(`${from}\n${started.seat}`);
      if (!line) continue;
      line.classList.remove("lit");
      line.getBoundingClientRect();  // so that the animation starts anew
      line.classList.add("heard", "lit");
    }
  }

  refresh(state) {
    for (const [seat, parts] of this.seats) {
      const turns = turnsOf(state, seat), last = turns.at(-1);
      const answer = state.answerOf.get(seat);
      const flips = turns.filter((turn) => turn.flippedFrom).length;
      const colour = answer === undefined ? "none" : String(state.colours.get(answer));
      parts.group.dataset.colour = colour;
      parts.group.classList.toggle("speaking", last?.status === "speaking");
      parts.group.classList.toggle("failed", last?.status === "failed");
      parts.group.classList.toggle("flipped", flips > 0);
      parts.answer.textContent = answer === undefined ? "" : short(answer);
      parts.flip.textContent = flips ? "↻".repeat(Math.min(flips, 3)) : "";
      parts.group.setAttribute("aria-label", describe(parts.name, last, answer, flips));
    }
  }

  #seat(seat, name, { x, y }) {
    const group = element("g", { class: "seat", tabindex: "0", role: "button", transform: `translate(${x} ${y})` });
    group.append(
      element("circle", { class: "halo", r: RADIUS + 7 }),
      element("circle", { class: "body", r: RADIUS }),
      words("initials", 0, 6, initials(name)),
      words("name", 0, RADIUS + 20, name),
    );
    const answer = group.appendChild(words("held", 0, RADIUS + 37, ""));
    const flip = group.appendChild(words("flip", RADIUS - 2, -RADIUS + 6, ""));
    const choose = () => this.choose(seat);
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
    });
    this.seats.set(seat, { group, answer, flip, name });
    this.svg.append(group);
  }
}

function describe(name, last, answer, flips) {
  const doing = { speaking: "speaking", failed: "failed", cancelled: "stopped" }[last?.status] ?? (last ? "has spoken" : "waiting");
  const stands = answer === undefined ? "" : `, stands for ${answer}`;
  return `${name}: ${doing}${stands}${flips ? `, changed its mind ${flips === 1 ? "once" : `${flips} times`}` : ""}`;
}

function place(index, count) {
  if (count === 1) return CENTRE;
  const angle = -Math.PI / 2 + (2 * Math.PI * index) / count;
  return { x: CENTRE.x + REACH.x * Math.cos(angle), y: CENTRE.y + REACH.y * Math.sin(angle) };
}

// Bent to one side, so that the two edges between a pair of seats lie apart; cut short at the rims.
function curve(a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y], length = Math.hypot(dx, dy) || 1;
  const bend = { x: (a.x + b.x) / 2 - (dy / length) * 26, y: (a.y + b.y) / 2 + (dx / length) * 26 };
  const start = toward(a, bend, RADIUS + 8), end = toward(b, bend, RADIUS + 13);
  return `M${start.x.toFixed(1)} ${start.y.toFixed(1)}Q${bend.x.toFixed(1)} ${bend.y.toFixed(1)} ${end.x.toFixed(1)} ${end.y.toFixed(1)}`;
}

function toward(from, to, by) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return { x: from.x + ((to.x - from.x) * by) / length, y: from.y + ((to.y - from.y) * by) / length };
}

function arrowHead() {
  const marker = element("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" });
  marker.append(element("path", { d: "M0 0L8 4L0 8Z", class: "tip" }));
  const defs = element("defs", {});
  defs.append(marker);
  return defs;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function words(kind, x, y, text) {
  const made = element("text", { class: kind, x, y, "text-anchor": "middle" });
  made.textContent = text;
  return made;
}

function initials(name) {
  return name.replace(/^The /, "").split(/\s+/).map((word) => word[0] ?? "").join("").slice(0, 2).toUpperCase();
}

function short(text) {
  const flat = text.replace(/\s+/g, " ");
  return flat.length > 22 ? `${flat.slice(0, 21)}…` : flat;
}
