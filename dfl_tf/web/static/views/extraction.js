// The extraction of src and dst: which frames have faces, and faces that are put there by hand.
import { button, buttons, fill, group, h, press, row } from "../dom.js";
import { Images } from "../images.js";
import { FrameBar, View } from "../view.js";
import { Shape } from "./extraction_shape.js";
import { Stage } from "./extraction_stage.js";
import { FrameStrip, kindOf } from "./extraction_strip.js";

export const styles = true;
const LOOK_BACK = 20; // frames in which a face to start from is looked for
const DEGREE = Math.PI / 180;
const SIDES = { src: "src", dst: "dst" };

export default class Extraction extends View {
  static title = "Extraction";
  static keys = [
    ["← → (with Shift: ten), Home, End", "frame"],
    ["F, M, H (with Shift: back)", "next frame without a face, with several, with one made by hand"],
    ["N", "place a face: then drag a box, or Enter for one in the middle"], ["V", "start from the face of a frame before"],
    ["1 to 9, E, Delete", "choose a face, correct it, remove it"], ["Ctrl+Z", "undo"], ["+ − 0", "zoom"],
    ["while a face is placed: arrows (with Shift: 10 pixels)", "move the face, or the chosen point"],
    ["+ −", "larger, smaller"], [", .", "turn"], ["[ ]", "choose a point"],
    ["L", "let the landmarker look again in the box"], ["Enter, Esc", "save, give up"],
  ];

  chosen = null;
  shape = null;
  drawing = false;
  saving = false;
  turn = 0; // what is looked for is given up when another turn begins
  done = []; // changes that can be undone

  async load() {
    const { page } = this;
    const sides = await page.get("sides");
    const wanted = page.rest[0] ?? sides.find((each) => each.extracted)?.side;
    this.side = wanted in SIDES ? wanted : "src";
    this.looked(await page.get(`overview/${this.side}`));
  }

  looked({ frames, faces, by_hand: byHand, notes }) {
    Object.assign(this, { frames, faces, byHand: new Set(byHand), notes });
  }

  sides() {
    const sides = buttons(SIDES, (side) => this.page.go(`extraction/${side}`));
    press(sides, this.side);
    return group("Side", sides);
  }

  extract() {
    return h("p", h("a", { href: "#/jobs/extract" }, "Extract the faces"));
  }

  /** What leads on where there is no extraction yet. */
  aside() {
    return [this.sides(), this.extract()];
  }

  build() {
    this.images = new Images(() => this.arrived());
    this.strip = new FrameStrip((frame) => this.go(frame), (kind) => this.jump(kind, 1));
    this.stage = new Stage({
      drawn: (box) => this.drawn(box), changed: () => this.changed(),
      choose: (face) => this.choose(face), loaded: () => this.arrived(),
    });
    this.bar = new FrameBar("Frame", (frame) => this.go(frame));
    this.name = h("span.name");
    this.panel = h("section.panel.faces", { "aria-label": "Faces of the frame" });
    this.noted = h("div");
    return [
      this.noted, this.strip.element,
      h("div.sides",
        h("section.stage", { "aria-label": "Frame" },
          row(this.sides(), this.name, this.stage.buttons), this.stage.element,
          h("div.row.frames", this.bar.parts, button("Keys", () => this.help()))),
        this.panel),
    ];
  }

  async shown() {
    this.page.on("hello", () => this.look());
    const kept = JSON.parse(localStorage.getItem(this.store));
    this.bar.show(0, this.frames.length);
    await this.bar.go(kept?.number || Number(this.page.rest[1]) || this.faces.indexOf(0) + 1 || 1);
    if (kept?.number !== this.frame || this.page.readOnly || this.shape) return;
    this.shape = new Shape(kept.shape);
    this.say("A face that was not saved is here again.");
    this.paint();
  }

  end() {
    this.strip?.end();
    this.images?.end();
  }

  /** The server is there again. */
  async look() {
    this.looked(await this.page.get(`overview/${this.side}`));
    this.images.want("page", this.address);
    if (this.record) return this.take(this.record); // it may be newer
    this.mark();
    this.arrived();
    return this.read();
  }

  mark() {
    fill(this.noted, this.notes.map((note) => h("p.warn", note)));
    this.strip.show(this.faces, this.byHand, this.frame);
    this.bar.show(this.frame, this.frames.length);
  }

