// The extraction of src and dst: which frames have faces, and faces that are put there by hand.
import { address } from "../server.js";
import { ask, fill, h } from "../dom.js";
import { Shape } from "./extraction_shape.js";
import { Stage } from "./extraction_stage.js";
import { FrameStrip, kindOf } from "./extraction_strip.js";

const RETRY_MS = 2000;
const LOOK_BACK = 20; // frames in which a face to start from is looked for
const DEGREE = Math.PI / 180;
const TITLES = { src: "src", dst: "dst" };
const HELP = [
  ["← → (with Shift: ten), Home, End", "frame"], ["F, M, H (with Shift: back)", "next frame without a face, with several, with one made by hand"],
  ["N", "place a face: then drag a box, or Enter for one in the middle"], ["V", "start from the face of a frame before"],
  ["1 to 9, E, Delete", "choose a face, correct it, remove it"], ["Ctrl+Z", "undo"], ["+ − 0", "zoom"],
  ["while a face is placed: arrows (with Shift: 10 pixels)", "move the face, or the chosen point"], ["+ −", "larger, smaller"],
  [", .", "turn"], ["[ ]", "choose a point"], ["L", "let the landmarker look again in the box"], ["Enter, Esc", "save, give up"],
];

export function mount(page) {
  if (!document.querySelector("link[data-extraction]")) {
    document.head.append(h("link", { rel: "stylesheet", href: address("static/views/extraction.css"), "data-extraction": "" }));
  }
  const view = new Extraction(page);
  view.begin();
  return () => view.end();
}

class Extraction {
  constructor(page) {
    this.page = page;
    this.frame = 1;
    this.chosen = null;
    this.shape = null;
    this.drawing = false;
    this.done = []; // changes that can be undone
    this.keys = (event) => this.key(event);
  }

  get store() {
    return `dfl-tf-placing ${this.page.about.workspace} ${this.side}`;
  }

  async begin() {
    const { page } = this;
    const sides = await page.get("sides").catch((error) => this.failed(error));
    if (!sides || this.ended) return;
    const wanted = page.rest[0] ?? sides.find((each) => each.extracted)?.side ?? "src";
    this.side = wanted in TITLES ? wanted : "src";
    this.build();
    addEventListener("keydown", this.keys);
    page.on("hello", () => this.look());
    this.say("Reading journal and frames…");
    await this.look();
    if (this.ended || !this.frames) return;
    const kept = this.kept();
    const first = kept?.number || Number(page.rest[1]) || this.faces.indexOf(0) + 1 || 1;
    await this.go(first);
    if (kept?.number === this.frame && !page.readOnly && !this.shape) {
      this.shape = new Shape(kept.shape);
      this.say("A face that was not saved is here again.");
      this.paint();
    }
  }

  end() {
    this.ended = true;
    removeEventListener("keydown", this.keys);
    this.strip?.end();
  }

  failed(error) {
    fill(this.page.element, h("h1", {}, "Extraction"), h("p", { class: "error" }, error.message),
      h("button", { onclick: () => this.begin() }, "Try again"));
  }

  build() {
    const { page } = this;
    this.strip = new FrameStrip((frame) => this.go(frame));
    this.stage = new Stage({
      drawn: (box) => this.drawn(box), changed: () => this.changed(), choose: (face) => this.choose(face),
    });
    this.stage.image.addEventListener("load", () => { this.loaded = true; this.ready(); });
    this.stage.image.addEventListener("error", () => this.noImage());
    this.status = h("span", { role: "status", class: "dim" });
    this.stage.element.append(h("div", { class: "told" }, this.status));
    this.name = h("span", { class: "frame-name" });
    this.count = h("span", { class: "dim" });
    this.number = h("input", { type: "number", min: 1, "aria-label": "Frame", onchange: (event) => this.go(Number(event.target.value)) });
    this.slider = h("input", { type: "range", min: 1, "aria-label": "Frame", oninput: (event) => this.go(Number(event.target.value)) });
    this.panel = h("section", { class: "panel faces", "aria-label": "Faces of the frame" });
    this.notes = h("div", {});
    const sides = Object.entries(TITLES).map(([side, title]) =>
      h("button", { "data-side": side, "aria-pressed": String(side === this.side), onclick: () => page.go(`extraction/${side}`) }, title));
    fill(page.element,
      h("h1", { class: "sr" }, "Extraction"), this.notes, this.strip.element,
      h("div", { class: "extraction-grid" },
        h("section", { class: "stage", "aria-label": "Frame" },
          h("div", { class: "row" },
            h("div", { class: "group", role: "group", "aria-label": "Side" }, sides), this.name, this.stage.buttons),
          this.stage.element,
          h("div", { class: "row frames" },
            h("button", { "aria-label": "Frame before", onclick: () => this.go(this.frame - 1) }, "◀"), this.slider,
            h("button", { "aria-label": "Next frame", onclick: () => this.go(this.frame + 1) }, "▶"), this.number, this.count,
            h("button", { onclick: () => this.help() }, "Keys"))),
        this.panel));
  }

