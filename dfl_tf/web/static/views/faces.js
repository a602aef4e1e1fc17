// Looking through faces: thousands in a grid, one enlarged, by their measures; what is bad goes to the trash.
import { ask, fill, h } from "../dom.js";
import { address } from "../server.js";
import { CoverageMaps } from "./faces_coverage.js";
import { FaceGrid } from "./faces_grid.js";
import { Choosing, Job, Persons, Steps, figure } from "./faces_panel.js";
import { FaceViewer, LAYERS } from "./faces_viewer.js";

const NAMES_AT_ONCE = 300;
const HELP = [
  ["← → ↑ ↓", "go (with Shift: mark on the way)"], ["Space, click", "mark"], ["Shift+click", "mark up to here"],
  ["Enter, double click", "enlarge, back"], ["Del", "marked faces to the trash; back in the trash view"], ["U", "undo"],
  ["A", "mark all that are shown"], ["Esc", "back, unmark"], ["1 2 3", "landmarks, polygons, mask"], ["+ −", "size"],
  ["Home End PgUp PgDn", "far"],
];
const PANELS = { choose: "Sort, filter", coverage: "Coverage", persons: "Persons", steps: "Steps" };

export function mount(page) {
  if (!document.querySelector("link[data-faces]")) {
    document.head.append(h("link", { rel: "stylesheet", href: address("static/views/faces.css"), "data-faces": "" }));
  }
  const faces = new Faces(page);
  faces.begin();
  return () => faces.end();
}

class Faces {
  constructor(page) {
    this.page = page;
    this.layers = new Set();
    this.rows = new Map(); // number -> {name, …}
    this.tried = new Set(); // what was measured for the question of now
    this.keys = (event) => this.key(event);
    this.turn = 0;
  }

  async begin() {
    const { page } = this;
    fill(page.element, h("p", { class: "dim" }, "Looking for faces…"));
    try {
      this.catalog = await page.get("places");
      if (!this.catalog.places.length) throw new Error("There are no aligned faces in this workspace yet.");
    } catch (error) {
      if (this.ended) return;
      fill(page.element, h("h1", {}, "Faces"), h("p", { class: "error" }, error.message), h("button", { onclick: () => this.begin() }, "Try again"));
      return;
    }
    if (this.ended) return;
    this.place = this.catalog.places.find((each) => each.id === page.rest[0]) ?? this.catalog.places[0];
    this.build();
    this.endedJob = this.catalog.job.state && this.catalog.job.state !== "running" ? this.catalog.job.number : 0;
    this.running = this.catalog.job.state === "running";
    this.job.show(this.catalog.job);
    page.on("faces", (job) => this.told(job));
    page.on("faces-moved", ({ home }) => { if (!this.busy && home === this.answer?.home) this.reload(); });
    page.on("hello", () => this.reload());
    page.on("resync", () => this.reload());
    addEventListener("keydown", this.keys);
    await this.load();
  }

  end() {
    this.ended = true;
    removeEventListener("keydown", this.keys);
    this.grid?.end();
    this.viewer?.end();
  }

