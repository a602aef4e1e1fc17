// What is beside the grid: order and filters, persons, steps of the trash.
import { fill, h } from "../dom.js";
import { clock } from "../texts.js";

/** A number in three digits, or all of a whole one. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

/** Sort and filter; calls `changed(question)`. */
export class Choosing {
  constructor(catalog, changed) {
    this.catalog = catalog;
    this.changed = changed;
    const { columns, measures, free, groups, tracks, methods } = catalog;
    this.titles = new Map(columns.map((each) => [each.name, each.unit ? `${each.title} (${each.unit})` : each.title]));
    const option = (name, title = this.titles.get(name)) => h("option", { value: name }, title);
    this.sort = h("select", { id: "faces-sort", onchange: () => { this.question.sort = this.sort.value; this.tell(); } },
      option("name", "Order of the folder"),
      h("optgroup", { label: "Measures" }, [...measures, ...free].map((name) => option(name))),
      h("optgroup", { label: "Persons" }, groups.map((name) => option(name))),
      h("optgroup", { label: "All together" }, methods.map((each) => option(each.rank, each.title))));
    this.direction = h("button", { onclick: () => { this.question.descending = !this.question.descending; this.tell(); } });
    const rejected = methods.filter((each) => each.rejected).map((each) => each.rejected);
    this.more = h("select", { id: "faces-filter", onchange: () => this.add(this.more.value) },
      h("option", { value: "" }, "Add a filter…"), [...measures, ...free, ...groups, ...tracks, ...rejected].map((name) => option(name)));
    this.filters = h("div", { class: "filters" });
    this.element = h("div", { class: "choosing" },
      h("label", { for: "faces-sort" }, "Sort by"), h("div", { class: "row nowrap" }, this.sort, this.direction),
      h("label", { for: "faces-filter" }, "Show only"), this.filters, this.more);
    this.question = this.empty();
  }

  empty() {
    return { sort: "name", descending: false, ranges: [], cell: null };
  }

  add(name) {
    this.more.value = "";
    if (!name || this.question.ranges.some((each) => each[0] === name)) return;
    const yes = name === "labeled" || name.startsWith("rejected ");
    this.question.ranges.push([name, yes ? 1 : null, yes ? 1 : null]);
    this.tell();
    this.filters.lastElementChild?.querySelector("input")?.focus();
  }

  tell() {
    this.show();
    this.changed(this.question);
  }

  /** Only the faces between two values of a column, among those of other filters. */
  only(name, low, high) {
    this.question.ranges = [...this.question.ranges.filter((each) => each[0] !== name), [name, low, high]];
    this.tell();
  }

  pose(cell, text) {
    this.question.cell = cell;
    this.poseText = text;
    this.show();
  }

  show() {
    const { question } = this;
    this.sort.value = question.sort;
    const words = question.sort === "name" || question.sort.startsWith("rank ") ? ["as it is", "turned around"] : ["smallest first", "largest first"];
    this.direction.textContent = words[Number(question.descending)];
    const drop = (title, call) => h("button", { class: "bare", "aria-label": `Remove the filter: ${title}`, onclick: call }, "✕");
    fill(this.filters,
      question.cell ? h("div", { class: "filter" }, h("span", {}, this.poseText),
        drop("pose", () => { question.cell = null; this.tell(); })) : null,
      question.ranges.map((each) => this.filter(each, drop)));
  }

  filter(each, drop) {
    const title = this.titles.get(each[0]);
    const field = (place, label) => h("input", {
      type: "number", step: "any", value: each[place] ?? "", "aria-label": `${title}: ${label}`, placeholder: label,
      onchange: (event) => {
        each[place] = event.target.value === "" ? null : Number(event.target.value);
        this.changed(this.question);
      },
    });
    return h("div", { class: "filter", "data-column": each[0] }, h("span", {}, title), h("div", { class: "row nowrap" }, field(1, "from"), field(2, "to"),
      drop(title, () => { this.question.ranges = this.question.ranges.filter((one) => one !== each); this.tell(); })));
  }
}