  /** Ask for all frames again. */
  async look() {
    try {
      const found = await this.page.get(`overview/${this.side}`);
      if (this.ended) return;
      this.frames = found.frames;
      this.faces = found.faces;
      this.byHand = new Set(found.by_hand);
      fill(this.notes, found.notes.map((note) => h("p", { class: "warn" }, note)));
      this.number.max = this.slider.max = this.frames.length;
      this.count.textContent = `of ${this.frames.length}`;
      this.mark();
    } catch (error) {
      if (this.ended) return;
      if (!this.frames) fill(this.panel, h("p", { class: "error" }, error.message), h("a", { href: "#/jobs/extract" }, "Extract the faces"));
      this.say(error.message, "error");
    }
  }

  mark() {
    this.strip.show(this.faces, this.byHand, this.frame, (kind) => this.jump(kind, 1));
  }

  // -- frames ------------------------------------------------------------------------------------
  async go(frame) {
    if (!Number.isFinite(frame) || !this.frames?.length) return;
    const to = Math.min(Math.max(Math.round(frame), 1), this.frames.length);
    if (to === this.frame && this.record) return;
    if (this.shape && !this.saving) {
      this.say("Save this face first (Enter), or give it up (Esc).", "warn");
      this.number.value = this.slider.value = this.frame;
      return;
    }
    this.frame = to;
    history.replaceState(null, "", `#/extraction/${this.side}/${to}`);
    this.chosen = null;
    this.drawing = false;
    this.number.value = this.slider.value = to;
    this.name.textContent = this.frames[to - 1];
    this.say("");
    this.mark();
    this.stage.element.dataset.state = "waiting";
    this.record = null;
    this.loaded = false;
    this.paint();
    this.stage.show(this.page.api(`image/${this.side}/${to}?lane=${LANE}`), `Frame ${to}`);
    await this.read();
  }

  /** Say so once image and faces are there. */
  ready() {
    if (this.loaded && this.record) this.stage.element.dataset.state = "shown";
  }

  async noImage() {
    this.stage.element.dataset.state = "error";
    const answer = await fetch(this.stage.image.src, { cache: "no-store" }).catch(() => null);
    if (answer?.ok || answer?.status === 204) return;
    const told = await answer?.json().catch(() => null);
    this.say(told?.error ?? "no connection to the server", "error");
  }

  async read() {
    const frame = this.frame;
    try {
      const record = await this.page.get(`frame/${this.side}/${frame}`);
      if (frame === this.frame && !this.ended) this.take(record);
    } catch (error) {
      if (frame !== this.frame || this.ended) return;
      this.record = null;
      this.say(error.message, "error");
    }
  }

  take(record) {
    this.record = record;
    if (record.extracted) {
      this.faces[record.number - 1] = record.faces.filter((face) => face.file).length;
      if (record.faces.some((face) => face.by_hand)) this.byHand.add(record.number);
      else this.byHand.delete(record.number);
    }
    this.mark();
    this.paint();
    this.ready();
  }

  jump(kind, way) {
    const fits = (i) => (kind === "hand" ? this.byHand.has(i + 1) : kindOf(this.faces[i]) === kind);
    const count = this.faces.length;
    for (let step = 1; step <= count; step++) {
      const i = ((this.frame - 1 + way * step) % count + count) % count;
      if (fits(i)) return this.go(i + 1);
    }
    return this.say("There is no such frame.");
  }

