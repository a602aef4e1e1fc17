// The XSeg editor: polygons on faces, saved at once into the files that they were drawn on.
import { address } from "../server.js";
import { ask, fill, h } from "../dom.js";
import { Board, COLORS, maskImages } from "./xseg_board.js";
import { Drawing } from "./xseg_drawing.js";
import { Faces, FILTERS } from "./xseg_faces.js";
import { HELP, actionOf } from "./xseg_keys.js";
import { KnownFaces } from "./xseg_known.js";
import { Pointers } from "./xseg_pointer.js";
import { Saver } from "./xseg_saving.js";
import { EXCLUDE, FEWEST, INCLUDE } from "./xseg_shapes.js";
import { Drafts, sideJob, trainJob } from "./xseg_work.js";

const SAVED = {
  saved: "saved", saving: "saving…", unsaved: "not saved", refused: "not saved", failed: "not saved", "": "",
};
const COLOR_NAMES = ["Red", "Green", "Blue"];

export function mount(page) {
  if (!document.querySelector("link[data-xseg]")) {
    document.head.append(h("link", { rel: "stylesheet", href: address("static/views/xseg.css"), "data-xseg": "" }));
  }
  const editor = new Editor(page);
  editor.begin();
  return () => editor.end();
}

class Editor extends Drawing {
  constructor(page) {
    super(page);
    this.turn = 0;
    this.saver = new Saver(page, (face) => this.saved(face));
    this.keyDown = (event) => this.pressed(event);
    this.keyUp = (event) => this.releasedKey(event);
    this.leaving = (event) => { if (this.saver.busy.size) event.preventDefault(); };
    this.back = () => this.refresh();
  }

  async begin() {
    const { page } = this;
    fill(page.element, h("p", { class: "dim" }, "Looking for faces…"));
    try {
      const sides = await page.get("sides");
      if (this.ended) return;
      const side = page.rest[0] ?? localStorage.getItem("dfl-tf-xseg-side") ?? "dst";
      this.side = sides.some((each) => each.side === side) ? side : "dst";
      this.sides = sides;
      this.known = new KnownFaces(page, this.saver, sides);
      this.faces = new Faces(page, this.side, {
        go: (index) => this.go(index), changed: (id) => this.changedElsewhere(id), outdated: () => this.relist(),
      });
      await this.faces.list();
    } catch (error) {
      if (this.ended) return;
      this.fail(error);
      return;
    }
    if (this.ended) return;
    this.build();
    page.on("hello", () => this.saver.retry());
    addEventListener("keydown", this.keyDown);
    addEventListener("keyup", this.keyUp);
    addEventListener("beforeunload", this.leaving);
    addEventListener("focus", this.back);
    await this.known.bringDrafts();
    const wanted = this.faces.positions.get(page.rest[1]);
    this.go(wanted ?? this.faces.first());
  }

  fail(error) {
    fill(this.page.element, h("h1", {}, "XSeg"), h("p", { class: "error" }, error.message),
      this.sides ? this.sideChoice() : null, h("button", { onclick: () => this.begin() }, "Try again"));
  }

  end() {
    this.leaveFace();
    this.ended = true;
    this.faces?.end();
    this.board?.end();
    this.saver.end();
    for (const job of this.jobs ?? []) job.end();
    removeEventListener("keydown", this.keyDown);
    removeEventListener("keyup", this.keyUp);
    removeEventListener("beforeunload", this.leaving);
    removeEventListener("focus", this.back);
  }

  // -- the page ----------------------------------------------------------------------------------
  sideChoice() {
    return h("select", { "aria-label": "Faces of", onchange: (event) => this.page.go(`xseg/${event.target.value}`) },
      this.sides.map(({ side }) => h("option", { value: side, selected: side === this.side }, side)));
  }

