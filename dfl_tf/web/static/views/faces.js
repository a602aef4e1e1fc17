// Looking through faces: thousands in a grid, one enlarged, by their measures; what is bad goes to the trash.
import { button, fill, group, h, press, row, select } from "../dom.js";
import { View } from "../view.js";
import { CoverageMaps } from "./faces_coverage.js";
import { FaceGrid } from "./faces_grid.js";
import { Choosing, Measuring, Persons, Steps, faces, figure } from "./faces_panel.js";
import { FaceViewer, LAYERS } from "./faces_viewer.js";

const NAMES_AT_ONCE = 300;
const NOTHING = { order: [], total: 0, unknown: 0, left_out: [] };
const PANELS = { choose: "Sort, filter", coverage: "Coverage", persons: "Persons", steps: "Steps" };

export const styles = true;

export default class Faces extends View {
  static title = "Faces";
  static keys = [
    ["← → ↑ ↓", "go (with Shift: mark on the way)"], ["Space, click", "mark"], ["Shift+click", "mark up to here"],
    ["Enter, double click", "enlarge, back"], ["Del", "marked faces to the trash; back in the trash view"], ["U", "undo"],
    ["A", "mark all that are shown"], ["Esc", "back, unmark"], ["1 2 3", "landmarks, polygons, mask"], ["+ −", "size"],
    ["Home End PgUp PgDn", "far"],
  ];

  constructor(page) {
    super(page);
    Object.assign(this, { answer: NOTHING, turn: 0, heard: 0, turns: Promise.resolve(), layers: new Set() });
    this.rows = new Map(); // number -> {name, …}
    this.tried = new Set(); // what was measured for the question of now
  }

  async load() {
    this.catalog = await this.page.get("places");
    if (!this.catalog.places.length) throw new Error("There are no aligned faces in this workspace yet.");
    this.place = this.find(this.page.rest[0]);
  }

  find(id) {
    return this.catalog.places.find((each) => each.id === id) ?? this.catalog.places[0];
  }

  build() {
    const { page, catalog } = this;
    const write = { class: "write" };
    const named = (titles, call) => Object.entries(titles).map(([name, title]) => button(title, () => call(name), { "data-name": name }));
    this.grid = new FaceGrid(this, catalog.sides[1]);
    this.viewer = new FaceViewer(page, (what, number) => this.path(what, number));
    this.choosing = new Choosing(catalog, () => this.choose());
    this.measuring = new Measuring(() => this.hear(page.post("cancel")));
    this.panels = { choose: this.choosing, coverage: new CoverageMaps(this), persons: new Persons(this), steps: new Steps(this) };
    this.folder = select("Folder of faces", [], (id) => this.go(id));
    this.count = h("span.count", { role: "status" });
    this.notes = h("div.notes");
    this.mover = button("To the trash", () => this.moveMarked(), write);
    this.undoing = button("Undo", () => this.undo(), write);
    this.layerButtons = named(LAYERS, (name) => this.layer(name));
    this.opener = button("Enlarge", () => this.open(), { class: "opener" });
    this.tabs = named(PANELS, (name) => this.panel(name));
    this.showPlaces();
    this.panel("choose");
    return [
      h("div.row.bar", this.folder, this.count,
        button("Mark all", () => this.markAll()), button("Unmark", () => this.unmark()), this.mover, this.undoing, group("Layers", this.layerButtons),
        group("Size", button("−", () => this.resize(-1), { "aria-label": "Smaller" }), button("+", () => this.resize(1), { "aria-label": "Larger" })),
        this.opener, button("Keys", () => this.help())),
      h("div.sides",
        h("section.stage", { "aria-label": "Faces" }, this.grid.element, this.viewer.element),
        h("section.panel.beside", { "aria-label": "Choose" },
          group("What is beside the faces", this.tabs), Object.values(this.panels).map((each) => each.element), this.measuring.element)),
      this.notes, // below: nothing moves under the mouse when they change
      h("p.dim.keys", Faces.keys.map(([keys, what]) => h("span", h("kbd", keys), ` ${what}`))),
    ];
  }