  choose(face) {
    this.chosen = face < this.record.faces.length ? face : null;
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
    return [width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half];
  }

  async drawn(box) {
    this.drawing = false;
    await this.suggest(box, this.shape?.face ?? null);
  }

  /** Let the landmarker look in a box; without a face there, a mean face is what begins. */
  async suggest(box, face) {
    this.say("looking for landmarks…");
    const frame = this.frame;
    try {
      const found = await this.page.post(`suggest/${this.side}/${frame}`, { box });
      if (frame !== this.frame || this.ended) return;
      this.begins({ box: holding(box, found.landmarks), points: found.landmarks, face });
      this.say(found.reason || "Found by the landmarker.", found.reason ? "warn" : "good");
    } catch (error) {
      this.say(error.message, "error");
      this.paint();
    }
  }

  begins(shape) {
    if (this.shape) {
      this.shape.step();
      this.shape.box = shape.box;
      this.shape.take(shape.points);
    } else {
      this.shape = new Shape(shape);
    }
    this.drawing = false;
    this.stage.element.focus();
    this.changed();
  }

  /** Begin with the face of the nearest frame before that has one. */
  async before() {
    if (!this.usable) return;
    const frame = this.frame;
    for (let number = frame - 1; number > Math.max(0, frame - 1 - LOOK_BACK); number--) {
      if (this.faces[number - 1] <= 0) continue;
      const record = await this.page.get(`frame/${this.side}/${number}`).catch(() => null);
      const faces = (record?.faces ?? []).filter((face) => face.landmarks && face.file);
      if (frame !== this.frame || this.ended) return;
      if (!faces.length) continue;
      const near = this.shape ? nearest(faces, this.shape.center) : faces[0];
      this.begins({ box: near.box, points: near.landmarks, face: this.shape?.face ?? null });
      this.say(`Taken from frame ${number}.`);
      return;
    }
    this.say(`None of the ${LOOK_BACK} frames before has a face.`, "warn");
  }

  correct(number) {
    const face = this.record.faces[number];
    if (!this.usable || !face) return;
    if (face.landmarks) this.begins({ box: face.box, points: face.landmarks, face: number });
    else this.suggest(face.box, number);
  }

  changed() {
    localStorage.setItem(this.store, JSON.stringify({ number: this.frame, shape: this.shape.plain }));
    this.paint();
  }

  kept() {
    try {
      return JSON.parse(localStorage.getItem(this.store));
    } catch {
      return null;
    }
  }

  giveUp() {
    this.shape = null;
    this.drawing = false;
    localStorage.removeItem(this.store);
    this.say("");
    this.paint();
  }

  async save() {
    const { shape, frame } = this;
    if (!shape || this.saving) return;
    const instead = shape.face;
    const record = await this.post("place", frame, {
      box: shape.box, landmarks: shape.points, face: instead, based_on: this.record.based_on,
    });
    if (!record) return;
    this.done.push({ frame, what: instead === null ? "placed" : "corrected", face: instead ?? record.faces.length - 1 });
    this.giveUp();
    this.take(record);
    this.say("saved", "good");
  }

  async remove(number) {
    if (!this.usable || !this.record.faces[number]) return;
    const { frame } = this;
    const record = await this.post("remove", frame, { face: number, based_on: this.record.based_on });
    if (!record) return;
    this.done.push({ frame, what: "removed" });
    this.chosen = null;
    this.take(record);
    this.say("removed; its file is in the trash folder", "good");
  }

  async restore(number) {
    const { frame } = this;
    const record = await this.post("restore", frame, { face: number, based_on: this.record.based_on });
    if (!record) return;
    this.done.push({ frame, what: "placed", face: record.faces.length - 1 });
    this.take(record);
    this.say("is back", "good");
  }