  build() {
    const { page } = this;
    const write = (props, ...children) => h("button", { class: "write", ...props }, ...children);
    this.board = new Board();
    this.pointers = new Pointers(this.board, this);
    this.board.element.append(this.refused = h("div", { class: "refused", hidden: true, role: "alert" }));
    this.board.element.append(this.told = h("div", { class: "told" }));
    this.pressable = {
      include: write({ onclick: () => this.setKind(INCLUDE), title: "Q" }, "Include"),
      exclude: write({ onclick: () => this.setKind(EXCLUDE), title: "W" }, "Exclude"),
      points: write({ onclick: () => this.setPointMode(), title: "P, or Ctrl held: delete and insert points" }, "± Points"),
      ...Object.fromEntries(COLORS.map((_, i) => [`color${i}`, h("button", { class: `color c${i}`, "aria-label": `${COLOR_NAMES[i]} outlines`, title: String(i + 1), onclick: () => this.setColor(i) })])),
      baked: h("button", { onclick: () => this.setView("baked"), title: "4" }, "Polygons"),
      mask: h("button", { onclick: () => this.setView("mask"), title: "5" }, "Mask"),
      overlay: h("button", { onclick: () => this.setOverlay(), title: "`" }, "Overlay"),
    };
    const of = this.pressable;
    this.undoing = write({ onclick: () => this.undo(-1), title: "Ctrl + Z" }, "Undo");
    this.redoing = write({ onclick: () => this.undo(1), title: "Ctrl + Shift + Z" }, "Redo");
    this.removing = write({ onclick: () => this.remove(), title: "Delete" }, "Delete");
    this.status = h("span", { class: "saved", role: "status" });
    this.name = h("span", { class: "name" });
    this.total = h("span", { class: "dim" });
    this.number = h("input", { type: "number", min: 1, "aria-label": "Number of the face", onchange: (event) => { this.board.element.focus(); this.go(Number(event.target.value) - 1); } });
    this.filter = h("select", { "aria-label": "Filter", onchange: (event) => { this.board.element.focus(); this.setFilter(event.target.value); } },
      Object.entries(FILTERS).map(([value, text]) => h("option", { value }, text)));
    this.drafts = new Drafts(this.saver, {
      open: (draft) => this.openDraft(draft), use: (draft) => this.useDraft(draft),
      discarded: (draft) => this.discarded(draft),
    });
    this.jobs = [trainJob(page), sideJob(page, this.side, (job, before) => this.worked(job, before))];
    const group = (label, ...children) => h("div", { class: "group", role: "group", "aria-label": label }, children);
    fill(page.element,
      h("h1", { class: "sr" }, "XSeg"),
      this.faces.refusal ? h("p", { class: "warn refusal" }, this.faces.refusal) : null,
      h("div", { class: "xseg-grid" },
        h("section", { class: "stage", "aria-label": "Face" },
          h("div", { class: "row bar" },
            group("Kind of polygon", of.include, of.exclude), group("Change", this.undoing, this.redoing, this.removing, of.points),
            group("Color", ...COLORS.map((_, i) => of[`color${i}`])), group("View", of.baked, of.mask, of.overlay),
            group("Zoom",
              h("button", { "aria-label": "Zoom out", onclick: () => this.board.zoomBy(1 / 1.2) }, "−"),
              h("button", { onclick: () => this.board.fit() }, "Fit"),
              h("button", { "aria-label": "Zoom in", onclick: () => this.board.zoomBy(1.2) }, "+"))),
          this.board.element,
          h("div", { class: "row below" },
            h("button", { "aria-label": "Face before", title: "A", onclick: () => this.step(-1) }, "◀"),
            this.faces.strip,
            h("button", { "aria-label": "Next face", title: "D", onclick: () => this.step(1) }, "▶")),
          h("div", { class: "row" }, this.number, this.total, this.name, this.status,
            h("button", { onclick: () => this.help(), title: "F1" }, "Keys"))),
        h("div", { class: "stack" },
          h("section", { class: "panel", "aria-label": "Faces" },
            h("div", { class: "row" }, this.sideChoice(), this.filter), this.faces.counted),
          h("section", { class: "panel", "aria-label": "This face" },
            h("h2", {}, "This face"),
            h("div", { class: "row" },
              write({ onclick: () => this.fromMask(), title: "M" }, "Polygons from the mask"),
              write({ onclick: () => this.copyFrom(-1), title: "C" }, "Copy from before"),
              write({ onclick: () => this.copyFrom(1), title: "Shift + C" }, "Copy from after"),
              write({ class: "danger write", onclick: () => this.trash(), title: "X" }, "To the trash")),
            this.drafts.element),
          h("section", { class: "panel work", "aria-label": "Model" },
            h("h2", {}, "Train on the labels (", h("a", { href: "#/watch" }, "watch"), ")"), this.jobs[0].element,
            h("h2", {}, `Masks of ${this.side}`), this.jobs[1].element))));
    if (page.readOnly || this.faces.refusal) {
      for (const button of page.element.querySelectorAll(".stage .write, [aria-label='This face'] .write")) button.disabled = true;
    }
    if (page.readOnly) for (const button of page.element.querySelectorAll(".write")) button.disabled = true;
  }

