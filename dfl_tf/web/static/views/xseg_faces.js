// The faces of a side: which are shown, which comes next, and the strip of small images.
import { button, fill, group, h } from "../dom.js";

const LOOK_MS = 1000;
const AROUND = innerWidth < 700 ? 2 : 4; // small images on each side of the current one
const UNKNOWN = "?";
const NO_FACE = "x";
export const FILTERS = { all: "all faces", unlabeled: "only unlabeled", labeled: "only labeled" };

export class Faces {
  /** `view` is the editor: it goes to a face, and hears of faces that were changed elsewhere. */
  constructor(view) {
    Object.assign(this, { view, page: view.page, side: view.side });
    this.filter = "all";
    this.index = -1;
    this.noted = new Set(); // what was heard of since marks were asked for is newer than the answer
    this.strip = group("Faces around this one");
    this.strip.classList.add("strip");
    this.buttons = new Map();
    this.counted = h("p.dim.counted", { role: "status" });
    this.page.on("xseg", ({ side, face, mark }) => {
      if (side !== this.side) return;
      const index = this.positions?.get(face);
      if (index !== undefined) this.note(index, mark);
      if (mark !== NO_FACE) view.refresh(face);
    });
  }

  async list() {
    const { edition, refusal, faces } = await this.page.get(`faces/${this.side}`);
    Object.assign(this, { edition, refusal, faces });
    this.positions = new Map(faces.map(([id], i) => [id, i]));
    this.marks = faces.map(() => UNKNOWN);
    this.buttons.clear();
    this.look();
  }

  /** Ask which faces are labeled until all were looked at. */
  async look() {
    this.noted.clear();
    try {
      const told = await this.page.get(`marks/${this.side}`);
      if (told.edition !== this.edition) {
        this.view.relist(); // files came or went
        return;
      }
      this.marks = [...told.marks].map((mark, i) => (mark === UNKNOWN || this.noted.has(i) ? this.marks[i] : mark));
      this.complete = told.complete;
    } catch {
      this.complete = false;
    }
    if (!this.complete) this.page.later("marks", LOOK_MS, () => this.look());
    this.show();
  }

  note(index, mark) {
    this.marks[index] = mark;
    this.noted.add(index);
    this.show();
  }

  labeled(index) {
    return "13".includes(this.marks[index]);
  }

  matches(index, filter = this.filter) {
    const mark = this.marks[index];
    if (filter === "all") return mark !== NO_FACE;
    return filter === "labeled" ? this.labeled(index) : "02".includes(mark);
  }

  /** The next faces in a direction that a filter lets through, at most so many. */
  passing(way, most, filter = this.filter, from = this.index) {
    const found = [];
    for (let i = from + way; found.length < most && i >= 0 && i < this.faces.length; i += way) {
      if (this.matches(i, filter)) found.push(i);
    }
    return found;
  }

  /** The face so many steps away that a filter lets through; the last one there is, if fewer. */
  step(steps, filter = this.filter) {
    return this.passing(Math.sign(steps), Math.abs(steps), filter).at(-1) ?? this.index;
  }

  /** The next one in a direction, if there is one. */
  next(way, filter, from) {
    return this.passing(way, 1, filter, from)[0];
  }

  show() {
    const count = (marks) => this.marks.filter((mark) => marks.includes(mark)).length;
    const unknown = count(UNKNOWN);
    const looked = unknown && !this.complete ? `; looking, ${unknown} left` : "";
    this.counted.textContent = `${this.faces.length} faces: ${count("13")} labeled, ${count("02")} not, ${count("23")} with an applied mask${looked}`;
    this.counted.dataset.complete = String(Boolean(this.complete));
    const around = [...this.passing(-1, AROUND).reverse(), this.index, ...this.passing(1, AROUND)];
    fill(this.strip, around.filter((i) => i >= 0).map((i) => this.button(i)));
  }

  button(index) {
    const [id, name] = this.faces[index];
    let made = this.buttons.get(id);
    if (!made) {
      const image = h("img", { src: this.page.api(`thumbnail/${this.side}/${id}`), alt: "", width: 72, height: 72, draggable: false });
      made = button(image, () => this.view.go(this.positions.get(id)), { class: "small", tabIndex: -1, title: name });
      this.buttons.set(id, made);
      if (this.buttons.size > 60) this.buttons.delete(this.buttons.keys().next().value);
    }
    const labeled = this.labeled(index);
    made.classList.toggle("labeled", labeled);
    made.setAttribute("aria-current", String(index === this.index));
    made.setAttribute("aria-label", `${name}${labeled ? ", labeled" : ""}`);
    return made;
  }
}
