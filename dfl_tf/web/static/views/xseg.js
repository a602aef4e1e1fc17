// The XSeg editor: polygons on faces, saved at once into the files that they were drawn on.
import { button, fill, group, h, press, row, select } from "../dom.js";
import { Jobs } from "../jobs.js";
import { FrameBar } from "../view.js";
import { Board, COLORS, imageOf } from "./xseg_board.js";
import { Drafts } from "./xseg_drafts.js";
import { Drawing } from "./xseg_drawing.js";
import { Faces, FILTERS } from "./xseg_faces.js";
import { KnownFaces } from "./xseg_known.js";
import { Pointers } from "./xseg_pointer.js";
import { Saver } from "./xseg_saving.js";
import { EXCLUDE, FEWEST, INCLUDE } from "./xseg_shapes.js";

const SAVED = { saved: ["saved", "good"], saving: ["saving…", "dim"], "": ["", "dim"] };
const SIDE = "dfl-tf-xseg-side";

export const styles = true;

export default class Editor extends Drawing {
  static title = "XSeg";

  /** Keys go by their place on the keyboard, so neither Caps Lock nor another layout changes them. */
  static keys = [
    ["Click", "on an outline: select it; elsewhere: first point of a new polygon"],
    ["Q W", "the next polygon (or the selected one) includes, excludes"],
    ["Enter, or click the first point", "close the polygon"],
    ["← ↑ → ↓, or drag", "move the point, else the polygon: by one pixel, with Shift ten"],
    ["Ctrl + click, or P", "delete the point, or insert one on the edge"],
    ["Delete", "remove the selected polygon"],
    ["Ctrl + Z, Ctrl + Shift + Z", "undo, redo; without limit, for each face"],
    ["Shift while drawing", "the pointer stays in the middle, the image moves"],
    ["Esc", "give up the polygon under way, or the selection"],
    ["A D", "previous, next face (Shift: 5 faces; Ctrl: labeled faces)"],
    ["F", "all, only unlabeled, only labeled faces"],
    ["X", "move this face to the trash folder, go on with the next"],
    ["1 2 3", "red, green, blue outlines"],
    ["4 5", "polygons as a mask; the applied mask"],
    ["`", "darken what lies outside of the applied mask"],
    ["M", "polygons from the applied mask"],
    ["C, Shift + C", "copy from the labeled face before, after"],
    ["Wheel, + − 0", "zoom, fit (kept from face to face)"],
    ["Middle button, Space + drag, two fingers", "move the image"],
    ["F1, H", "these keys"],
  ];

  constructor(page) {
    super(page);
    this.saver = new Saver(this);
  }

  async load() {
    const { page } = this;
    this.sides = await page.get("sides");
    const side = page.rest[0] ?? localStorage.getItem(SIDE) ?? "dst";
    this.side = this.sides.some((each) => each.side === side) ? side : "dst";
    this.known = new KnownFaces(this);
    this.faces = new Faces(this);
    await this.faces.list();
    this.jobs = new Jobs(page, {
      wanted: (kind) => kind.startsWith("xseg-"), side: this.side, looked: (job, before) => this.worked(job, before),
    });
    await this.jobs.load();
  }

  async shown() {
    if (this.faces.refusal) for (const each of this.page.element.querySelectorAll(".stage .write, .this .write")) each.disabled = true;
    this.page.on("hello", () => this.saver.retry());
    this.listen("keyup", (event) => this.keyUp(event));
    this.listen("beforeunload", (event) => { if (this.saver.busy.size) event.preventDefault(); });
    this.listen("focus", () => this.refresh());
    await this.known.bringDrafts();
    this.go(this.faces.positions.get(this.page.rest[1]) ?? this.faces.next(1, undefined, -1));
  }

  end() {
    this.leaveFace();
    this.abort?.abort();
    this.saver.release();
  }

  /** Which side is shown can be chosen even where its faces cannot be listed. */
  aside() {
    return this.sides && select("Faces of", this.sides.map(({ side }) => [side, side]), (side) => this.page.go(`xseg/${side}`), this.side);
  }

