// Tuning a merge: one frame at a time, every setting a control, settings over ranges of frames.
import { address } from "../server.js";
import { ask, fill, h } from "../dom.js";
import { Controls } from "./tuner_controls.js";
import { Images } from "./tuner_images.js";
import { mergeJob } from "./tuner_job.js";
import { TimelineRows } from "./tuner_timeline.js";
import { Viewer } from "./tuner_viewer.js";

const VIEWS = { after: "After", before: "Before", mask: "Mask", triptych: "Triptych" };
const SAVE_MS = 250;
const RETRY_MS = 2000;
const GREY_MS = 150;
const PLAY_WIDTH = 640;
const PLAY_AHEAD = 3;
const FRAME_MS = 40;
const HELP = [
  ["← →", "frame before, next (with Shift: ten)"], ["Home End", "first, last frame"],
  ["1 2 3 4", "after, before, mask, triptych"], ["A B", "which settings are shown"],
  ["[ ]", "the range begins, ends at this frame"], ["Esc", "settings of all frames"],
  ["Space", "play the range, stop"], ["+ − 0", "zoom in, out, fit"], ["S", "save as merge.yaml"],
];

export function mount(page) {
  if (!document.querySelector("link[data-tuner]")) {
    const link = h("link", { rel: "stylesheet", href: address("static/views/tuner.css"), "data-tuner": "" });
    document.head.append(link);
  }
  const tuner = new Tuner(page);
  tuner.begin();
  return () => tuner.end();
}

class Tuner {
  constructor(page) {
    this.page = page;
    this.slot = "A";
    this.frame = 1;
    this.view = "after";
    this.span = null;
    this.pending = null; // {slot, span, values}: changed here, not yet on the server
    this.queue = []; // changes that are on their way
    this.timers = {};
    this.keys = (event) => this.key(event);
    this.leaving = (event) => { if (this.pending || this.queue.length) event.preventDefault(); };
  }

  async begin() {
    const { page } = this;
    fill(page.element, h("p", { class: "dim" }, "Looking for frames and faces…"));
    try {
      const models = await page.get("models");
      if (!models.length) throw new Error("There is no model to merge with in this workspace yet.");
      this.models = models;
      this.model = models.find((each) => each.id === page.rest[0]) ?? models[0];
      [this.schema, this.scene] = await Promise.all([page.get("options"), page.get(`scene/${this.model.id}`)]);
    } catch (error) {
      if (this.ended) return;
      fill(page.element, h("h1", {}, "Merge"), h("p", { class: "error" }, error.message),
        h("button", { onclick: () => this.begin() }, "Try again"));
      return;
    }
    if (this.ended) return;
    this.tuning = this.scene.tuning;
    this.count = this.scene.frames.length;
    this.frame = this.scene.faces.findIndex((faces) => faces > 0) + 1 || 1;
    this.build();
    this.page.on("hello", () => this.show()); // the server is there again
    addEventListener("keydown", this.keys);
    addEventListener("beforeunload", this.leaving);
    this.show();
  }

  end() {
    this.ended = true;
    this.stopPlaying();
    removeEventListener("keydown", this.keys);
    removeEventListener("beforeunload", this.leaving);
    this.send();
    this.job?.end();
    this.images?.end();
  }

