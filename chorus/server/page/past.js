// The list of past debates: newest first, those that need a person's eye marked.

import { make } from "./voices.js";
import { percent } from "./state.js";

export class Past {
  constructor(box, call, complain) {
    this.box = box;
    this.call = call;
    this.complain = complain;
    this.list = box.querySelector("ol");
    this.more = box.querySelector("#past-more");
    this.toggle = document.getElementById("past-toggle");
    this.toggle.addEventListener("click", () => this.#open(box.hidden));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#open(false);
    });
    this.more.addEventListener("click", () => this.#page(this.last).catch(complain));
    box.querySelector("#review-only").addEventListener("change", () => this.refresh());
  }

  refresh() {
    if (this.box.hidden) return;
    this.#page(null).catch(this.complain);
  }

  // What the list says of one debate; null where it is not kept.
  async find(debate) {
    const { data } = await this.call("GET", "/v1/debates?limit=50");
    return data.find(({ id }) => id === debate) ?? null;
  }

  async text(path) {
    return this.call("GET", path, null, "text");
  }

  #open(wanted) {
    this.box.hidden = !wanted;
    document.body.classList.toggle("with-past", wanted);
    this.toggle.setAttribute("aria-expanded", String(wanted));
    if (wanted) {
      this.refresh();
      this.box.querySelector("input").focus();
    } else {
      this.toggle.focus();
    }
  }

  async #page(before) {
    const only = this.box.querySelector("#review-only").checked ? "&needs_review=true" : "";
    const after = before ? `&before=${encodeURIComponent(before)}` : "";
    const { data, has_more: more } = await this.call("GET", `/v1/debates?limit=30${only}${after}`);
    if (!before) this.list.replaceChildren();
    for (const debate of data) this.list.append(line(debate));
    if (!this.list.children.length) this.list.append(make("li", "waiting", "None yet."));
    this.last = data.at(-1)?.id;
    this.more.hidden = !more;
  }
}

function line({ id, question, status, answer, confidence, needs_review: review, created }) {
  const item = make("li"), link = make("a", "", question);
  link.href = `#/debates/${encodeURIComponent(id)}`;
  const sure = answer == null ? status : `${answer.slice(0, 60)} · ${confidence == null ? status : percent(confidence)}`;
  item.append(link, make("span", "sure", sure));
  if (review) item.append(make("span", "review", `needs a person's eye: ${(review.reasons ?? []).join("; ")}`));
  const when = make("time", "", new Date(typeof created === "number" ? 1000 * created : created).toLocaleString());
  item.append(when);
  return item;
}