  /** Send a change; its frame afterwards, or null. Without a connection it is sent again. */
  async post(what, frame, body) {
    this.saving = true;
    this.say("saving…");
    this.panelOff(true);
    try {
      return (await this.page.post(`${what}/${this.side}/${frame}`, body)).frame;
    } catch (error) {
      if (error instanceof TypeError && !this.ended) {
        this.say("not saved: no connection, trying again", "error");
        await new Promise((done) => setTimeout(done, RETRY_MS));
        if (this.ended) return null;
        return this.post(what, frame, body);
      }
      this.page.say(`Not saved: ${error.message}`, "error");
      if (frame === this.frame) await this.read();
      this.say("not saved", "error");
      return null;
    } finally {
      this.saving = false;
      this.panelOff(false);
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
    const body = () => ({ based_on: this.record.based_on });
    let record = this.record;
    if (last.what !== "removed") {
      record = await this.post("remove", last.frame, { ...body(), face: last.face });
      if (record) this.take(record);
    }
    if (record && last.what !== "placed") {
      const at = this.record.removed.length - (last.what === "corrected" ? 2 : 1);
      record = await this.post("restore", last.frame, { ...body(), face: at });
      if (record) this.take(record);
    }
    if (record) this.done.pop();
    this.say(record ? "undone" : "not undone", record ? "good" : "error");
    this.paint();
  }

  // -- what is shown -----------------------------------------------------------------------------
  say(text, kind = "dim") {
    this.status.textContent = text;
    this.status.className = kind;
  }

  panelOff(off) {
    this.painted = null;
    for (const button of this.panel.querySelectorAll("button")) button.disabled = off;
  }

  paint() {
    this.stage.paint(this.record?.faces ?? [], this.shape, this.chosen, this.drawing);
    const { record } = this;
    if (!record) return;
    const key = JSON.stringify([record.number, record.based_on, Boolean(this.shape), this.drawing, this.chosen, this.usable, this.done.length]);
    if (key === this.painted) return; // whoever has the focus in the panel keeps it
    this.painted = key;
    if (!record.extracted) {
      fill(this.panel, h("h2", {}, record.name), h("p", {}, "This frame was not extracted yet."), h("a", { href: "#/jobs/extract" }, "Extract the faces"));
      return;
    }
    const off = !this.usable;
    fill(this.panel,
      h("h2", {}, `Faces of frame ${record.number}`),
      this.shape || this.drawing ? this.placing() : h("div", { class: "row" },
        h("button", { class: "main", disabled: off, "data-do": "new", onclick: () => this.draw() }, "Place a face"),
        h("button", { disabled: off, "data-do": "before", onclick: () => this.before() }, "From the frame before"),
        this.done.length ? h("button", { disabled: off, "data-do": "undo", onclick: () => this.undo() }, `Undo: ${this.done.at(-1).what} in frame ${this.done.at(-1).frame}`) : null),
      h("ol", { class: "list" }, record.faces.map((face, i) => this.row(face, i, off))),
      record.faces.length ? null : h("p", { class: "dim" }, "No face."),
      record.removed.length ? h("h2", {}, "Removed") : null,
      h("ol", { class: "list" }, record.removed.map((face, i) => h("li", {},
        h("span", {}, face.file || "cut out again"),
        h("button", { disabled: off, "data-do": "restore", onclick: () => this.restore(i) }, "Bring back")))));
  }

  row(face, i, off) {
    const [left, top, right, bottom] = face.box;
    const about = face.by_hand ? "by hand" : `score ${face.score.toFixed(2)}`;
    return h("li", { class: i === this.chosen ? "chosen" : "" },
      h("button", { class: "bare name", "aria-pressed": String(i === this.chosen), onclick: () => this.choose(i) },
        face.file || "not stored", h("br"),
        h("span", { class: face.by_hand ? "good" : "dim" }, `${about}, ${Math.round(right - left)} × ${Math.round(bottom - top)} pixels`),
        face.dropped ? h("span", { class: "warn" }, ` ${face.dropped}`) : null),
      h("button", { disabled: off, "data-do": "correct", onclick: () => this.correct(i) }, "Correct"),
      h("button", { class: "danger", disabled: off, "data-do": "remove", onclick: () => this.remove(i) }, "Remove"));
  }

  placing() {
    const button = (name, title, call, kind = "") => h("button", { class: kind, "data-do": name, disabled: this.saving, onclick: call }, title);
    if (this.drawing) return h("div", { class: "row" }, button("middle", "In the middle", () => this.drawn(this.middle())), button("cancel", "Give up", () => this.giveUp()));
    return h("div", { class: "editing" },
      h("div", { class: "row" }, button("save", "Save", () => this.save(), "main"), button("cancel", "Give up", () => this.giveUp())),
      h("div", { class: "row" },
        button("suggest", "Landmarker", () => this.suggest(this.shape.box, this.shape.face)),
        button("before", "From the frame before", () => this.before()),
        button("undo", "Undo", () => this.undo())),
      h("p", { class: "dim" }, "Drag the box, its corners, the knob above it, or single points."));
  }

  help() {
    return ask("Keys", HELP.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }

  // -- keys --------------------------------------------------------------------------------------
  key(event) {
    const { target } = event;
    if (event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const kind = target.tagName === "INPUT" ? target.type : target.tagName;
    if (["number", "text", "TEXTAREA"].includes(kind)) return;
    if (kind === "range" && /^(Arrow|Home|End|Page)/.test(event.code)) return;
    if (kind === "BUTTON" && ["Enter", "Space"].includes(event.code)) return;
    if (kind === "A" && event.code === "Enter") return;
    const call = event.ctrlKey
      ? (event.code === "KeyZ" ? () => this.undo() : null)
      : this.shape ? this.shapeKey(event) : this.frameKey(event);
    if (!call) return;
    event.preventDefault();
    call();
  }

  frameKey(event) {
    const way = event.shiftKey ? -1 : 1;
    const step = event.shiftKey ? 10 : 1;
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (digit) return () => this.record && this.choose(Number(digit[1]) - 1);
    return {
      ArrowLeft: () => this.go(this.frame - step), ArrowRight: () => this.go(this.frame + step),
      Home: () => this.go(1), End: () => this.go(this.frames.length),
      KeyF: () => this.jump("none", way), KeyM: () => this.jump("several", way), KeyH: () => this.jump("hand", way),
      KeyN: () => this.draw(), KeyV: () => this.before(),
      KeyE: () => this.chosen !== null && this.correct(this.chosen),
      Delete: () => this.chosen !== null && this.remove(this.chosen),
      Enter: this.drawing ? () => this.drawn(this.middle()) : null,
      Escape: () => { this.chosen = null; this.giveUp(); },
      Equal: () => this.stage.zoomBy(1.25), NumpadAdd: () => this.stage.zoomBy(1.25),
      Minus: () => this.stage.zoomBy(0.8), NumpadSubtract: () => this.stage.zoomBy(0.8), Digit0: () => this.stage.fit(),
    }[event.code];
  }

  shapeKey(event) {
    const { shape } = this;
    const far = event.shiftKey ? 10 : 1;
    const change = (work) => () => { shape.step(); work(); this.changed(); };
    const point = (by) => () => {
      shape.chosen = shape.chosen === null ? (by > 0 ? 0 : 67) : (shape.chosen + by + 68) % 68;
      this.paint();
    };
    return {
      ArrowLeft: change(() => shape.move(-far, 0)), ArrowRight: change(() => shape.move(far, 0)),
      ArrowUp: change(() => shape.move(0, -far)), ArrowDown: change(() => shape.move(0, far)),
      Equal: change(() => shape.scale(1 + 0.02 * far)), NumpadAdd: change(() => shape.scale(1 + 0.02 * far)),
      Minus: change(() => shape.scale(1 / (1 + 0.02 * far))), NumpadSubtract: change(() => shape.scale(1 / (1 + 0.02 * far))),
      Comma: change(() => shape.turn(-far * DEGREE)), Period: change(() => shape.turn(far * DEGREE)),
      BracketLeft: point(-1), BracketRight: point(1),
      KeyL: () => this.suggest(shape.box, shape.face), KeyV: () => this.before(), Enter: () => this.save(),
      Escape: () => { if (shape.chosen === null) this.giveUp(); else { shape.chosen = null; this.paint(); } },
    }[event.code];
  }
}

const LANE = Math.random().toString(36).slice(2);

/** The box, as large as the points in it need it. */
function holding([left, top, right, bottom], points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return [Math.min(left, ...xs), Math.min(top, ...ys), Math.max(right, ...xs), Math.max(bottom, ...ys)];
}

function nearest(faces, [x, y]) {
  const away = ({ box }) => Math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y);
  return faces.reduce((best, face) => (away(face) < away(best) ? face : best));
}