  build() {
    const { page, catalog } = this;
    this.grid = new FaceGrid({
      image: (number) => this.image(number),
      title: (number, index) => this.rows.get(number)?.name ?? `Face ${index + 1}`,
      caption: (number) => figure(this.rows.get(number)?.[this.caption]),
      click: (index, event) => this.click(index, event),
      open: (index) => this.open(index),
      seen: (numbers) => this.seen(numbers),
    });
    this.grid.side = catalog.sides[1];
    this.viewer = new FaceViewer(page, (what, number) => this.path(what, number));
    this.viewer.element.hidden = true;
    this.choosing = new Choosing(catalog, () => { this.tried.clear(); this.load(true); });
    this.job = new Job(page);
    this.maps = new CoverageMaps(page, (place, cell, text) => this.pose(place, cell, text), (places) => this.measure({ places, columns: ["yaw", "pitch"] }));
    this.persons = new Persons(page, {
      image: (number) => this.image(number, 96),
      group: (strictness) => this.measure({ method: "persons", strictness }),
      others: (person) => this.markOthers(person),
      person: (person) => { this.panel("choose"); this.choosing.only("person", person, person); },
    });
    this.steps = new Steps(page, {
      undo: (step) => this.inTurn(() => this.move("undo", { step })), undoOthers: () => this.inTurn(() => this.move("undo-others", {})),
    });
    this.choice = h("select", { "aria-label": "Folder of faces", onchange: () => this.go(this.choice.value) });
    this.count = h("span", { role: "status", class: "count" });
    this.notes = h("div", { class: "notes" });
    this.mover = h("button", { class: "write", onclick: () => this.moveMarked() });
    this.undoing = h("button", { class: "write", onclick: () => this.undo() }, "Undo");
    this.layerButtons = Object.entries(LAYERS).map(([name, title]) => h("button", { "data-layer": name, onclick: () => this.layer(name) }, title));
    this.opener = h("button", { class: "opener", onclick: () => this.open() });
    this.tabs = Object.entries(PANELS).map(([name, title]) => h("button", { "data-panel": name, onclick: () => this.panel(name) }, title));
    this.panels = { choose: this.choosing.element, coverage: this.maps.element, persons: this.persons.element, steps: this.steps.element };
    fill(page.element,
      h("h1", { class: "sr" }, "Faces"),
      h("div", { class: "row bar" }, this.choice, this.count,
        h("button", { onclick: () => this.markAll() }, "Mark all"), h("button", { onclick: () => this.unmark() }, "Unmark"), this.mover, this.undoing,
        h("div", { class: "group", role: "group", "aria-label": "Layers" }, this.layerButtons),
        h("div", { class: "group", role: "group", "aria-label": "Size" },
          h("button", { "aria-label": "Smaller", onclick: () => this.resize(-1) }, "−"), h("button", { "aria-label": "Larger", onclick: () => this.resize(1) }, "+")),
        this.opener, h("button", { onclick: () => this.help() }, "Keys")),
      this.notes,
      h("div", { class: "faces-sides" },
        h("section", { class: "stage", "aria-label": "Faces" }, this.grid.element, this.viewer.element),
        h("section", { class: "panel beside", "aria-label": "Choose" },
          h("div", { class: "group", role: "group", "aria-label": "What is beside the faces" }, this.tabs), this.job.element, Object.values(this.panels))),
      h("p", { class: "dim keys" }, HELP.map(([keys, what]) => h("span", {}, h("kbd", {}, keys), ` ${what}`))));
    this.showPlaces();
    this.choosing.show();
    this.panel("choose");
    if (page.readOnly) for (const button of page.element.querySelectorAll(".write")) button.disabled = true;
  }

  // -- what is shown -----------------------------------------------------------------------------
  path(what, number) {
    return `${what}/${this.place.id}/${this.run}/${number}`;
  }

  image(number, side = this.grid.side) {
    const layers = [...this.layers].sort().join(",");
    return this.page.api(`${this.path("small", number)}?side=${side}${layers ? `&layers=${layers}` : ""}`);
  }

  showPlaces() {
    const { places } = this.catalog;
    fill(this.choice, places.map((each) => h("option", { value: each.id }, `${each.side ? `${each.side}: ` : ""}${each.title}${each.of ? " (trash)" : ""}`)));
    this.choice.value = this.place.id;
  }

  /** Show another folder. */
  go(id, keep = false) {
    this.place = this.catalog.places.find((each) => each.id === id) ?? this.catalog.places[0];
    history.replaceState(null, "", `#/faces/${this.place.id}`);
    this.choice.value = this.place.id;
    this.grid.marks.clear();
    this.rows = new Map();
    this.tried.clear();
    if (!keep) this.choosing.question = { ...this.choosing.empty(), sort: this.choosing.question.sort, descending: this.choosing.question.descending };
    this.choosing.show();
    this.close();
    this.grid.element.scrollTop = 0;
    this.grid.current = 0;
    this.load();
    this.loadPanel(false);
  }

  pose(place, cell, text) {
    this.choosing.pose(cell, text);
    this.choosing.question.ranges = [];
    this.go(place, true);
  }

  /** The connection is there again: events may have been missed, the server may be another one. */
  async reload() {
    if (!this.run || this.loading) return; // it has just begun
    await this.load();
    try {
      this.told(await this.page.get("job"));
    } catch {
      // the next connection tells
    }
    this.loadPanel();
  }

