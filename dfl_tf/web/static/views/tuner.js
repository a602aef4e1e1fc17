// Tuning a merge: one frame at a time, every setting a control, settings over ranges of frames.
import { ask, button, buttons, copyable, group, h, press, row, select } from "../dom.js";
import { Images } from "../images.js";
import { JobPanel } from "../job.js";
import { FrameBar, View } from "../view.js";
import { Viewer } from "../viewer.js";
import { Controls } from "./tuner_controls.js";
import { TimelineRows } from "./tuner_timeline.js";

export const styles = true;
const VIEWS = { after: "After", before: "Before", mask: "Mask", triptych: "Triptych" };
const SAVE_MS = 250;
const GREY_MS = 150;
const PLAY_WIDTH = 640;
const PLAY_AHEAD = 3;
const FRAME_MS = 40;
const within = (frame, span) => !span || (span[0] <= frame && frame <= span[1]);

export default class Tuner extends View {
  static title = "Merge";
  static keys = [
    ["← →", "frame before, next (with Shift: ten)"], ["Home End", "first, last frame"],
    ["1 2 3 4", "after, before, mask, triptych"], ["A B", "which settings are shown"],
    ["[ ]", "the range begins, ends at this frame"], ["Esc", "settings of all frames"],
    ["Space", "play the range, stop"], ["+ − 0", "zoom in, out, fit"], ["S", "save as merge.yaml"],
  ];

  slot = "A";
  view = "after";
  span = null;
  pending = null; // {slot, span, values}: changed here, not yet on the server
  queue = []; // changes that are on their way

  async load() {
    const { page } = this;
    this.models = await page.get("models");
    if (!this.models.length) throw new Error("There is no model to merge with in this workspace yet.");
    this.model = this.models.find((each) => each.id === page.rest[0]) ?? this.models[0];
    [this.schema, this.scene] = await Promise.all([page.get("options"), page.get(`scene/${this.model.id}`)]);
    this.tuning = this.scene.tuning;
    this.count = this.scene.frames.length;
    this.frame = this.scene.faces.findIndex((faces) => faces > 0) + 1 || 1;
    this.defaults = Object.fromEntries(this.schema.options.map((each) => [each.key, each.default]));
  }

  build() {
    const { page, scene } = this;
    this.images = new Images(() => this.arrived());
    this.viewer = new Viewer();
    this.controls = new Controls(this.schema.options, scene.lacks, (key, value) => this.change(key, value));
    this.timeline = new TimelineRows(this.count, scene.faces, (frame) => this.bar.go(frame), (span) => this.choose(span));
    this.bar = new FrameBar("Frame", (frame) => this.go(frame));
    this.saved = h("span.dim", { role: "status" });
    this.name = h("span.name");
    this.views = buttons(VIEWS, (view) => this.look(view));
    this.slots = buttons({ A: "A", B: "B" }, (slot) => this.choose(this.span, slot));
    this.playing = button("Play", () => this.play());
    this.line = copyable(page.say);
    this.reading = button("Read merge.yaml", () => this.take("files"), { class: "write" });
    const title = ({ title: name, class: kind }) => `${name} ${kind}`;
    return [
      scene.notes.map((note) => h("p.warn", note)),
      h("div.sides",
        h("section.stage", { "aria-label": "Frame" },
          h("div.row.bar",
            this.models.length < 2 ? h("strong", title(this.model)) :
              select("Model", this.models.map((each) => [each.id, title(each)]), (id) => page.go(`tuner/${id}`), this.model.id),
            group("View", this.views),
            group("Settings", this.slots,
              button("Copy to the other", () => this.copy(), { class: "write", title: "Give the other one these settings" })),
            this.viewer.buttons),
          this.viewer.element,
          h("div.row.bar.frames", this.bar.parts, this.name, this.playing),
          this.timeline.element),
        h("section.panel.settings", { "aria-label": "Settings" }, this.scope(), this.controls.element)),
      h("section.panel.actions", { "aria-label": "Files and merge" },
        row(
          button("Save as merge.yaml", () => this.save(), { class: "main write" }), this.reading,
          scene.session && button("Read DeepFaceLab's session", () => this.take("session"), { class: "write" }),
          button("Keys", () => this.help()), this.saved),
        this.line.element, this.merging()),
    ];
  }