  // -- frames ------------------------------------------------------------------------------------
  async go(frame) {
    if (this.saving || this.shape) {
      if (!this.saving) this.say("Save this face first (Enter), or give it up (Esc).", "warn");
      this.mark();
    } else if (frame !== this.frame || !this.record) {
      Object.assign(this, { frame, record: null, chosen: null, drawing: false });
      this.turn++;
      history.replaceState(null, "", `#/extraction/${this.side}/${frame}`);
      this.name.textContent = this.frames[frame - 1];
      this.say("");
      this.mark();
      this.paint();
      this.images.want("page", this.address);
      this.arrived();
      await this.read();
    }
  }

  get address() {
    return this.page.api(`image/${this.side}/${this.frame}`);
  }

  /** Show the image if it is there, and say so once the faces are there as well. */
  arrived() {
    const { stage } = this;
    const found = this.images.find(this.address);
    if (found?.url) stage.show(found.url, `Frame ${this.frame}`);
    if (found?.error) this.say(found.error, "error");
    const whole = found?.url && stage.image.complete && this.record;
    stage.element.dataset.state = found?.error ? "error" : whole ? "shown" : "waiting";
  }

  async read() {
    const { frame } = this;
    try {
      const record = await this.page.get(`frame/${this.side}/${frame}`);
      if (frame === this.frame) this.take(record);
    } catch (error) {
      if (frame !== this.frame) return;
      this.record = null;
      this.say(error.message, "error");
    }
  }

  take(record) {
    this.record = record;
    if (record.extracted) {
      this.faces[record.number - 1] = record.faces.filter((face) => face.file).length;
      this.byHand[record.faces.some((face) => face.by_hand) ? "add" : "delete"](record.number);
    }
    this.mark();
    this.paint();
    this.arrived();
  }

  jump(kind, way) {
    const fits = (frame) => (kind === "hand" ? this.byHand.has(frame) : kindOf(this.faces[frame - 1]) === kind);
    const { length } = this.faces;
    for (let step = 1; step <= length; step++) {
      const frame = (this.frame - 1 + way * step + length) % length + 1;
      if (fits(frame)) return this.go(frame);
    }
    return this.say("There is no such frame.");
  }

  choose(face) {
    this.chosen = face < this.record?.faces.length ? face : null;
    this.paint();
  }

  // -- placing -----------------------------------------------------------------------------------
  get usable() {
    return !this.page.readOnly && this.record?.extracted && !this.saving;
  }

  draw() {
    if (!this.usable) return;
    this.shape = null;
    this.drawing = true;
    this.say("Drag a box over the face, or press Enter for one in the middle.");
    this.paint();
  }

  middle() {
    const { naturalWidth: width, naturalHeight: height } = this.stage.image;
    const half = Math.min(width, height) / 6;
    this.drawn([width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]);
  }

  drawn(box) {
    this.drawing = false;
    this.suggest(box, null);
  }

  /** Let the landmarker look in a box; without a face there, a mean face is what begins. */
  async suggest(box, face) {
    this.say("looking for landmarks…");
    const turn = ++this.turn;
    try {
      const { landmarks, reason } = await this.page.post(`suggest/${this.side}/${this.frame}`, { box });
      if (turn !== this.turn || this.ended) return;
      this.begins({ box: holding(box, landmarks), points: landmarks, face });
      this.say(reason || "Found by the landmarker.", reason ? "warn" : "good");
    } catch (error) {
      if (turn !== this.turn) return;
      this.say(error.message, "error");
      this.paint();
    }
  }

  begins({ box, points, face }) {
    this.shape?.step();
    this.shape = Object.assign(this.shape ?? new Shape({ face }), { box, points });
    this.drawing = false;
    this.stage.element.focus();
    this.changed();
  }

  /** Begin with the face of the nearest frame before that has one. */
  async before() {
    if (!this.usable) return;
    const turn = ++this.turn;
    const { frame } = this;
    for (let number = frame - 1; number > Math.max(0, frame - 1 - LOOK_BACK); number--) {
      if (this.faces[number - 1] <= 0) continue;
      const record = await this.page.get(`frame/${this.side}/${number}`).catch(() => null);
      if (turn !== this.turn) return;
      const faces = (record?.faces ?? []).filter((face) => face.landmarks && face.file);
      if (!faces.length) continue;
      const near = this.shape ? nearest(faces, this.shape.center) : faces[0];
      this.begins({ box: near.box, points: near.landmarks, face: this.shape?.face ?? null });
      this.say(`Taken from frame ${number}.`);
      return;
    }
    this.say(`None of the ${LOOK_BACK} frames before has a face.`, "warn");
  }

