// Looking through faces: thousands in a grid, one enlarged, by their measures; what is bad goes to the trash.
import { button, fill, group, h, press, row, select } from "../dom.js";
import { View } from "../view.js";
import { CoverageMaps } from "./faces_coverage.js";
import { FaceGrid } from "./faces_grid.js";
import { Choosing, Measuring, Panel, Persons, Steps, figure } from "./faces_panel.js";
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
    Object.assign(this, { answer: NOTHING, heard: 0, turns: Promise.resolve(), layers: new Set() });
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
    this.viewer = new FaceViewer(this);
    this.choosing = new Choosing(catalog, () => this.choose());
    this.measuring = new Measuring(() => this.hear(page.post("cancel")));
    this.panels = { choose: this.choosing, coverage: new CoverageMaps(this), persons: new Persons(this), steps: new Steps(this) };
    this.folder = select("Folder of faces", [], (id) => this.go(id));
    this.count = h("span.count", { role: "status" });
    this.list = new Panel(this, h("div.notes"), (more) => this.listPath(this.choosing.question, more));
    this.list.show = (answer) => this.show(answer);
    this.mover = button("To the trash", () => this.moveMarked(), write);
    this.undoing = button("Undo", () => this.undo(), write);
    this.layerButtons = named(LAYERS, (name) => this.layer(name));
    this.opener = button("Enlarge", () => this.open(), { class: "opener" });
    this.tabs = named(PANELS, (name) => this.panel(name));
    this.showPlaces();
    this.panel("choose");
    return [
      h("div.row.bar", this.folder, this.count,
        button("Mark all", () => this.markAll()), button("Unmark", () => this.unmark()), this.mover, this.undoing,
        group("Layers", this.layerButtons),
        group("Size", button("−", () => this.resize(-1), { "aria-label": "Smaller" }),
          button("+", () => this.resize(1), { "aria-label": "Larger" })),
        this.opener, button("Keys", () => this.help())),
      h("div.sides",
        h("section.stage", { "aria-label": "Faces" }, this.grid.element, this.viewer.element),
        h("section.panel.beside", { "aria-label": "Choose" },
          group("What is beside the faces", this.tabs), Object.values(this.panels).map((each) => each.element), this.measuring.element)),
      this.list.element, // below: nothing moves under the mouse when they change
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
    fill(this.folder, this.catalog.places.map(({ id, side, title, of }) => (
      h("option", { value: id }, side && `${side}: `, title, of && " (trash)"))));
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
    this.list.load();
  }

  /** Events may have been missed before and while there was no connection; the server may be another one. */
  async catchUp() {
    await this.hear(this.page.get("job"));
    this.renew();
  }

  renew() {
    this.list.load();
    this.loadPanel();
  }

  /** Where the faces of a question are listed, in its order. */
  listPath(question, more) {
    return `list/${this.place.id}?${new URLSearchParams({ q: JSON.stringify(question), ...more })}`;
  }

  show(answer) {
    const { grid, page, choosing } = this;
    const column = choosing.byNumber && choosing.question.sort;
    if (answer.run !== this.run) grid.marks.clear(); // another server: its numbers mean other faces
    if (answer.run !== this.run || column !== this.column) this.forget();
    Object.assign(this, { answer, column, run: answer.run });
    grid.captions = Boolean(column);
    grid.show(answer.order);
    const { unknown } = answer;
    this.measuring.unknown.textContent = unknown ? `${unknown} faces were not looked at for this yet.`
      + (page.readOnly ? " This page is read-only; dfl-tf web without --read-only measures them." : "") : "";
    const complete = { class: "write", disabled: page.readOnly };
    fill(this.list.element,
      answer.pak && h("p.warn", "These faces are in a pak, which is only shown. To take faces out, unpack it: ", h("code", answer.pak)),
      answer.interrupted && h("p.warn", "Moving files was interrupted here; some have hidden names until it is completed. ",
        button("Complete it", () => this.moveInTurn("finish", {}), complete)),
      answer.left_out.map((line) => h("p.dim", line)),
      !answer.order.length && answer.total > 0 && !unknown && h("p", "No face fits the filters."));
    this.update();
    this.measureUnknown();
  }

  /** Show which face is the current one, what is marked, and what can be done. */
  update() {
    const { answer, grid, viewer, opened, place } = this;
    const [shown, marked, number] = [answer.order.length, grid.marks.size, answer.order[grid.current]];
    if (opened && !shown) return this.close();
    if (opened) viewer.show(number);
    viewer.element.classList.toggle("marked", grid.marks.has(number));
    grid.render();
    this.count.textContent = `${shown === answer.total ? "" : `${shown} of `}${answer.total} faces${marked ? `, ${marked} marked` : ""}`;
    Object.assign(this.count.dataset, { marked, shown });
    this.undoing.disabled = this.page.readOnly || Boolean(answer.pak);
    this.mover.disabled = this.undoing.disabled || !marked;
    this.mover.textContent = place.of ? "Put back" : "To the trash";
    this.opener.textContent = opened ? "Back" : "Enlarge";
    for (const each of this.layerButtons) press(each, this.layers.has(each.dataset.name));
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
    this.beside.load?.();
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
  click(index, { shiftKey }) {
    if (shiftKey) this.markTo(index, this.anchor ?? this.grid.current);
    else this.mark(index);
    this.grid.go(index);
    this.update();
  }

  mark(index) {
    const number = this.answer.order[index];
    const { marks } = this.grid;
    this.anchor = index;
    if (number !== undefined && !marks.delete(number)) marks.add(number);
  }

  markTo(index, from) {
    const between = this.answer.order.slice(Math.min(index, from), Math.max(index, from) + 1);
    for (const number of between) this.grid.marks.add(number);
  }

  markAll() {
    this.markTo(0, this.answer.order.length);
    this.update();
  }

  unmark() {
    this.grid.marks.clear();
    this.update();
  }

  /** Mark the faces of all other persons; those of nobody stay as they are. */
  async markOthers(person) {
    const { place } = this;
    const between = (low, high) => this.page.get(this.listPath({ ranges: [["person", low, high]] }));
    const others = await Promise.all([between(1, person - 1), between(person + 1, null)]);
    if (place !== this.place) return;
    this.grid.marks = new Set(others.flatMap((each) => each.order));
    this.update();
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
      if (step.text) page.say(`${step.text}.${step.undoes ? "" : " U undoes it."}`);
      else page.say(step.undone ? `Undone: ${step.undone}.` : `Completed: ${step.finished}.`);
      for (const number of body.faces ?? []) grid.marks.delete(number);
      this.catalog.places = (await page.get("places")).places;
      this.showPlaces();
    } catch (error) {
      page.say(error.message, "error");
      await this.forgetGone();
    } finally {
      this.moving = false;
      await this.list.load({ fresh: 1 });
      this.loadPanel();
    }
  }

  /** Marks of files that were changed or moved by others meanwhile mean nothing any more. */
  async forgetGone() {
    const { marks } = this.grid;
    const there = new Set((await this.page.get(this.listPath({}, { fresh: 1 }))).order);
    const gone = [...marks].filter((number) => !there.has(number));
    for (const number of gone) marks.delete(number);
    if (gone.length) this.page.say(`${gone.length} marked faces were changed or moved meanwhile and are not marked any more.`);
  }

  // -- one face ----------------------------------------------------------------------------------
  open(index = this.grid.current) {
    if (this.opened) return this.close();
    if (!this.answer.order.length) return;
    this.grid.current = index;
    this.enlarge(true);
  }

  close() {
    if (this.opened) this.enlarge(false);
  }

  /** Show one face instead of all, or all again. */
  enlarge(opened) {
    this.opened = this.grid.element.hidden = opened;
    this.viewer.element.hidden = !opened;
    (opened ? this.viewer : this.grid).element.focus();
    this.resize(0);
    this.update();
  }

  layer(name) {
    if (!this.layers.delete(name)) this.layers.add(name);
    this.grid.load();
    this.update();
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
      Space: () => this.click(grid.current, {}), Enter: () => this.open(), Escape: () => (this.opened ? this.close() : this.unmark()),
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
    this.update();
  }
}