  /** Which frames the controls are for. */
  scope() {
    const field = (label, spanOf) => h("input", {
      type: "number", min: 1, max: this.count, "aria-label": label,
      onchange: ({ target }) => this.choose(spanOf(Math.min(Math.max(Math.round(target.value), 1), this.count))),
    });
    this.all = button("All frames", () => this.choose(null));
    this.some = button("", () => this.choose(this.span ?? [this.frame, this.count]));
    this.first = field("First frame", (frame) => [frame, Math.max(frame, this.span[1])]);
    this.last = field("Last frame", (frame) => [Math.min(this.span[0], frame), frame]);
    this.range = row("from", this.first, "to", this.last);
    return h("div.scope", group("Frames that are changed", this.all, this.some), this.range);
  }

  /** The merge of all frames with the settings that are shown. */
  merging() {
    const { page, model } = this;
    const how = select("Frames that are there already", { "": "into empty folders", resume: "resume", overwrite: "overwrite" });
    const start = (frames) => page.post(`start/${model.id}`, { slot: this.slot, how: frames });
    return new JobPanel({
      page, title: "Merge now", label: "Merged frames", states: { running: "merging", done: "merged" }, controls: [how],
      look: () => page.get(`merge/${model.id}`), start: () => start(how.value),
      resume: () => start("resume"), stop: () => page.post(`stop/${model.id}`),
    }).element;
  }

  shown() {
    this.page.on("hello", () => this.show()); // the server is there again
    this.listen("beforeunload", (event) => { if (this.pending || this.queue.length) event.preventDefault(); });
    this.show();
  }

  end() {
    super.end();
    this.stopPlaying();
    this.send();
    this.images?.end();
  }

  // -- settings ----------------------------------------------------------------------------------
  /** What holds for a frame, with what is not saved yet. */
  values(frame) {
    const { base: stored, segments } = this.tuning.slots[this.slot];
    const base = { ...stored };
    const own = { ...segments.find(({ first, last }) => within(frame, [first, last]))?.values };
    for (const { slot, span, values } of [...this.queue, this.pending].filter(Boolean)) {
      if (slot !== this.slot || !within(frame, span)) continue;
      for (const [key, value] of Object.entries(values)) {
        if (value === null && span) delete own[key];
        else (span ? own : base)[key] = value ?? this.defaults[key];
      }
    }
    return { base, own, all: { ...base, ...own } };
  }

  change(key, value) {
    if (this.pending && (this.pending.slot !== this.slot || String(this.pending.span) !== String(this.span))) this.send();
    if (!within(this.frame, this.span)) this.go(this.span[0]);
    this.pending ??= { slot: this.slot, span: this.span, values: {} };
    this.pending.values[key] = value;
    this.show();
    this.tell("saving…");
    this.page.later("save", SAVE_MS, () => this.send());
  }

  tell(text, kind = "dim") {
    this.saved.textContent = this.page.readOnly ? "read-only: changes are not kept" : text;
    this.saved.className = kind;
  }

  /** Bring changes to the server, one after the other. */
  async send() {
    const change = this.pending;
    if (!change || this.page.readOnly) return this.busy;
    this.pending = null;
    this.queue.push(change);
    await this.post("change", change);
    this.queue = this.queue.filter((each) => each !== change);
    this.show();
  }

  /** Each question goes out with the settings that the answer before brought. */
  inTurn(call) {
    return this.busy = Promise.resolve(this.busy).catch(() => {}).then(call);
  }

  post(what, body) {
    return this.inTurn(() => this.apply(what, body));
  }