/** What is being measured. */
export class Job {
  constructor(page) {
    this.page = page;
    this.bar = h("progress", { "aria-label": "Measured faces", max: 1, value: 0 });
    this.text = h("span", { role: "status" });
    this.stop = h("button", { class: "write", onclick: () => this.cancel() }, "Cancel");
    this.element = h("div", { class: "job", hidden: true }, h("div", { class: "row nowrap" }, this.bar, this.stop), this.text);
  }

  show(job) {
    const running = job.state === "running";
    this.element.dataset.state = job.state ?? "none";
    this.element.hidden = !job.state || (job.state === "done" && !job.notes.length);
    this.bar.hidden = this.stop.hidden = !running;
    this.bar.value = job.total ? job.done / job.total : 0;
    this.text.className = job.state === "failed" ? "error" : "dim";
    this.text.textContent = running ? `${job.title}: ${job.done} of ${job.total}` :
      job.state === "failed" ? job.error : job.state === "canceled" ? `${job.title}: canceled; what was measured is remembered.` : job.notes?.join(" ") ?? "";
  }

  async cancel() {
    try {
      this.show(await this.page.post("cancel"));
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }
}

/** The groups of persons of a place. */
export class Persons {
  constructor(page, host) {
    this.page = page;
    this.host = host;
    this.strict = h("input", { type: "range", min: 0, max: 1, step: 0.1, value: 0.5, id: "faces-strict" });
    this.find = h("button", { class: "write", disabled: page.readOnly, onclick: () => host.group(Number(this.strict.value)) }, "Tell persons apart");
    this.list = h("div", { class: "persons" });
    this.element = h("div", {},
      h("label", { for: "faces-strict" }, "Strictness (right: rather two groups for one person)"), this.strict, h("div", { class: "row" }, this.find), this.list);
  }

  async load(place) {
    try {
      const found = await this.page.get(`persons/${place}`);
      fill(this.list, found.map((each) => h("div", { class: "person" },
        h("button", { class: "bare", "data-person": each.person, "aria-label": `Person ${each.person}: ${each.faces} faces`, onclick: () => this.host.person(each.person) },
          h("img", { src: this.host.image(each.typical), alt: "" })),
        h("div", {}, h("div", {}, `Person ${each.person}`), h("div", { class: "dim" }, `${each.faces} faces`),
          found.length > 1 ? h("button", { class: "small", onclick: () => this.host.others(each.person) }, "Mark the others") : null))));
    } catch (error) {
      fill(this.list, h("p", { class: "error" }, error.message));
    }
  }
}

/** What was taken out and put back. */
export class Steps {
  constructor(page, host) {
    this.page = page;
    this.host = host;
    this.steps = [];
    this.element = h("div", { class: "steps" });
  }

  async load(place) {
    try {
      const found = await this.page.get(`steps/${place}`);
      this.steps = found.steps;
      const button = (title, call) => h("button", { class: "write", disabled: this.page.readOnly, onclick: call }, title);
      fill(this.element,
        found.steps.length || found.others ? null : h("p", { class: "dim" }, "Nothing was taken out here yet."),
        found.others ? h("div", { class: "step" }, h("div", {}, found.others, h("div", { class: "dim" }, "by a command")), button("Undo", () => this.host.undoOthers())) : null,
        found.steps.map((step) => h("div", { class: "step", "data-step": step.id },
          h("div", {}, `${step.faces} ${step.faces === 1 ? "face" : "faces"} ${step.what === "trash" ? "to the trash" : "put back"}${step.undoes ? " by undoing" : ""}`,
            h("div", { class: "dim" }, `${clock(step.time)}${step.faces === 1 ? `, ${step.first}` : ""}`)),
          step.undoable ? button(step.undoable < step.faces ? `Undo (${step.undoable})` : "Undo", () => this.host.undo(step.id)) : null)));
    } catch (error) {
      fill(this.element, h("p", { class: "error" }, error.message));
    }
  }

  /** The step that the key U undoes: the newest one that is no undoing itself. */
  get newest() {
    return this.steps.find((step) => step.undoable && !step.undoes) ?? null;
  }
}