  build() {
    const { page } = this;
    this.images = new Images(page.api(`image/${this.model.id}`), () => this.arrived());
    this.viewer = new Viewer();
    this.controls = new Controls(this.schema.options, this.scene.lacks, (key, value) => this.change(key, value));
    this.timeline = new TimelineRows(this.count, this.scene.faces, {
      frame: (frame) => this.go(frame), span: (span) => this.choose(span),
    });
    this.job = mergeJob(page, this.model.id, () => this.slot);
    this.status = h("span", { class: "dim", role: "status" });
    this.viewer.element.append(h("div", { class: "told" }, this.status));
    this.saved = h("span", { class: "dim", role: "status" });
    this.name = h("span", { class: "frame-name" });
    this.number = h("input", {
      type: "number", min: 1, max: this.count, "aria-label": "Frame",
      onchange: (event) => this.go(Number(event.target.value)),
    });
    this.slider = h("input", {
      type: "range", min: 1, max: this.count, "aria-label": "Frame",
      oninput: (event) => this.go(Number(event.target.value)),
    });
    this.views = Object.entries(VIEWS).map(([view, title]) =>
      h("button", { "data-view": view, onclick: () => this.look(view) }, title));
    this.slots = ["A", "B"].map((slot) => h("button", { "data-slot": slot, onclick: () => this.choose(this.span, slot) }, slot));
    this.playing = h("button", { onclick: () => this.play() }, "Play");
    this.scope = h("div", { class: "scope" });
    this.line = h("code", { class: "line", tabIndex: 0 });
    fill(page.element,
      h("h1", { class: "hidden-title" }, "Merge"),
      ...this.scene.notes.map((note) => h("p", { class: "warn note" }, note)),
      h("div", { class: "tuner-grid" },
        h("section", { class: "stage", "aria-label": "Frame" },
          h("div", { class: "row bar" },
            this.models.length > 1 ? this.modelChoice() : h("strong", {}, `${this.model.title} ${this.model.class}`),
            h("div", { class: "group", role: "group", "aria-label": "View" }, this.views),
            h("div", { class: "group", role: "group", "aria-label": "Settings" }, this.slots,
              h("button", { class: "write", onclick: () => this.copy(), title: "Give the other one these settings" }, "Copy to the other")),
            this.viewer.buttons),
          this.viewer.element,
          h("div", { class: "row bar frames" },
            h("button", { "aria-label": "Frame before", onclick: () => this.go(this.frame - 1) }, "◀"),
            this.slider,
            h("button", { "aria-label": "Next frame", onclick: () => this.go(this.frame + 1) }, "▶"),
            this.number, h("span", { class: "dim" }, `of ${this.count}`), this.name, this.playing),
          this.timeline.element),
        h("section", { class: "panel settings", "aria-label": "Settings" },
          this.scope, this.controls.element)),
      h("section", { class: "panel actions", "aria-label": "Files and merge" },
        h("div", { class: "row" },
          h("button", { class: "main write", onclick: () => this.save() }, "Save as merge.yaml"),
          h("button", { class: "write files", onclick: () => this.take("files") }, "Read merge.yaml"),
          this.scene.session ? h("button", { class: "write", onclick: () => this.take("session") }, "Read DeepFaceLab's session") : null,
          h("button", { onclick: () => this.help() }, "Keys"), this.saved),
        h("div", { class: "row" }, this.line, h("button", { onclick: () => this.copyLine() }, "Copy")),
        this.job.element));
    if (page.readOnly) for (const button of page.element.querySelectorAll(".write")) button.disabled = true;
  }

  modelChoice() {
    return h("select", { "aria-label": "Model", onchange: (event) => this.page.go(`tuner/${event.target.value}`) },
      this.models.map((each) => h("option", { value: each.id, selected: each === this.model }, `${each.title} ${each.class}`)));
  }

  // -- settings ----------------------------------------------------------------------------------
  segment(frame, slot = this.slot) {
    return this.tuning.slots[slot].segments.find((each) => each.first <= frame && frame <= each.last);
  }

  defaults() {
    return Object.fromEntries(this.schema.options.map((each) => [each.key, each.default]));
  }

  /** What holds for a frame, with what is not saved yet. */
  values(frame, slot = this.slot) {
    const base = { ...this.tuning.slots[slot].base };
    const own = { ...this.segment(frame, slot)?.values };
    for (const change of [...this.queue, this.pending]) {
      if (change?.slot !== slot) continue;
      const target = change.span === null ? base : own;
      if (change.span !== null && !(change.span[0] <= frame && frame <= change.span[1])) continue;
      for (const [key, value] of Object.entries(change.values)) {
        if (value !== null) target[key] = value;
        else if (change.span === null) target[key] = this.defaults()[key];
        else delete target[key];
      }
    }
    return { base, own, all: { ...base, ...own } };
  }

  change(key, value) {
    if (this.pending && (this.pending.slot !== this.slot || String(this.pending.span) !== String(this.span))) this.send();
    if (this.span && (this.frame < this.span[0] || this.frame > this.span[1])) this.go(this.span[0]);
    this.pending ??= { slot: this.slot, span: this.span, values: {} };
    this.pending.values[key] = value;
    this.show();
    this.tell("saving…");
    clearTimeout(this.timers.save);
    this.timers.save = setTimeout(() => this.send(), SAVE_MS);
  }

  tell(text, kind = "dim") {
    this.saved.textContent = this.page.readOnly ? "read-only: changes are not kept" : text;
    this.saved.className = kind;
  }

  /** Bring changes to the server, one after the other. */
  async send() {
    clearTimeout(this.timers.save);
    if (!this.pending || this.page.readOnly) return this.busy;
    const change = this.pending;
    this.pending = null;
    this.queue.push(change);
    const before = this.busy ?? Promise.resolve();
    this.busy = before.then(() => this.post("change", change)).then(() => {
      this.queue = this.queue.filter((each) => each !== change);
      this.show();
    });
    return this.busy;
  }

