// What is beside the grid: order and filters, persons, steps of the trash, what is being measured.
import { button, fill, h, row } from "../dom.js";
import { Newest } from "../server.js";
import { clock } from "../texts.js";

/** A number in three digits, or all of a whole one. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

/** Shows what the server has at a path, or why not: the answer to what was asked last. */
export class Panel {
  constructor(view, element, path) {
    Object.assign(this, { view, element, path, page: view.page, list: element, newest: new Newest() });
  }

  /** Ask; resolves when the newest answer is shown. */
  load(...about) {
    return this.newest.use(this.page.get(this.path(...about)), (found) => this.show(found), (error) => {
      this.told = null;
      fill(this.list, h("p.error", error.message), button("Try again", () => this.load()));
    });
  }
}

/** Sort and filter: `question` is what the server is asked; calls `changed`. */
export class Choosing {
  constructor(catalog, changed) {
    this.changed = changed;
    this.titles = catalog.titles;
    const options = (names) => names.map((name) => h("option", { value: name }, this.titles[name]));
    this.sort = h("select", { id: "faces-sort", onchange: () => this.ask({ sort: this.sort.value }) },
      h("option", { value: "name" }, "Order of the folder"),
      catalog.sorts.map(([label, names]) => h("optgroup", { label }, options(names))));
    this.direction = button("", () => this.ask({ descending: !this.question.descending }));
    this.more = h("select", { id: "faces-filter", onchange: () => this.add(this.more.value) },
      h("option", { value: "" }, "Add a filter…"), options(catalog.filters));
    this.filters = h("div.filters");
    this.element = h("div.choosing",
      h("label", { for: "faces-sort" }, "Sort by"), h("div.row.nowrap", this.sort, this.direction),
      h("label", { for: "faces-filter" }, "Show only"), this.filters, this.more);
    this.question = { sort: "name", descending: false, ranges: [], cell: null };
    this.show();
  }

  /** Whether the order is by a number of each face. */
  get byNumber() {
    return this.question.sort !== "name" && !this.question.sort.startsWith("rank ");
  }

  ask(changes) {
    Object.assign(this.question, changes);
    this.show();
    this.changed();
  }

  add(name) {
    if (!name || this.question.ranges.some((each) => each[0] === name)) return this.show();
    const only = name === "labeled" || name.startsWith("rejected ") ? 1 : null;
    this.only(name, only, only);
    this.filters.lastElementChild.querySelector("input").focus();
  }

  /** Only the faces between two values of a column, among those of other filters. */
  only(name, low, high) {
    this.ask({ ranges: [...this.without(name), [name, low, high]] });
  }

  without(name) {
    return this.question.ranges.filter((each) => each[0] !== name);
  }

  show() {
    const { sort, descending, cell, ranges } = this.question;
    this.sort.value = sort;
    this.more.value = "";
    this.direction.textContent = (this.byNumber ? ["smallest first", "largest first"] : ["as it is", "turned around"])[Number(descending)];
    const drop = (title, changes) => button("✕", () => this.ask(changes()), { class: "bare", "aria-label": `Remove the filter: ${title}` });
    fill(this.filters,
      cell && h("div.filter", row(this.pose, drop("pose", () => ({ cell: null })))),
      ranges.map((each) => {
        const [name] = each;
        const title = this.titles[name];
        const field = (place, label) => h("input", {
          type: "number", step: "any", value: each[place] ?? "", "aria-label": `${title}: ${label}`, placeholder: label,
          onchange: ({ target }) => {
            each[place] = target.value === "" ? null : Number(target.value);
            this.changed();
          },
        });
        return h("div.filter", title,
          h("div.row.nowrap", field(1, "from"), field(2, "to"), drop(title, () => ({ ranges: this.without(name) }))));
      }));
  }
}

/** How many faces are not known well enough for the question, and how their measuring goes. */
export class Measuring {
  constructor(cancel) {
    this.unknown = h("p.dim");
    this.bar = h("progress", { "aria-label": "Measured faces", max: 1 });
    this.going = h("div.row.nowrap", this.bar, button("Cancel", cancel, { class: "write" }));
    this.text = h("p", { role: "status" });
    this.element = h("div.measuring", this.unknown, this.going, this.text);
    this.show({});
  }

  show({ state = "none", done, total, text = "" }) {
    this.element.dataset.state = state;
    this.going.hidden = state !== "running";
    this.bar.value = total ? done / total : 0;
    this.text.className = state === "failed" ? "error" : "dim";
    this.text.textContent = text;
  }
}

/** The groups of persons of a place. */
export class Persons extends Panel {
  constructor(view) {
    super(view, h("div"), () => `persons/${view.place.id}`);
    this.strict = h("input", { type: "range", min: 0, max: 1, step: 0.1, value: 0.5, id: "faces-strict" });
    this.list = h("div.persons");
    fill(this.element,
      h("label", { for: "faces-strict" }, "Strictness (right: rather two groups for one person)"), this.strict,
      row(button("Tell persons apart", () => view.measure({ method: "persons" }), { class: "write" })), this.list);
  }

  show(found) {
    fill(this.list, found.map(({ person, faces, typical }) => h("div.person",
      button(h("img", { src: this.view.image(typical, 96), alt: "" }), () => this.view.showPerson(person),
        { class: "bare", "data-person": person, "aria-label": `Person ${person}: ${faces} faces` }),
      h("div", `Person ${person}`, h("div.dim", `${faces} faces`),
        found.length > 1 && button("Mark the others", () => this.view.markOthers(person), { class: "small" })))));
  }
}

/** What was taken out and put back. */
export class Steps extends Panel {
  constructor(view) {
    super(view, h("div.steps"), () => `steps/${view.place.id}`);
  }

  show({ steps, others }) {
    const undo = (title, ...call) => button(title, () => this.view.moveInTurn(...call), { class: "write", disabled: this.page.readOnly });
    const line = (text, detail, call) => h("div.step", h("div", text, h("div.dim", detail)), call);
    fill(this.element,
      !steps.length && !others && h("p.dim", "Nothing was taken out here yet."),
      others && line(others, "by a command", undo("Undo", "undo-others", {})),
      steps.map(({ id, text, undoes, time, first, undoable, faces }) => line(
        text + (undoes && " by undoing"), clock(time) + (faces === 1 ? `, ${first}` : ""),
        undoable > 0 && undo(undoable < faces ? `Undo (${undoable})` : "Undo", "undo", { step: id }))));
  }
}