  build() {
    const { faces, jobs } = this;
    this.toggles = []; // buttons, and whether they are pressed
    const toggle = (title, key, on, props) => {
      const made = this.keyed(title, key, props);
      this.toggles.push([made, on]);
      return made;
    };
    const write = { class: "write" };
    const kind = (title, key, value) => toggle(title, key, () => this.kind === value, write);
    const view = (title, key, name) => toggle(title, key, () => this.view === name);
    const color = ([name, value], i) => {
      const made = toggle("", `Digit${i + 1}`, () => this.color === name, { class: "color", "aria-label": `${name} outlines` });
      made.style.color = value;
      return made;
    };
    this.board = new Board(this);
    this.pointers = new Pointers(this.board, this);
    this.board.element.append(this.refused = h("div.refused", { hidden: true, role: "alert" }), h("div.told", this.told = h("span")));
    this.undoing = this.keyed("Undo", "Ctrl+KeyZ", write);
    this.redoing = this.keyed("Redo", "Ctrl+KeyY", write);
    this.removing = this.keyed("Delete", "Delete", write);
    this.status = h("span.saved", { role: "status" });
    this.name = h("span.name");
    this.bar = new FrameBar("Face", (number) => this.go(number - 1));
    this.filter = select("Filter", FILTERS, (filter) => this.setFilter(filter));
    for (const each of [this.bar.number, this.filter]) each.addEventListener("change", () => each.blur()); // keys are the face's again
    this.drafts = new Drafts(this);
    return [
      faces.refusal && h("p.warn.refusal", faces.refusal),
      h("div.sides",
        h("section.stage", { "aria-label": "Face" },
          h("div.row.bar",
            group("Kind of polygon", kind("Include", "KeyQ", INCLUDE), kind("Exclude", "KeyW", EXCLUDE)),
            group("Change", this.undoing, this.redoing, this.removing,
              toggle("± Points", "KeyP", () => this.pointMode, { ...write, title: "P, or Ctrl held: delete and insert points" })),
            group("Color", Object.entries(COLORS).map(color)),
            group("View", view("Polygons", "Digit4", "baked"), view("Mask", "Digit5", "mask"), toggle("Overlay", "Backquote", () => this.overlay)),
            group("Zoom", this.keyed("−", "Minus", { "aria-label": "Zoom out" }), this.keyed("Fit", "Digit0"), this.keyed("+", "Equal", { "aria-label": "Zoom in" }))),
          this.board.element,
          h("div.row.below", this.keyed("◀", "KeyA", { "aria-label": "Face before" }), faces.strip, this.keyed("▶", "KeyD", { "aria-label": "Next face" })),
          h("div.row.frames", this.bar.slider, this.bar.number, this.bar.count, this.name, this.status, this.keyed("Keys", "F1"))),
        h("div.stack",
          h("section.panel", { "aria-label": "Faces" }, row(this.aside(), this.filter), faces.counted),
          h("section.panel.this", { "aria-label": "This face" },
            h("h2", "This face"),
            row(this.keyed("Polygons from the mask", "KeyM", write), this.keyed("Copy from before", "KeyC", write),
              button("Copy from after", () => this.copyFrom(1), { ...write, title: "Shift + C" }),
              this.keyed("To the trash", "KeyX", { class: "danger write" })),
            this.drafts.element),
          h("section.panel", { "aria-label": "Commands" }, h("h2", "Train on the labels, apply the masks"), jobs.kinds),
          jobs.forms, jobs.list)),
    ];
  }