  shown() {
    const { page } = this;
    page.on("faces", (job) => {
      this.heard++;
      this.told(job);
      if (job.state !== "running") this.renew();
    });
    page.on("faces-moved", ({ home }) => { if (!this.moving && home === this.answer.home) this.renew(); });
    page.on("hello", () => this.catchUp());
    page.on("resync", () => this.catchUp());
    this.catchUp();
  }

  // -- what is shown -----------------------------------------------------------------------------
  path(what, number) {
    return `${what}/${this.place.id}/${this.run}/${number}`;
  }

  image(number, side = this.grid.side) {
    const layers = [...this.layers].sort().join(",");
    return this.page.api(`${this.path("small", number)}?side=${side}${layers && `&layers=${layers}`}`);
  }

  title(number, index) {
    return this.rows.get(number)?.name ?? `Face ${index + 1}`;
  }

  caption(number) {
    return figure(this.rows.get(number)?.[this.column]);
  }

  showPlaces() {
    fill(this.folder, this.catalog.places.map(({ id, side, title, of }) => h("option", { value: id }, `${side && `${side}: `}${title}${of && " (trash)"}`)));
    this.folder.value = this.place.id;
  }

  /** Show another folder, once what was asked for this one is done. */
  go(id, question = { ranges: [], cell: null }) {
    return this.inTurn(() => {
      this.place = this.find(id);
      history.replaceState(null, "", `#/faces/${this.place.id}`);
      this.folder.value = this.place.id;
      this.close();
      this.grid.marks.clear();
      this.answer = NOTHING;
      this.grid.show([]);
      this.count.textContent = "Loading…";
      this.choosing.ask(question);
      this.loadPanel();
    });
  }

  /** Show the faces of a cell of the map of poses. */
  showPose(place, cell, text) {
    this.choosing.pose = text;
    this.go(place, { ranges: [], cell });
  }

  showPerson(person) {
    this.panel("choose");
    this.choosing.only("person", person, person);
  }

  /** Other faces are asked for. */
  choose() {
    this.tried.clear();
    this.grid.element.scrollTop = this.grid.current = 0;
    this.list();
  }

  /** Events may have been missed before and while there was no connection; the server may be another one. */
  async catchUp() {
    try {
      await this.hear(this.page.get("job"));
    } finally {
      this.renew();
    }
  }

  renew() {
    this.list();
    this.loadPanel();
  }

  listed(question, more = {}) {
    return this.page.get(`list/${this.place.id}?${new URLSearchParams({ q: JSON.stringify(question), ...more })}`);
  }

  /** Ask which faces there are, in which order; resolves when the newest answer is shown. */
  list(more) {
    const turn = ++this.turn;
    this.listing = this.listed(this.choosing.question, more).then(
      (answer) => (turn === this.turn ? this.show(answer) : this.listing),
      (error) => {
        if (turn === this.turn) fill(this.notes, h("p.error", error.message), button("Try again", () => this.list()));
        return turn === this.turn ? null : this.listing;
      });
    return this.listing;
  }

  show(answer) {
    if (this.ended) return;
    const column = this.choosing.byNumber && this.choosing.question.sort;
    if (answer.run !== this.run) this.grid.marks.clear(); // another server: its numbers mean other faces
    if (answer.run !== this.run || column !== this.column) this.forget();
    Object.assign(this, { answer, column, run: answer.run });
    this.grid.captions = Boolean(column);
    this.grid.show(answer.order);
    this.showState();
    if (this.opened) this.showFace();
    this.measureUnknown();
  }

  showState() {
    const { answer, grid, page, place } = this;
    const [shown, marked] = [answer.order.length, grid.marks.size];
    this.count.textContent = `${shown === answer.total ? "" : `${shown} of `}${answer.total} faces${marked ? `, ${marked} marked` : ""}`;
    Object.assign(this.count.dataset, { marked, shown });
    const fixed = page.readOnly || Boolean(answer.pak);
    this.mover.textContent = place.of ? "Put back" : "To the trash";
    this.mover.disabled = fixed || !marked;
    this.undoing.disabled = fixed;
    this.opener.textContent = this.opened ? "Back" : "Enlarge";
    for (const each of this.layerButtons) press(each, this.layers.has(each.dataset.name));
    const { unknown } = answer;
    this.measuring.unknown.textContent = unknown ? `${unknown} faces were not looked at for this yet.`
      + (page.readOnly ? " This page is read-only; dfl-tf web without --read-only measures them." : "") : "";
    fill(this.notes,
      answer.pak && h("p.warn", "These faces are in a pak, which is only shown. To take faces out, unpack it: ", h("code", answer.pak)),
      answer.interrupted && h("p.warn", "Moving files was interrupted here; some have hidden names until it is completed. ",
        button("Complete it", () => this.moveInTurn("finish", {}), { class: "write", disabled: page.readOnly })),
      answer.left_out.map((line) => h("p.dim", line)),
      !shown && answer.total > 0 && !unknown && h("p", "No face fits the filters."));
  }