  correct(number) {
    const face = this.record?.faces[number];
    if (!this.usable || !face) return;
    if (face.landmarks) this.begins({ box: face.box, points: face.landmarks, face: number });
    else this.suggest(face.box, number);
  }

  // a shape that was not saved is kept in the browser
  get store() {
    return `dfl-tf-placing ${this.page.about.workspace} ${this.side}`;
  }

  changed() {
    this.paint();
    localStorage.setItem(this.store, JSON.stringify({ number: this.frame, shape: this.shape.plain }));
  }

  giveUp() {
    Object.assign(this, { shape: null, drawing: false });
    this.turn++;
    localStorage.removeItem(this.store);
    this.say("");
    this.paint();
  }

  // -- changes -----------------------------------------------------------------------------------
  async save() {
    if (!this.shape) return;
    const { box, points: landmarks, face } = this.shape;
    const record = await this.post("place", { box, landmarks, face });
    if (!record) return;
    this.giveUp();
    this.made(record, face === null ? "placed" : "corrected", "saved", face ?? record.faces.length - 1);
  }

  async remove(face) {
    if (!this.usable || !this.record.faces[face]) return;
    const record = await this.post("remove", { face });
    if (!record) return;
    this.chosen = null;
    this.made(record, "removed", "removed; its file is in the trash folder");
  }

  async restore(face) {
    const record = await this.post("restore", { face });
    if (record) this.made(record, "placed", "is back", record.faces.length - 1);
  }

  made(record, what, told, face = null) {
    this.done.push({ frame: this.frame, what, face });
    this.take(record);
    this.say(told, "good");
  }

  /** Send a change of the frame; the frame afterwards, or null. Nothing else changes meanwhile. */
  async post(what, body) {
    const { page, side, frame, record } = this;
    if (!record) return null;
    this.saving = true;
    this.say("saving…");
    this.paint();
    try {
      // what was not saved when the view was left is there again when it is opened
      const asking = () => !this.ended && page.post(`${what}/${side}/${frame}`, { ...body, based_on: record.based_on });
      return (await this.persist(asking, (...told) => this.say(...told))).frame ?? null;
    } catch (error) {
      page.say(`Not saved: ${error.message}`, "error");
      await this.read();
      this.say("not saved", "error");
      return null;
    } finally {
      this.saving = false;
      this.paint();
    }
  }

  async undo() {
    if (this.shape) {
      if (this.shape.undo()) this.changed();
      return;
    }
    const last = this.done.at(-1);
    if (!last || !this.usable) return;
    await this.go(last.frame);
    const { what } = last;
    let made = what === "removed" || await this.undone("remove", last.face);
    const back = what === "corrected" ? 2 : 1; // the shape that took its place was removed after it
    if (made && what !== "placed") made = await this.undone("restore", this.record.removed.length - back);
    if (made) this.done.pop();
    this.say(made ? "undone" : "not undone", made ? "good" : "error");
    this.paint();
  }

  async undone(what, face) {
    const record = await this.post(what, { face });
    if (record) this.take(record);
    return Boolean(record);
  }

  // -- what is shown -----------------------------------------------------------------------------
  say(text, kind) {
    this.stage.say(text, kind);
  }

  paint() {
    const { record, shape, drawing, chosen, usable, saving, done } = this;
    this.stage.paint({ faces: record?.faces ?? [], shape, chosen, drawing, saving });
    if (!record) return;
    const key = JSON.stringify([record.number, record.based_on, Boolean(shape), drawing, chosen, usable, done.length]);
    if (key === this.painted) return; // whoever has the focus in the panel keeps it
    this.painted = key;
    if (record.extracted) this.paintPanel();
    else fill(this.panel, h("h2", record.name), h("p", "This frame was not extracted yet."), this.extract());
  }

