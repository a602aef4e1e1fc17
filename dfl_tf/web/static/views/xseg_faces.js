// The faces of a side: which are shown, which comes next, and the strip of small images.
import { fill, h } from "../dom.js";

const LOOK_MS = 1000;
const AROUND = innerWidth < 700 ? 2 : 4; // small images on each side of the current one
const UNKNOWN = "?";
const NO_FACE = "x";
export const FILTERS = { all: "all faces", unlabeled: "only unlabeled", labeled: "only labeled" };

export class Faces {
  constructor(page, side, calls) {
    Object.assign(this, { page, side, calls });
    this.filter = "all";
    this.index = -1;
    this.faces = [];
    this.marks = [];
    this.strip = h("div", { class: "strip", role: "group", "aria-label": "Faces around this one" });
    this.buttons = new Map();
    this.counted = h("p", { class: "dim counted", role: "status" });
    page.on("xseg", ({ side: of, face, mark }) => {
      const index = this.positions?.get(face);
      if (of === side && index !== undefined) this.note(index, mark);
      if (of === side && mark !== NO_FACE) calls.changed(face);
    });
  }

  async list() {
    const listed = await this.page.get(`faces/${this.side}`);
    this.edition = listed.edition;
    this.refusal = listed.refusal;
    this.faces = listed.faces;
    this.positions = new Map(listed.faces.map(([id], i) => [id, i]));
    this.marks = listed.faces.map(() => UNKNOWN);
    this.buttons.clear();
    this.look();
  }

  /** Ask which faces are labeled until all were looked at. */
  async look() {
    clearTimeout(this.timer);
    try {
      const told = await this.page.get(`marks/${this.side}`);
      if (this.ended) return;
      if (told.edition !== this.edition) return this.calls.outdated(); // files came or went
      const own = this.marks;
      this.marks = [...told.marks].map((mark, i) => (mark === UNKNOWN ? own[i] : mark));
      this.complete = told.complete;
    } catch {
      this.complete = false;
    }
    if (!this.ended && !this.complete) this.timer = setTimeout(() => this.look(), LOOK_MS);
    this.show();
    return undefined;
  }

  note(index, mark) {
    this.marks[index] = mark;
    this.show();
  }

  labeled(index) {
    return "13".includes(this.marks[index]);
  }

  matches(index, filter = this.filter) {
    const mark = this.marks[index];
    if (mark === NO_FACE) return false;
    if (filter === "labeled") return this.labeled(index);
    return filter === "all" || mark === "0" || mark === "2";
  }

  /** The face so many steps away that a filter lets through; the last one there is, if fewer. */
  step(steps, filter = this.filter, from = this.index) {
    const way = Math.sign(steps);
    let found = from;
    let left = Math.abs(steps);
    for (let i = from + way; left && i >= 0 && i < this.faces.length; i += way) {
      if (this.matches(i, filter)) {
        found = i;
        left -= 1;
      }
    }
    return found;
  }

  /** The neighbor with polygons, before (-1) or after (1); null if there is none. */
  neighbor(way) {
    const found = this.step(way, "labeled");
    return found === this.index ? null : found;
  }

  first() {
    return this.step(1, this.filter, -1);
  }

  show() {
    const number = this.faces.length;
    const counts = { labeled: 0, unlabeled: 0, masked: 0, unknown: 0 };
    for (const mark of this.marks) {
      if (mark === UNKNOWN) counts.unknown += 1;
      else if (mark !== NO_FACE) {
        counts[mark === "1" || mark === "3" ? "labeled" : "unlabeled"] += 1;
        counts.masked += mark === "2" || mark === "3";
      }
    }
    const looked = counts.unknown && !this.complete ? `; looking, ${counts.unknown} left` : "";
    this.counted.textContent = `${number} faces: ${counts.labeled} labeled, ${counts.unlabeled} not, ${counts.masked} with an applied mask${looked}`;
    this.counted.dataset.complete = String(Boolean(this.complete));
    const around = [];
    for (let i = 0, at = this.index; i < AROUND; i++) {
      const next = this.step(-1, this.filter, at);
      if (next === at) break;
      around.unshift(at = next);
    }
    around.push(this.index);
    for (let i = 0, at = this.index; i < AROUND; i++) {
      const next = this.step(1, this.filter, at);
      if (next === at) break;
      around.push(at = next);
    }
    fill(this.strip, around.filter((i) => i >= 0).map((i) => this.button(i)));
  }

  button(index) {
    const [id, name] = this.faces[index];
    let made = this.buttons.get(id);
    if (!made) {
      const image = h("img", { src: this.page.api(`thumbnail/${this.side}/${id}`), alt: "", width: 72, height: 72, draggable: false });
      made = h("button", { class: "small", tabIndex: -1, onclick: () => this.calls.go(this.positions.get(id)) }, image);
      this.buttons.set(id, made);
      if (this.buttons.size > 60) this.buttons.delete(this.buttons.keys().next().value);
    }
    made.classList.toggle("labeled", this.labeled(index));
    if (index === this.index) made.setAttribute("aria-current", "true");
    else made.removeAttribute("aria-current");
    made.setAttribute("aria-label", `${name}${this.labeled(index) ? ", labeled" : ""}`);
    made.title = name;
    return made;
  }

  end() {
    this.ended = true;
    clearTimeout(this.timer);
  }
}