  /** What was known of faces may have changed. */
  forget() {
    this.rows = new Map();
    this.viewer.known = null;
  }

  /** Names, and what stands below the images, of the faces in view. */
  async seen(numbers) {
    const missing = numbers.filter((number) => !this.rows.has(number)).slice(0, NAMES_AT_ONCE);
    if (!missing.length) return;
    const { rows } = this; // what was asked before other values came is old
    for (const number of missing) rows.set(number, {});
    try {
      const column = this.column ? `&c=${encodeURIComponent(this.column)}` : "";
      const found = await this.page.get(`rows/${this.place.id}/${this.run}?n=${missing.join(",")}${column}`);
      for (const each of found) rows.set(each.number, each);
    } catch {
      for (const number of missing) rows.delete(number); // asked for again with the next look
      return;
    }
    if (rows !== this.rows) return;
    this.grid.render();
    this.grid.load(); // asks for further names
  }

  panel(name) {
    this.beside = this.panels[name];
    press(this.tabs, name);
    for (const [each, { element }] of Object.entries(this.panels)) element.hidden = each !== name;
    this.loadPanel();
  }

  loadPanel() {
    this.beside.load?.(this.place);
  }

  // -- measures ----------------------------------------------------------------------------------
  /** Measure what the question needs and is not known, once for each question. */
  measureUnknown() {
    const { task } = this.answer;
    const key = this.place.id + JSON.stringify(task);
    if (!task || this.page.readOnly || this.running || this.tried.has(key)) return;
    this.tried.add(key);
    this.measure(task);
  }

  /** Measure; what is asked for while something is being measured comes after that. */
  async measure(asked) {
    const task = { places: [this.place.id], columns: [], method: "", strictness: Number(this.panels.persons.strict.value), ...asked };
    if (this.running) {
      this.next = task;
      return;
    }
    this.running = true;
    try {
      await this.hear(this.page.post("measure", task));
    } catch (error) {
      this.running = false;
      this.tried.clear();
      throw error;
    }
  }

  /** How a task goes, by an answer; events that came meanwhile know better. */
  async hear(answer) {
    const heard = ++this.heard;
    const job = await answer;
    if (heard === this.heard) this.told(job);
  }

  told(job) {
    this.measuring.show(job);
    this.running = job.state === "running";
    if (this.running) return;
    this.forget();
    const { next } = this;
    this.next = null;
    if (next) this.measure(next);
  }

  // -- marks -------------------------------------------------------------------------------------
  click(index, event) {
    if (event.shiftKey) this.markTo(index, this.anchor ?? this.grid.current);
    else {
      this.anchor = index;
      this.mark(index);
    }
    this.grid.go(index);
    this.showState();
  }

  mark(index) {
    const number = this.answer.order[index];
    const { marks } = this.grid;
    if (!marks.delete(number)) marks.add(number);
  }

  markHere() {
    if (!this.answer.order.length) return;
    this.anchor = this.grid.current;
    this.mark(this.anchor);
    this.marked();
  }

  markTo(index, from) {
    const [first, last] = index < from ? [index, from] : [from, index];
    for (const number of this.answer.order.slice(first, last + 1)) this.grid.marks.add(number);
  }

  markAll() {
    this.markTo(0, this.answer.order.length);
    this.marked();
  }

  unmark() {
    this.grid.marks.clear();
    this.marked();
  }