  /** Show the face at a position. */
  async go(index) {
    if (this.ended) return;
    const found = this.faces.faces[index];
    if (!found) {
      this.tell(this.faces.filter === "all" ? "There is no face." : "No (further) face passes this filter.");
      return;
    }
    this.leaveFace();
    this.abort?.abort(); // of a key that is held, only the last face is read whole
    const { signal } = this.abort = new AbortController();
    this.faces.index = index;
    this.faces.show();
    const [id, name] = found;
    this.bar.show(index + 1, this.faces.faces.length);
    this.name.textContent = name;
    history.replaceState(null, "", `#/xseg/${this.side}/${id}`);
    localStorage.setItem(SIDE, this.side);
    try {
      const face = await this.known.read(this.side, id, signal);
      const img = await this.known.blob("image", face, signal).then(imageOf);
      if (signal.aborted) return;
      this.face = Object.assign(face, { img });
      this.tell("");
      if (face.masked) this.readMask(face);
    } catch (error) {
      if (signal.aborted) return;
      this.tell(error.message, true);
    }
    this.board.element.dataset.face = this.face ? id : "";
    if (this.face) this.saved(this.face);
    this.render();
  }

  /** Finish with a face: what is under way is kept from three points on, as in DeepFaceLab. */
  leaveFace() {
    const { face } = this;
    if (!face) return;
    this.pointers.giveUp();
    const { open, polygons } = face.history.now;
    if (open && this.editable) {
      const whole = open.points.length >= FEWEST;
      this.commit({ open: null, polygons: whole ? [...polygons, open] : polygons });
    }
    face.img = face.mask = null;
    this.face = null;
    this.board.element.dataset.mode = ""; // the old one is seen until the next one is there
    this.idle();
  }

  async readMask(face) {
    face.mask = await this.known.blob("mask", face).then(imageOf).catch(() => null);
    this.render();
  }

  /** Another page, or a command, may have written this face. */
  async refresh(id = this.face?.id) {
    const { face } = this;
    if (!face || face.id !== id || face.sending) return;
    const info = await this.known.ask(face).catch(() => null); // else the next write says what is wrong
    if (!info || face !== this.face || info.hash === face.hash) return;
    if (info.image !== face.image) {
      if (!this.saver.busy.has(face) && face.status?.state !== "refused") this.go(this.faces.index);
      return;
    }
    const { masked, history: { now } } = face;
    this.known.adopt(face, info);
    if (face.history.now !== now) this.select(null);
    if (info.masked || masked) await this.readMask(face);
    this.render();
  }

  async relist() {
    const id = this.faces.faces[this.faces.index]?.[0];
    await this.faces.list();
    const index = this.faces.positions.get(id);
    if (index === undefined) this.go(Math.min(this.faces.index, this.faces.faces.length - 1));
    else this.faces.index = index;
    this.faces.show();
  }

  step(steps, filter = this.faces.filter) {
    const next = this.faces.step(steps, filter);
    if (next === this.faces.index) this.tell(`No further face${filter === "all" ? "" : ` (${FILTERS[filter]})`}.`);
    else this.go(next);
  }

  setFilter(filter) {
    const { faces } = this;
    faces.filter = this.filter.value = filter;
    faces.show();
    if (!faces.matches(faces.index)) this.go(faces.next(1) ?? faces.next(1, filter, -1));
  }

  nextFilter() {
    const all = Object.keys(FILTERS);
    this.setFilter(all[(all.indexOf(this.faces.filter) + 1) % all.length]);
  }

  async trash() {
    const { face, faces, page } = this;
    if (!this.editable || this.saver.busy.has(face) || face.status?.state === "refused") {
      page.say("This face is not saved yet, or cannot be changed: it stays.", "error");
      return;
    }
    const { folder } = await page.post(`trash/${face.side}/${face.id}`, { hash: face.hash });
    page.say(`${face.name} is in ${folder} now.`);
    const next = faces.next(1) ?? faces.step(-1);
    const index = faces.positions.get(face.id);
    if (index !== undefined) faces.note(index, "x");
    if (face === this.face) this.go(next);
  }

  tell(text, bad = false) {
    this.told.textContent = text;
    this.told.className = bad ? "error" : "";
  }