  /** Ask which faces there are, in which order. */
  async load(top = false, fresh = false) {
    const turn = ++this.turn;
    const { question } = this.choosing;
    this.loading = true;
    try {
      const query = new URLSearchParams({ q: JSON.stringify(question) });
      if (fresh) query.set("fresh", "1");
      const answer = await this.page.get(`list/${this.place.id}?${query}`);
      if (turn !== this.turn || this.ended) return;
      if (answer.run !== this.run) {
        this.rows = new Map(); // another server: its numbers mean other faces
        if (this.run) {
          this.grid.marks.clear();
          this.endedJob = 0;
          this.running = false;
        }
        this.run = answer.run;
      }
      this.answer = answer;
      this.caption = question.sort === "name" || question.sort.startsWith("rank ") ? null : question.sort;
      this.grid.captions = Boolean(this.caption);
      if (this.caption !== this.captioned) this.rows = new Map();
      this.captioned = this.caption;
      if (top) this.grid.element.scrollTop = 0;
      this.grid.show(answer.order, top ? 0 : this.grid.current);
      this.showState();
      if (this.opened) this.showFace();
      this.measureUnknown();
    } catch (error) {
      if (turn === this.turn && !this.ended) fill(this.notes, h("p", { class: "error" }, error.message), h("button", { onclick: () => this.load() }, "Try again"));
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  showState() {
    const { answer, grid, page } = this;
    const shown = answer.order.length;
    const marked = grid.marks.size;
    this.count.textContent = `${shown === answer.total ? "" : `${shown} of `}${answer.total} faces${marked ? `, ${marked} marked` : ""}`;
    this.count.dataset.marked = marked;
    this.count.dataset.shown = shown;
    this.mover.textContent = this.place.of ? "Put back" : "To the trash";
    this.mover.disabled = page.readOnly || Boolean(answer.pak) || !marked;
    this.undoing.disabled = page.readOnly || Boolean(answer.pak);
    this.opener.textContent = this.opened ? "Back" : "Enlarge";
    for (const button of this.layerButtons) button.setAttribute("aria-pressed", String(this.layers.has(button.dataset.layer)));
    const unknown = Object.values(answer.unknown);
    fill(this.notes,
      answer.pak ? h("p", { class: "warn" }, "These faces are in a pak, which is only shown. To take faces out, unpack it: ", h("code", {}, answer.pak)) : null,
      answer.interrupted ? h("p", { class: "warn" }, "Moving files was interrupted here; some have hidden names until it is completed. ",
        h("button", { class: "write", disabled: page.readOnly, onclick: () => this.inTurn(() => this.move("finish", {})) }, "Complete it")) : null,
      unknown.length ? h("p", { class: "dim" }, `${Math.max(...unknown)} faces were not looked at for this yet.${page.readOnly ? " This page is read-only; dfl-tf web without --read-only measures them." : ""}`) : null,
      answer.left_out.map((line) => h("p", { class: "dim" }, line)),
      shown || !answer.total || unknown.length ? null : h("p", {}, "No face fits the filters."));
  }

  /** Names, and what stands below the images, of the faces in view. */
  async seen(numbers) {
    const missing = numbers.filter((number) => !this.rows.has(number)).slice(0, NAMES_AT_ONCE);
    if (!missing.length) return;
    for (const number of missing) this.rows.set(number, {});
    const { place, run, caption, rows: asked } = this; // what was asked before other values came is old
    try {
      const rows = await this.page.get(`rows/${place.id}/${run}?n=${missing.join(",")}${caption ? `&c=${encodeURIComponent(caption)}` : ""}`);
      if (this.rows !== asked || this.place !== place || this.run !== run || this.caption !== caption) return;
      for (const row of rows) asked.set(row.number, row);
      this.grid.render();
    } catch {
      for (const number of missing) asked.delete(number); // asked for again with the next look
    }
  }

  panel(name) {
    this.beside = name;
    for (const tab of this.tabs) tab.setAttribute("aria-pressed", String(tab.dataset.panel === name));
    for (const [each, element] of Object.entries(this.panels)) element.hidden = each !== name;
    this.loadPanel();
  }

  /** `poses`: whether what the maps show may have changed. */
  loadPanel(poses = true) {
    this.steps.load(this.place.id); // what the key U undoes
    if (poses && this.beside === "coverage") this.maps.load();
    if (this.beside === "persons") this.persons.load(this.place.id);
  }

  // -- measures ----------------------------------------------------------------------------------
  /** Measure what the question needs and is not known, once for each question. */
  measureUnknown() {
    const names = Object.keys(this.answer.unknown);
    if (!names.length || this.page.readOnly || this.running) return;
    const { measures, free, groups, tracks, methods } = this.catalog;
    const columns = names.filter((name) => measures.includes(name) || free.includes(name));
    const some = (...those) => those.some((name) => names.includes(name));
    const method = methods.find((each) => some(each.rank, each.rejected))?.name ?? (some(...tracks) ? "track" : some(...groups) ? "persons" : "");
    const key = `${this.place.id} ${columns.join() || method}`;
    if (this.tried.has(key)) return;
    this.tried.add(key);
    this.measure(columns.length ? { columns } : { method });
  }

  /** Measure; what is asked for while something is being measured comes after that. */
  async measure({ places = [this.place.id], columns = [], method = "", strictness = Number(this.persons.strict.value) }) {
    const task = { places, columns, method, strictness };
    if (this.running) {
      this.next = task;
      return;
    }
    this.running = true;
    try {
      this.told(await this.page.post("measure", task));
    } catch (error) {
      this.running = false;
      this.page.say(error.message, "error");
    }
  }

  /** The answer to a request may come later than the event that it is done. */
  told(job) {
    if (!job.state || job.number < this.endedJob || (job.state === "running" && job.number === this.endedJob)) return;
    const ended = job.state !== "running" && job.number !== this.endedJob;
    this.running = job.state === "running";
    this.job.show(job);
    if (!ended) return;
    this.endedJob = job.number;
    this.rows = new Map();
    const { next } = this;
    this.next = null;
    if (next) this.measure(next);
    this.load();
    this.loadPanel();
  }

  // -- marks -------------------------------------------------------------------------------------
  click(index, event) {
    const { grid } = this;
    if (event.shiftKey) this.markTo(index, this.anchor ?? grid.current);
    else {
      this.anchor = index;
      this.mark(index);
    }
    grid.go(index);
    this.showState();
  }

  mark(index) {
    const number = this.answer.order[index];
    const { marks } = this.grid;
    if (!marks.delete(number)) marks.add(number);
  }

  markTo(index, from) {
    const [first, last] = index < from ? [index, from] : [from, index];
    for (const number of this.answer.order.slice(first, last + 1)) this.grid.marks.add(number);
  }

  markAll() {
    for (const number of this.answer.order) this.grid.marks.add(number);
    this.marked();
  }

  unmark() {
    this.grid.marks.clear();
    this.marked();
  }

  /** Mark the faces of all other persons; those of nobody stay as they are. */
  async markOthers(person) {
    const ask = async (low, high) => {
      const query = new URLSearchParams({ q: JSON.stringify({ ranges: [["person", low, high]] }) });
      return (await this.page.get(`list/${this.place.id}?${query}`)).order;
    };
    try {
      const [known, own] = await Promise.all([ask(1, null), ask(person, person)]);
      const stay = new Set(own);
      this.grid.marks = new Set(known.filter((number) => !stay.has(number)));
      this.marked();
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  marked() {
    this.grid.render();
    this.viewer.element.classList.toggle("marked", this.grid.marks.has(this.viewer.number));
    this.showState();
  }

  // -- trash -------------------------------------------------------------------------------------
  /** Move the marked faces, or the one that is enlarged. */
  moveMarked() {
    return this.inTurn(() => {
      const { marks } = this.grid;
      const faces = marks.size ? [...marks] : this.opened ? [this.answer.order[this.grid.current]] : [];
      if (!faces.length) return this.page.say("Mark faces first: click, or Space.");
      return this.move(this.place.of ? "restore" : "trash", { run: this.run, faces });
    });
  }

  undo() {
    return this.inTurn(async () => {
      await this.steps.load(this.place.id);
      const step = this.steps.newest;
      if (!step) return this.page.say("There is nothing to undo.");
      return this.move("undo", { step: step.id });
    });
  }

  /** Keys may come faster than files move: each waits for the one before. */
  inTurn(call) {
    this.turns = (this.turns ?? Promise.resolve()).then(call).catch((error) => this.page.say(error.message, "error"));
    return this.turns;
  }

  async move(what, body) {
    if (this.page.readOnly || this.answer?.pak) return;
    this.busy = true; // events about this move need no reload
    try {
      const step = await this.page.post(`${what}/${this.place.id}`, body);
      if (step.what) {
        this.page.say(`${step.faces} ${step.faces === 1 ? "face" : "faces"} ${step.what === "trash" ? "moved to the trash" : "put back"}.${step.undoes ? "" : " U undoes it."}`);
        for (const number of body.faces ?? []) this.grid.marks.delete(number);
      } else this.page.say(step.undone ? `Undone: ${step.undone}.` : `Completed: ${step.finished}.`);
      this.catalog.places = (await this.page.get("places")).places;
      this.showPlaces();
    } catch (error) {
      this.page.say(error.message, "error");
      await this.forgetGone();
    }
    await this.load(false, true);
    this.busy = false;
    this.loadPanel();
    this.marked();
  }

  /** Marks of files that were changed or moved by others meanwhile mean nothing any more. */
  async forgetGone() {
    try {
      const { run, order } = await this.page.get(`list/${this.place.id}?fresh=1`);
      const there = new Set(run === this.run ? order : []);
      const gone = [...this.grid.marks].filter((number) => !there.has(number));
      for (const number of gone) this.grid.marks.delete(number);
      if (gone.length) this.page.say(`${gone.length} marked faces were changed or moved meanwhile and are not marked any more.`);
    } catch {
      // said when the list is loaded again
    }
  }

  // -- one face ----------------------------------------------------------------------------------
  open(index = this.grid.current) {
    if (this.opened) return this.close();
    if (!this.answer.order.length) return;
    this.opened = true;
    this.grid.go(index);
    this.grid.element.hidden = true;
    this.viewer.element.hidden = false;
    this.viewer.element.focus();
    this.showFace();
    this.showState();
  }

  close() {
    if (!this.opened) return;
    this.opened = false;
    this.viewer.element.hidden = true;
    this.grid.element.hidden = false;
    this.grid.layout();
    this.grid.go(this.grid.current);
    this.grid.element.focus();
    this.showState();
  }

  showFace() {
    const number = this.answer.order[this.grid.current];
    if (number === undefined) return this.close();
    this.viewer.show(number, this.layers);
    this.marked();
  }

  layer(name) {
    if (!this.layers.delete(name)) this.layers.add(name);
    this.showState();
    if (this.opened) this.showFace();
    this.grid.layout();
  }

  resize(step) {
    const { sides } = this.catalog;
    const at = Math.max(0, Math.min(sides.length - 1, sides.indexOf(this.grid.side) + step));
    this.grid.side = sides[at];
    this.grid.layout();
    this.grid.go(this.grid.current);
  }

  // -- keys --------------------------------------------------------------------------------------
  step(by, event) {
    const { grid } = this;
    const from = grid.current;
    if (this.opened && Math.abs(by) === grid.columns && grid.columns > 1) by = Math.sign(by);
    grid.go(from + by);
    if (event.shiftKey) {
      this.markTo(grid.current, from);
      this.showState();
    } else this.anchor = grid.current;
    grid.render();
    if (this.opened) this.showFace();
  }

  key(event) {
    const { target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]") || !this.answer) return;
    const kind = target.tagName === "INPUT" ? target.type : target.tagName;
    if (["number", "text", "TEXTAREA", "SELECT"].includes(kind)) return;
    if (kind === "range" && event.code.startsWith("Arrow")) return;
    if (kind === "BUTTON" && ["Space", "Enter", "NumpadEnter"].includes(event.code)) return;
    const { grid } = this;
    const far = this.answer.order.length;
    const call = {
      ArrowLeft: () => this.step(-1, event), ArrowRight: () => this.step(1, event),
      ArrowUp: () => this.step(-grid.columns, event), ArrowDown: () => this.step(grid.columns, event),
      PageUp: () => this.step(-grid.columns * grid.pageRows, event), PageDown: () => this.step(grid.columns * grid.pageRows, event),
      Home: () => this.step(-far, event), End: () => this.step(far, event),
      Space: () => { if (far) { this.mark(grid.current); this.anchor = grid.current; this.marked(); } },
      Enter: () => this.open(), NumpadEnter: () => this.open(),
      Escape: () => (this.opened ? this.close() : this.unmark()),
      Delete: () => this.moveMarked(), KeyU: () => this.undo(), KeyA: () => this.markAll(),
      Digit1: () => this.layer("landmarks"), Digit2: () => this.layer("polygons"), Digit3: () => this.layer("mask"),
      Equal: () => this.resize(1), NumpadAdd: () => this.resize(1), Minus: () => this.resize(-1), NumpadSubtract: () => this.resize(-1),
    }[event.code];
    if (!call) return;
    event.preventDefault();
    call();
  }

  help() {
    return ask("Keys", HELP.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }
}