  /** Mark the faces of all other persons; those of nobody stay as they are. */
  async markOthers(person) {
    const { place } = this;
    const between = async (low, high) => (await this.listed({ ranges: [["person", low, high]] })).order;
    const [known, own] = await Promise.all([between(1, null), between(person, person)]);
    if (place !== this.place) return;
    const stay = new Set(own);
    this.grid.marks = new Set(known.filter((number) => !stay.has(number)));
    this.marked();
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
      const { marks, current } = this.grid;
      const chosen = marks.size ? [...marks] : this.opened ? [this.answer.order[current]] : [];
      if (!chosen.length) return this.page.say("Mark faces first: click, or Space.");
      return this.move(this.place.of ? "restore" : "trash", { run: this.run, faces: chosen });
    });
  }

  /** Undo the newest step that is no undoing itself. */
  undo() {
    return this.inTurn(async () => {
      const { steps } = await this.page.get(`steps/${this.place.id}`);
      const step = steps.find((each) => each.undoable && !each.undoes);
      if (!step) return this.page.say("There is nothing to undo.");
      return this.move("undo", { step: step.id });
    });
  }

  /** Keys may come faster than files move: each waits for the one before. */
  inTurn(call) {
    this.turns = this.turns.then(call).catch((error) => this.page.say(error.message, "error"));
    return this.turns;
  }

  moveInTurn(what, body) {
    return this.inTurn(() => this.move(what, body));
  }

  async move(what, body) {
    const { page, place, grid } = this;
    if (page.readOnly || this.answer.pak) return;
    this.moving = true; // events about this move need no further look
    try {
      const step = await page.post(`${what}/${place.id}`, body);
      if (step.what) page.say(`${faces(step.faces)} ${step.what === "trash" ? "moved to the trash" : "put back"}.${step.undoes ? "" : " U undoes it."}`);
      else page.say(step.undone ? `Undone: ${step.undone}.` : `Completed: ${step.finished}.`);
      for (const number of body.faces ?? []) grid.marks.delete(number);
      this.catalog.places = (await page.get("places")).places;
      this.showPlaces();
    } catch (error) {
      page.say(error.message, "error");
      await this.forgetGone();
    }
    this.moving = false;
    await this.list({ fresh: 1 });
    this.loadPanel();
    this.marked();
  }

  /** Marks of files that were changed or moved by others meanwhile mean nothing any more. */
  async forgetGone() {
    try {
      const { run, order } = await this.listed({}, { fresh: 1 });
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
    this.grid.go(index);
    this.enlarge(true);
    this.showFace();
  }

  close() {
    if (!this.opened) return;
    this.enlarge(false);
    this.grid.layout();
    this.grid.go(this.grid.current);
  }

  /** Show one face instead of all, or all again. */
  enlarge(opened) {
    this.opened = this.grid.element.hidden = opened;
    this.viewer.element.hidden = !opened;
    (opened ? this.viewer : this.grid).element.focus();
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

  resize(by) {
    const { sides } = this.catalog;
    this.grid.side = sides[Math.max(0, Math.min(sides.length - 1, sides.indexOf(this.grid.side) + by))];
    this.grid.layout();
    this.grid.go(this.grid.current);
  }

  // -- keys --------------------------------------------------------------------------------------
  calls({ shiftKey }) {
    const { grid } = this;
    const across = this.opened ? 1 : grid.columns;
    const far = this.answer.order.length;
    const step = (by) => () => this.step(by, shiftKey);
    return {
      ArrowLeft: step(-1), ArrowRight: step(1), ArrowUp: step(-across), ArrowDown: step(across),
      PageUp: step(-across * grid.pageRows), PageDown: step(across * grid.pageRows), Home: step(-far), End: step(far),
      Space: () => this.markHere(), Enter: () => this.open(), Escape: () => (this.opened ? this.close() : this.unmark()),
      Delete: () => this.moveMarked(), KeyU: () => this.undo(), KeyA: () => this.markAll(),
      Digit1: () => this.layer("landmarks"), Digit2: () => this.layer("polygons"), Digit3: () => this.layer("mask"),
      Equal: () => this.resize(1), Minus: () => this.resize(-1),
    };
  }

  step(by, marking) {
    const { grid } = this;
    const from = grid.current;
    grid.go(from + by);
    if (marking) this.markTo(grid.current, from);
    else this.anchor = grid.current;
    if (this.opened) this.showFace();
    else this.marked();
  }
}