  // -- faces -------------------------------------------------------------------------------------
  /** Show the face at a position. */
  async go(index) {
    if (this.ended) return;
    if (!(index >= 0 && index < this.faces.faces.length)) {
      this.tell(this.faces.filter === "all" ? "There is no face." : "No (further) face passes this filter.");
      return;
    }
    this.leaveFace();
    const turn = ++this.turn;
    this.abort?.abort(); // of a key that is held, only the last face is read whole
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.faces.index = index;
    this.faces.show();
    const [id, name] = this.faces.faces[index];
    this.number.value = index + 1;
    this.number.max = this.faces.faces.length;
    this.total.textContent = `of ${this.faces.faces.length}`;
    this.name.textContent = name;
    history.replaceState(null, "", `#/xseg/${this.side}/${id}`);
    localStorage.setItem("dfl-tf-xseg-side", this.side);
    try {
      const face = await this.known.read(this.side, id, signal);
      if (turn !== this.turn || this.ended) return;
      const image = await this.known.blob("image", face, signal);
      face.bitmap = await createImageBitmap(image, { imageOrientation: "none" });
      if (turn !== this.turn || this.ended) return;
      this.face = face;
      this.tell("");
      if (face.masked) this.readMask(face);
    } catch (error) {
      if (turn !== this.turn || this.ended) return;
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
    if (this.preview) this.dropPoint();
    const { open, polygons } = face.history.now;
    if (open && this.editable) {
      const whole = open.points.length >= FEWEST;
      this.commit({ open: null, polygons: whole ? [...polygons, open] : polygons });
    }
    face.bitmap?.close();
    face.bitmap = face.mask = null;
    this.face = null;
    this.board.element.dataset.mode = ""; // the old one is seen until the next one is there
    this.selected = null;
    this.point = this.hovered = -1;
    this.kind = INCLUDE;
    this.centered = this.aim = this.hint = this.preview = null;
  }

  async readMask(face) {
    try {
      face.mask = await maskImages(await this.known.blob("mask", face));
    } catch {
      face.mask = null;
    }
    this.render();
  }

  /** Another page, or a command, may have written this face. */
  async refresh() {
    const { face } = this;
    if (!face || this.ended || face.sending) return;
    try {
      const info = await this.known.ask(face);
      if (face !== this.face || info.hash === face.hash) return;
      if (info.image !== face.image) {
        if (!this.saver.busy.has(face) && face.status?.state !== "refused") this.go(this.faces.index);
        return;
      }
      const masked = face.masked;
      this.known.adopt(face, info);
      if (info.masked || masked) await this.readMask(face);
    } catch {
      // the next write says what is wrong
    }
    this.render();
  }

  changedElsewhere(id) {
    if (this.face?.id === id) this.refresh();
  }

  async relist() {
    const id = this.faces.faces[this.faces.index]?.[0];
    try {
      await this.faces.list();
    } catch (error) {
      this.page.say(error.message, "error");
      return;
    }
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
    this.faces.filter = this.filter.value = filter;
    this.faces.show();
    if (!this.faces.matches(this.faces.index)) {
      const next = this.faces.step(1);
      this.go(next === this.faces.index ? this.faces.first() : next);
    }
  }

  nextFilter() {
    const all = Object.keys(FILTERS);
    this.setFilter(all[(all.indexOf(this.faces.filter) + 1) % all.length]);
  }

  async trash() {
    const { face } = this;
    if (!this.editable || this.saver.busy.has(face) || face.status?.state === "refused") {
      this.page.say("This face is not saved yet, or cannot be changed: it stays.", "error");
      return;
    }
    const { index } = this.faces;
    try {
      const { folder } = await this.page.post(`trash/${face.side}/${face.id}`, { hash: face.hash });
      this.page.say(`${face.name} is in ${folder} now.`);
    } catch (error) {
      this.page.say(error.message, "error");
      return;
    }
    const next = this.faces.step(1) === index ? this.faces.step(-1) : this.faces.step(1);
    this.faces.note(index, "x");
    this.go(next);
  }

  tell(text, bad = false) {
    this.told.textContent = text;
    this.told.classList.toggle("error", bad);
  }

  saved(face) {
    if (this.drafts && !this.ended) this.drafts.show(this.face);
    if (face !== this.face || !this.status) return;
    const { state, text } = face.status ?? { state: "", text: "" };
    this.status.textContent = SAVED[state] + (text && state !== "refused" ? `: ${text}` : "");
    this.status.dataset.state = state;
    this.status.className = `saved ${{ saved: "good", saving: "dim", "": "dim" }[state] ?? "error"}`;
    this.refused.hidden = state !== "refused";
    if (state === "refused") {
      fill(this.refused, h("p", {}, text || "This file was changed meanwhile."),
        h("p", {}, "Your polygons are kept in this browser."),
        h("div", { class: "row" },
          h("button", { onclick: () => this.reload(face) }, "Show the file as it is"),
          h("button", { class: "main", onclick: () => this.insist(face) }, "Put my polygons there")));
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
      this.page.say(error.message, "error");
      this.relist();
      return;
    }
    this.go(this.faces.index);
  }

  async insist(face) {
    try {
      const info = await this.known.ask(face);
      if (info.image !== face.image) {
        this.page.say("This name holds another image now, on which your polygons were not drawn.", "error");
        return;
      }
      face.masked = info.masked;
      this.saver.insist(face, info.hash);
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  openDraft(draft) {
    if (draft.side !== this.side) {
      this.page.go(`xseg/${draft.side}/${draft.id}`);
      return;
    }
    const index = this.faces.positions.get(draft.id);
    if (index === undefined) this.page.say("That face no longer exists under its name.", "error");
    else this.go(index);
  }

  useDraft(draft) {
    if (this.editable) this.add([...draft.polygons, ...(draft.open?.points.length >= FEWEST ? [draft.open] : [])]);
  }

  discarded(draft) {
    const face = this.known.faces.get(`${draft.side} ${draft.id}`);
    if (face?.draft === draft.key) {
      this.saver.giveUp(face);
      this.known.forget(face);
    }
    this.drafts.show(this.face);
  }

  worked(job, before) {
    if (job.state === "running" || before === "running") this.refresh();
    if (before === "running" && job.state !== "running") this.relist();
  }

  // -- keys --------------------------------------------------------------------------------------
  pressed(event) {
    if (document.querySelector("dialog[open]")) return;
    const { target } = event;
    const kind = target.tagName === "INPUT" ? target.type : target.tagName;
    if (["number", "text", "TEXTAREA", "SELECT"].includes(kind)) return;
    if (event.code.startsWith("Shift") && this.face && this.state.open) this.beginCentering();
    const button = kind === "BUTTON" || kind === "checkbox" || kind === "SUMMARY";
    if (event.code === "Space" && !button) {
      this.panning = true;
      event.preventDefault();
      return;
    }
    if (button && event.code === "Enter") return;
    const action = actionOf(event, this);
    if (!action) return;
    event.preventDefault();
    action();
  }

  releasedKey(event) {
    if (event.code === "Space") this.panning = false;
    if (event.code.startsWith("Shift") && this.centered) {
      this.endCentering();
      this.render();
    }
  }

  help() {
    return ask("Keys", HELP.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }
}