  async post(what, body) {
    try {
      const answer = await this.page.post(`${what}/${this.model.id}`, { ...body, revision: this.tuning.revision });
      this.tuning = answer.tuning;
      if (!this.pending) this.tell("saved", "good");
      return answer;
    } catch (error) {
      if (error instanceof TypeError && !this.ended) { // no connection: nothing is given up
        this.tell("not saved: no connection, trying again", "error");
        await new Promise((done) => setTimeout(done, RETRY_MS));
        return this.post(what, body);
      }
      this.tell("not saved", "error");
      this.page.say(error.message, "error");
      try {
        this.tuning = (await this.page.get(`scene/${this.model.id}`)).tuning;
      } catch {
        // said already
      }
      return null;
    }
  }

  async copy() {
    await this.send();
    await this.post("copy", { slot: this.slot, to: this.slot === "A" ? "B" : "A" });
    this.show();
  }

  async take(source) {
    const what = source === "files" ? "merge.yaml and merge_frames.yaml" : "DeepFaceLab's session";
    if (!await ask(`Read ${what}?`, `The settings ${this.slot} are replaced.`, [], "Read")) return;
    await this.send();
    await this.post("take", { slot: this.slot, source });
    this.show();
  }

  async save() {
    await this.send();
    const there = this.tuning.saved;
    if (there.length && !await ask("Save as merge.yaml?", `${there.join(" and ")} will be replaced.`, [], "Replace")) return;
    try {
      const answer = await this.page.post(`save/${this.model.id}`, { slot: this.slot, replace: there.length > 0 });
      this.tuning = answer.tuning;
      this.page.say(`Saved: ${answer.written.join(", ")}`);
    } catch (error) {
      this.page.say(error.message, "error");
    }
    this.show();
  }

  async copyLine() {
    try {
      await navigator.clipboard.writeText(this.line.textContent);
      this.page.say("Copied.");
    } catch {
      getSelection().selectAllChildren(this.line);
      this.page.say("Selected: copy it by Ctrl+C.");
    }
  }

  // -- what is shown -----------------------------------------------------------------------------
  go(frame) {
    if (!Number.isFinite(frame)) return;
    this.frame = Math.min(Math.max(Math.round(frame), 1), this.count);
    this.show();
  }

  look(view) {
    this.view = view;
    this.show();
  }

  /** Settings of which frames, and of which slot, the controls are. */
  choose(span, slot = this.slot) {
    this.send();
    this.span = span;
    this.slot = slot;
    this.show();
  }

  mark(end) {
    const [first, last] = this.span ?? [1, this.count];
    if (end) this.choose([Math.min(first, this.frame), this.frame]);
    else this.choose([this.frame, Math.max(last, this.frame)]);
  }

  show() {
    if (this.ended || !this.viewer) return;
    const { all } = this.values(this.frame);
    const outside = this.span && (this.frame < this.span[0] || this.frame > this.span[1]);
    const { base, own } = this.values(outside ? this.span[0] : this.frame);
    this.number.value = this.slider.value = this.frame;
    this.name.textContent = this.scene.frames[this.frame - 1] + (this.scene.faces[this.frame - 1] ? "" : " (no face)");
    for (const each of this.views) each.setAttribute("aria-pressed", String(each.dataset.view === this.view));
    for (const each of this.slots) each.setAttribute("aria-pressed", String(each.dataset.slot === this.slot));
    this.playing.textContent = this.stop ? "Stop" : "Play";
    this.showScope();
    this.controls.show({ base, own, span: this.span });
    this.timeline.show(this.tuning.slots[this.slot].segments, this.frame, this.span);
    this.line.textContent = this.tuning.lines[this.slot];
    for (const each of this.page.element.querySelectorAll(".files")) each.hidden = !this.tuning.saved.length;
    if (this.stop) return;
    this.wanted = { frame: this.frame, values: all, view: this.view, width: 0 };
    this.images.want("page", this.wanted);
    this.arrived();
  }