  /** A face has another status: saved, saving, unsaved, refused or failed. */
  saved(face) {
    if (!this.drafts || this.ended) return;
    this.drafts.show();
    if (face !== this.face) return;
    const { state = "", text = "" } = face.status ?? {};
    const refused = state === "refused";
    const [title, look] = SAVED[state] ?? ["not saved", "error"];
    this.status.textContent = text && !refused ? `${title}: ${text}` : title;
    this.status.dataset.state = state;
    this.status.className = `saved ${look}`;
    this.refused.hidden = !refused;
    if (refused) {
      fill(this.refused, h("p", text || "This file was changed meanwhile."), h("p", "Your polygons are kept in this browser."),
        row(button("Show the file as it is", () => this.reload(face)),
          button("Put my polygons there", () => this.insist(face), { class: "main" })));
    } else if (state === "saved") {
      this.faces.note(this.faces.index, String(Number(face.stored.length > 0) + 2 * Number(face.masked)));
    }
  }

  /** Give up nothing: the polygons stay in the list of unsaved work. */
  async reload(face) {
    this.leaveFace();
    this.known.forget(face);
    try {
      this.known.made(face.side, face.id, await this.known.ask(face));
    } catch (error) {
      this.relist();
      throw error;
    }
    this.go(this.faces.index);
  }

  async insist(face) {
    const info = await this.known.ask(face);
    if (info.image !== face.image) {
      this.page.say("This name holds another image now, on which your polygons were not drawn.", "error");
      return;
    }
    face.masked = info.masked;
    this.saver.insist(face, info.hash);
  }

  /** How a command is that was started, and how it was before. */
  worked(job, before) {
    if (job.subject !== this.side) return;
    if (job.state === "running" || before === "running") this.refresh();
    if (before === "running" && job.state !== "running") this.relist();
  }

  calls({ shiftKey }) {
    const pixels = shiftKey ? 10 : 1;
    const faces = shiftKey ? 5 : 1;
    const color = (name) => () => this.set({ color: name, view: "face" });
    return {
      KeyA: () => this.step(-faces), KeyD: () => this.step(faces),
      "Ctrl+KeyA": () => this.step(-faces, "labeled"), "Ctrl+KeyD": () => this.step(faces, "labeled"),
      "Ctrl+KeyZ": () => this.undo(shiftKey ? 1 : -1), "Ctrl+KeyY": () => this.undo(1),
      ArrowLeft: () => this.nudge(-pixels, 0), ArrowRight: () => this.nudge(pixels, 0),
      ArrowUp: () => this.nudge(0, -pixels), ArrowDown: () => this.nudge(0, pixels),
      KeyQ: () => this.setKind(INCLUDE), KeyW: () => this.setKind(EXCLUDE), KeyP: () => this.set({ pointMode: !this.pointMode }),

      Digit1: color("Red"), Digit2: color("Green"), Digit3: color("Blue"),
      Digit4: () => this.setView("baked"), Digit5: () => this.setView("mask"), Backquote: () => this.set({ overlay: !this.overlay }),
      Enter: () => this.close(), Escape: () => this.giveUp(), Delete: () => this.remove(), Backspace: () => this.remove(),
      KeyX: () => this.trash(), KeyF: () => this.nextFilter(), KeyM: () => this.fromMask(),
      KeyC: () => this.copyFrom(shiftKey ? 1 : -1), KeyH: () => this.help(), F1: () => this.help(),
      Equal: () => this.board.zoomBy(1.2), Minus: () => this.board.zoomBy(1 / 1.2), Digit0: () => this.board.fit(),
      Space: () => { this.panning = true; },
      ShiftLeft: () => this.beginCentering(), ShiftRight: () => this.beginCentering(),
    };
  }

  keyUp({ code }) {
    if (code === "Space") this.panning = false;
    if (code.startsWith("Shift") && this.centered) {
      this.centered = null;
      this.render();
    }
  }

  render() {
    const { face, board } = this;
    const mode = !face ? "" : this.state.open ? "draw" : this.selected !== null ? "edit" : "idle";
    const can = this.editable;
    for (const [each, on] of this.toggles) press(each, on());
    this.undoing.disabled = !can || !face.history.can(-1);
    this.redoing.disabled = !can || !face.history.can(1);
    this.removing.disabled = !can || mode === "idle";
    Object.assign(board.element.dataset, { mode, polygons: face ? this.polygons.length : "" });
    board.element.classList.toggle("centered", Boolean(this.centered));
    board.draw();
  }
}