  paintPanel() {
    const { record, done } = this;
    const last = done.at(-1);
    fill(this.panel,
      h("h2", `Faces of frame ${record.number}`),
      this.shape ? this.placing() : this.drawing ?
        row(this.button("middle", "In the middle", () => this.middle()), this.button("cancel", "Give up", () => this.giveUp())) :
        row(
          this.button("new", "Place a face", () => this.draw(), "main"),
          this.button("before", "From the frame before", () => this.before()),
          last && this.button("undo", `Undo: ${last.what} in frame ${last.frame}`, () => this.undo())),
      h("ol.list", record.faces.map((face, i) => this.row(face, i))),
      !record.faces.length && h("p.dim", "No face."),
      record.removed.length > 0 && h("h2", "Removed"),
      h("ol.list", record.removed.map((face, i) =>
        h("li", h("span", face.file || "cut out again"), this.button("restore", "Bring back", () => this.restore(i))))));
  }

  button(name, title, call, kind = "") {
    return button(title, call, { class: kind, "data-do": name, disabled: !this.usable });
  }

  row(face, i) {
    const [left, top, right, bottom] = face.box;
    const about = face.by_hand ? "by hand" : `score ${face.score.toFixed(2)}`;
    return h(i === this.chosen ? "li.chosen" : "li",
      h("button.bare", { "aria-pressed": String(i === this.chosen), onclick: () => this.choose(i) },
        face.file || "not stored", h("br"),
        h(face.by_hand ? "span.good" : "span.dim", `${about}, ${Math.round(right - left)} × ${Math.round(bottom - top)} pixels`),
        face.dropped && h("span.warn", ` ${face.dropped}`)),
      this.button("correct", "Correct", () => this.correct(i)), this.button("remove", "Remove", () => this.remove(i), "danger"));
  }

  placing() {
    return h("div.editing",
      row(this.button("save", "Save", () => this.save(), "main"), this.button("cancel", "Give up", () => this.giveUp())),
      row(
        this.button("suggest", "Landmarker", () => this.suggest(this.shape.box, this.shape.face)),
        this.button("before", "From the frame before", () => this.before()), this.button("undo", "Undo", () => this.undo())),
      h("p.dim", "Drag the box, its corners, the knob above it, or single points."));
  }

  // -- keys --------------------------------------------------------------------------------------
  calls(event) {
    if (this.saving) return this.stage.calls();
    const calls = this.shape ? this.shapeCalls(this.shape, event.shiftKey ? 10 : 1) : this.frameCalls(event);
    return { ...calls, "Ctrl+KeyZ": () => this.undo(), KeyV: () => this.before() };
  }

  frameCalls(event) {
    const way = event.shiftKey ? -1 : 1;
    const { chosen } = this;
    const digits = Array.from({ length: 9 }, (_, i) => [`Digit${i + 1}`, () => this.choose(i)]);
    return {
      ...this.bar.calls(event), ...this.stage.calls(), ...Object.fromEntries(digits),
      KeyF: () => this.jump("none", way), KeyM: () => this.jump("several", way), KeyH: () => this.jump("hand", way),
      KeyN: () => this.draw(), Enter: this.drawing && (() => this.middle()),
      KeyE: () => chosen !== null && this.correct(chosen), Delete: () => chosen !== null && this.remove(chosen),
      Escape: () => { this.chosen = null; this.giveUp(); },
    };
  }

  shapeCalls(shape, far) {
    const change = (work) => () => { shape.step(); work(); this.changed(); };
    const point = (to) => () => { shape.chosen = to; this.paint(); };
    const { chosen } = shape;
    return {
      ArrowLeft: change(() => shape.move(-far, 0)), ArrowRight: change(() => shape.move(far, 0)),
      ArrowUp: change(() => shape.move(0, -far)), ArrowDown: change(() => shape.move(0, far)),
      Equal: change(() => shape.scale(1 + 0.02 * far)), Minus: change(() => shape.scale(1 / (1 + 0.02 * far))),
      Comma: change(() => shape.turn(-far * DEGREE)), Period: change(() => shape.turn(far * DEGREE)),
      BracketLeft: point(((chosen ?? 0) + 67) % 68), BracketRight: point(((chosen ?? 67) + 1) % 68),
      KeyL: () => this.suggest(shape.box, shape.face), Enter: () => this.save(),
      Escape: chosen === null ? () => this.giveUp() : point(null),
    };
  }
}

/** The box, as large as the points in it need it. */
function holding([left, top, right, bottom], points) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(left, ...xs), Math.min(top, ...ys), Math.max(right, ...xs), Math.max(bottom, ...ys)];
}

function nearest(faces, [x, y]) {
  const away = ({ box }) => Math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y);
  return faces.reduce((best, face) => (away(face) < away(best) ? face : best));
}