  showScope() {
    const button = (title, span, pressed) =>
      h("button", { "aria-pressed": String(pressed), onclick: () => this.choose(span) }, title);
    const [first, last] = this.span ?? [this.frame, this.frame];
    const field = (label, value, set) => h("input", {
      type: "number", min: 1, max: this.count, value, "aria-label": label,
      onchange: (event) => {
        const given = Math.min(Math.max(Number(event.target.value) || 1, 1), this.count);
        this.choose(set(given));
      },
    });
    fill(this.scope,
      h("div", { class: "group", role: "group", "aria-label": "Frames that are changed" },
        button("All frames", null, !this.span),
        button(this.span ? `Frames ${first} to ${last}` : "Only from here", this.span ?? [this.frame, this.count], Boolean(this.span))),
      this.span
        ? h("div", { class: "row" }, "from", field("First frame", first, (n) => [n, Math.max(n, last)]),
          "to", field("Last frame", last, (n) => [Math.min(first, n), n]))
        : null);
  }

  /** Show the image that is wanted if it is there, else grey the old one. */
  arrived() {
    if (this.ended || this.stop) return;
    const found = this.images.find(this.wanted);
    clearTimeout(this.timers.grey);
    this.viewer.element.dataset.state = found?.error ? "error" : found ? "shown" : "waiting";
    if (found?.error) {
      this.viewer.stale(true);
      this.status.textContent = found.error;
      this.status.className = "error";
    } else if (found) {
      this.viewer.show(found.url, `${VIEWS[this.view]} of frame ${this.frame}`);
      this.viewer.stale(false);
      this.status.textContent = `${found.milliseconds} ms${found.asked ? ", network asked" : ""}`;
      this.status.className = "dim";
    } else {
      const slow = Object.entries(this.schema.slow).some(([key, choices]) => choices.includes(this.wanted.values[key]));
      if (slow) this.viewer.stale(true);
      else this.timers.grey = setTimeout(() => this.viewer.stale(true), GREY_MS);
      this.status.textContent = "…";
      this.status.className = "dim";
    }
  }

  // -- playing -----------------------------------------------------------------------------------
  play() {
    if (this.stop) return this.stopPlaying();
    const [first, last] = this.span ?? [1, this.count];
    let at = this.frame >= first && this.frame < last ? this.frame : first;
    let due = performance.now();
    const step = () => {
      const wanted = (frame) => ({ frame, values: this.values(frame).all, view: this.view, width: PLAY_WIDTH });
      for (let i = 0; i < PLAY_AHEAD; i++) {
        const frame = first + (at - first + i) % (last - first + 1);
        this.images.want(`play ${frame % PLAY_AHEAD}`, wanted(frame));
      }
      const found = this.images.find(wanted(at));
      if (found && performance.now() >= due) {
        due = performance.now() + FRAME_MS;
        this.frame = at;
        if (found.url) this.viewer.show(found.url, `Frame ${at}`, true);
        this.viewer.stale(false);
        this.show();
        this.status.textContent = found.error ?? "playing, reduced";
        at = at < last ? at + 1 : first;
      }
      this.stop = setTimeout(step, 10);
    };
    this.stop = setTimeout(step, 0);
    this.show();
  }

  stopPlaying() {
    clearTimeout(this.stop);
    this.stop = null;
    if (!this.ended) this.show();
  }

  // -- keys --------------------------------------------------------------------------------------
  key(event) {
    const { target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const kind = target.tagName === "INPUT" ? target.type : target.tagName;
    if (["number", "text", "TEXTAREA"].includes(kind)) return;
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    const own = event.code.startsWith("Arrow") || event.code === "Home" || event.code === "End";
    if (own && (kind === "range" || kind === "SELECT")) return;
    if (event.code === "Space" && ["checkbox", "BUTTON", "SELECT", "SUMMARY"].includes(kind)) return;
    if (event.code.startsWith("Key") && kind === "SELECT") return;
    const calls = {
      Home: () => this.go(1), End: () => this.go(this.count),
      Digit1: () => this.look("after"), Digit2: () => this.look("before"),
      Digit3: () => this.look("mask"), Digit4: () => this.look("triptych"),
      KeyA: () => this.choose(this.span, "A"), KeyB: () => this.choose(this.span, "B"),
      KeyS: () => !this.page.readOnly && this.save(), Space: () => this.play(),
      Escape: () => this.choose(null), BracketLeft: () => this.mark(false), BracketRight: () => this.mark(true),
      Equal: () => this.viewer.zoomBy(1.25), NumpadAdd: () => this.viewer.zoomBy(1.25),
      Minus: () => this.viewer.zoomBy(0.8), NumpadSubtract: () => this.viewer.zoomBy(0.8),
      Digit0: () => this.viewer.fit(),
    };
    const call = event.code in moves ? () => this.go(this.frame + moves[event.code] * (event.shiftKey ? 10 : 1)) : calls[event.code];
    if (!call) return;
    event.preventDefault();
    call();
  }

  help() {
    return ask("Keys", HELP.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }
}