  /** Ask for other settings; where that is refused, those of the server are taken. */
  async apply(what, body) {
    const { page, model } = this;
    try {
      const ask = () => page.post(`${what}/${model.id}`, { ...body, revision: this.tuning.revision });
      this.tuning = (await this.persist(ask, (...told) => this.tell(...told))).tuning;
      if (!this.pending) this.tell("saved", "good");
    } catch (error) {
      this.tell("not saved", "error");
      page.say(error.message, "error");
      const scene = await page.get(`scene/${model.id}`, null).catch(() => this); // also after the view was left
      this.tuning = scene.tuning;
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
    await this.inTurn(async () => {
      const { tuning, written } = await this.page.post(`save/${this.model.id}`, { slot: this.slot, replace: there.length > 0 });
      this.tuning = tuning;
      this.page.say(`Saved: ${written.join(", ")}`);
    });
    this.show();
  }

  // -- what is shown -----------------------------------------------------------------------------
  go(frame) {
    this.frame = frame;
    this.show();
  }

  look(view) {
    this.view = view;
    this.show();
  }

  /** Settings of which frames, and of which slot, the controls are. */
  choose(span, slot = this.slot) {
    this.send();
    Object.assign(this, { span, slot });
    this.show();
  }

  show() {
    if (this.ended) return;
    const { frame, span, scene, tuning } = this;
    const { base, own } = this.values(within(frame, span) ? frame : span[0]);
    this.bar.show(frame, this.count);
    this.name.textContent = scene.frames[frame - 1] + (scene.faces[frame - 1] ? "" : " (no face)");
    press(this.views, this.view);
    press(this.slots, this.slot);
    press(this.all, !span);
    press(this.some, Boolean(span));
    this.some.textContent = span ? `Frames ${span[0]} to ${span[1]}` : "Only from here";
    this.range.hidden = !span;
    [this.first.value, this.last.value] = span ?? ["", ""];
    this.playing.textContent = this.stop ? "Stop" : "Play";
    this.controls.show({ base, own, span });
    this.timeline.show(tuning.slots[this.slot].segments, frame, span);
    this.line.show(tuning.lines[this.slot]);
    this.reading.hidden = !tuning.saved.length;
    if (this.stop) return;
    this.images.want("page", this.address(frame));
    this.arrived();
  }

  /** Where the image of a frame is; `width` is 0 for all pixels. */
  address(frame, width = 0) {
    const settings = this.view === "before" ? {} : this.values(frame).all;
    const asked = new URLSearchParams({ frame: frame - 1, view: this.view, width, settings: JSON.stringify(settings) });
    return this.page.api(`image/${this.model.id}?${asked}`);
  }

  /** Show the image that is wanted if it is there, else grey the old one. */
  arrived() {
    if (this.ended || this.stop) return;
    const { viewer, frame } = this;
    const found = this.images.find(this.address(frame));
    const state = viewer.element.dataset.state = found?.error ? "error" : found ? "shown" : "waiting";
    if (found?.url) viewer.show(found.url, `${VIEWS[this.view]} of frame ${frame}`);
    const { all } = this.values(frame);
    const slow = Object.entries(this.schema.slow).some(([key, choices]) => choices.includes(all[key]));
    if (found || slow) viewer.stale(state !== "shown");
    this.page.later("grey", GREY_MS, () => viewer.stale(viewer.element.dataset.state !== "shown"));
    const told = found ? `${found.milliseconds} ms${found.asked ? ", network asked" : ""}` : "…";
    viewer.say(found?.error ?? told, found?.error ? "error" : "dim");
  }

  // -- playing -----------------------------------------------------------------------------------
  play() {
    if (this.stop) return this.stopPlaying();
    const { viewer, images } = this;
    const [first, last] = this.span ?? [1, this.count];
    let at = this.frame >= first && this.frame < last ? this.frame : first;
    let due = performance.now();
    const step = () => {
      for (let i = 0; i < PLAY_AHEAD; i++) {
        const frame = first + (at - first + i) % (last - first + 1);
        images.want(`play ${frame % PLAY_AHEAD}`, this.address(frame, PLAY_WIDTH));
      }
      const found = images.find(this.address(at, PLAY_WIDTH));
      if (found && performance.now() >= due) {
        due = performance.now() + FRAME_MS;
        if (found.url) viewer.show(found.url, `Frame ${at}`, true);
        viewer.stale(false);
        this.go(at);
        viewer.say(found.error ?? "playing, reduced");
        at = at < last ? at + 1 : first;
      }
      this.stop = setTimeout(step, 10);
    };
    this.stop = setTimeout(step, 0);
    return this.show();
  }

  stopPlaying() {
    clearTimeout(this.stop);
    this.stop = null;
    this.show();
  }

  // -- keys --------------------------------------------------------------------------------------
  calls(event) {
    const [first, last] = this.span ?? [1, this.count];
    const { frame } = this;
    return {
      ...this.bar.calls(event), ...this.viewer.calls(),
      Digit1: () => this.look("after"), Digit2: () => this.look("before"),
      Digit3: () => this.look("mask"), Digit4: () => this.look("triptych"),
      KeyA: () => this.choose(this.span, "A"), KeyB: () => this.choose(this.span, "B"),
      KeyS: () => this.page.readOnly || this.save(), Space: () => this.play(), Escape: () => this.choose(null),
      BracketLeft: () => this.choose([frame, Math.max(last, frame)]),
      BracketRight: () => this.choose([Math.min(first, frame), frame]),
    };
  }
}
