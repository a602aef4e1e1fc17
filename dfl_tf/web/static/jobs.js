// Commands that can be started: their forms, made of what the server says about their options, and their jobs.
import { ask, button, copyable, fill, h, press, select } from "./dom.js";
import { JobList } from "./job.js";

const LINE_MS = 250;
const NUMBERS = ["int", "float"];

/** Commands (`kinds`), the form of the chosen one (`forms`), and the jobs (`list`): all, or those that a view wants. */
export class Jobs {
  /** `wanted(name of a kind)`; `side` is chosen first in forms; `looked(job, before)` hears of each look at a job. */
  constructor(page, { wanted = () => true, side = "src", looked } = {}) {
    Object.assign(this, { page, wanted, side });
    this.kinds = h("nav.kinds", { "aria-label": "Commands" });
    this.forms = h("section.panel.start", { "aria-label": "Start a job", hidden: true });
    this.jobs = new JobList(page, { wanted: (job) => wanted(job.kind), again: (job) => this.again(job), looked });
    this.list = this.jobs.element;
  }

  async load() {
    this.told = await this.page.get("/jobs/kinds");
    this.told.kinds = this.told.kinds.filter((kind) => this.wanted(kind.name));
    fill(this.kinds, this.told.kinds.map((kind) => button(kind.title, () => this.choose(kind), { "data-name": kind.name, "data-kind": kind.name })));
  }

  choose(kind, { side, values } = {}) {
    this.kind = kind;
    this.forms.hidden = false;
    press(this.kinds.children, kind.name);
    const models = kind.models.map((key) => [key, `${this.told.models[key].title} ${this.told.models[key].class}`]);
    if (kind.subject === "new model") models.push(["new", "a new model"]);
    this.subjects = {
      side: select("faces of", [["src", "src"], ["dst", "dst"]], () => this.changed(), side || this.side),
      model: select("model", models, () => this.showForm()),
      class: select("class", kind.classes.map((each) => [each, each]), () => this.showForm()),
      name: h("input", { value: "new", maxLength: 120, autocomplete: "off", spellcheck: false, oninput: () => this.changed() }),
    };
    for (const [name, input] of Object.entries(this.subjects)) input.id = `job-${name}`;
    return this.showForm(values);
  }

  /** What the command is about, by the keys of a request. */
  get subject() {
    const { kind, subjects: { side, model, name, class: modelClass } } = this;
    if (kind.subject === "workspace") return {};
    if (kind.subject === "side") return { side: side.value };
    return model.value === "new" ? { model: "new", name: name.value, class: modelClass.value } : { model: model.value };
  }

  get asked() {
    return { kind: this.kind.name, values: this.options.values, ...this.subject };
  }

  async showForm(values) {
    const { kind, page, subjects } = this;
    const isNew = subjects.model.value === "new";
    const of = isNew ? subjects.class.value : this.told.models[subjects.model.value]?.class ?? "";
    const turn = this.turn = {};
    let fields;
    try {
      ({ fields } = await page.get(`/jobs/form/${kind.name}?class=${encodeURIComponent(of)}`));
    } catch (error) {
      fill(this.forms, h("p.error", error.message));
      return;
    }
    if (turn !== this.turn) return;
    const none = kind.subject === "model" && !kind.models.length;
    const asked = {
      side: kind.subject === "side", model: kind.subject.endsWith("model"),
      class: isNew && kind.classes.length > 1, name: isNew && kind.classes.length > 1,
    };
    this.options = new OptionsForm(fields, kind.subject === "new model" && !isNew ? "as stored" : "default", () => this.changed());
    if (values) this.options.values = values;
    this.line = copyable(page.say);
    this.wrong = h("p.error", { role: "status" });
    this.begin = button(kind.plan ? "Plan and start" : "Start", () => this.start(), { className: "main", "data-do": "start", disabled: page.readOnly || none });
    fill(this.forms, h("h2", kind.title), h("p.dim", kind.help),
      none && h("p.warn", "There is no such model in this workspace yet."),
      h("div.fields", Object.keys(asked).filter((name) => asked[name]).map((name) =>
        field(name === "side" ? "faces of" : name, subjects[name]))), this.options.element,
      h("div.foot", this.wrong, this.line.element, h("div.row.end", this.begin)));
    if (!none) this.changed(0);
  }

  /** Show the command line of what the form says, or what is wrong with it. */
  changed(wait = LINE_MS) {
    if (this.page.readOnly) return;
    this.page.later(this, wait, async () => {
      const { line, wrong } = this;
      const said = await this.page.post("/jobs/line", this.asked).catch((error) => ({ line: "", wrong: error.message }));
      line.show(said.line);
      fill(wrong, said.wrong);
    });
  }

  async start() {
    const { kind, page, asked, begin } = this;
    const title = begin.textContent;
    begin.disabled = true;
    fill(this.wrong, "");
    try {
      if (kind.plan) begin.textContent = "Making the plan…";
      if (!await this.agreed(kind, asked)) return;
      this.jobs.show((await page.post("/jobs/start", asked)).jobs);
      page.say(`${kind.title}: started.`);
    } catch (error) {
      fill(this.wrong, error.message);
      page.say(error.message, "error");
    } finally {
      begin.disabled = page.readOnly;
      begin.textContent = title;
    }
  }

  /** Whether the user wants what the command would do. */
  async agreed(kind, asked) {
    if (kind.plan) {
      const { plan } = await this.page.post("/jobs/plan", asked);
      const text = h("pre", { tabIndex: 0 }, plan || "The command says nothing of what it would do.");
      return ask(`${kind.title}: the plan`, text, [], "Start");
    }
    return !kind.asks || ask(`${kind.title}?`, kind.asks, [], kind.title);
  }

  again(job) {
    this.choose(this.told.kinds.find((kind) => kind.name === job.kind), { side: job.subject, values: job.values });
    this.forms.scrollIntoView({ block: "nearest" });
  }
}

function field(label, input, ...hint) {
  return h("div.field", h("label", { for: input.id }, label), input, hint);
}

/** Options of a command: what is not touched is not given. */
class OptionsForm {
  /** `usual`: what holds where nothing is given ("default", "as stored"). */
  constructor(fields, usual, changed) {
    Object.assign(this, { fields, usual });
    this.inputs = new Map(fields.map((each) => [each.key, this.input(each)]));
    const [first, ...others] = Map.groupBy(fields, (each) => each.group);
    const rows = (group) => h("div.fields", group[1].map((each) => this.row(each)));
    this.element = h("div.form", { oninput: changed, onchange: changed }, first ? rows(first) : h("p.dim", "There is nothing to choose."),
      others.map((group) => h("details", h("summary", group[0] || "more"), rows(group))));
  }

  row({ key, label, help, unit }) {
    const made = field(label, this.inputs.get(key), h("p.hint", { id: `field-${key}-hint` }, help, unit && ` (${unit})`));
    made.dataset.key = key;
    return made;
  }

  input({ key, kind, details, choices, multiple, minimum, maximum, default: value }) {
    const common = { id: `field-${key}`, "aria-describedby": `field-${key}-hint`, title: details };
    const given = value !== null && value !== "";
    const isDefault = this.usual === "default";
    if (kind === "bool" || choices.length) {
      const titles = kind === "bool" ? [["true", "on"], ["false", "off"]] : choices.map((each) => [each, each]);
      const shown = { true: "on", false: "off" }[value] ?? value;
      return h("select", common, [["", isDefault && given ? `default: ${shown}` : this.usual], ...titles].map(([each, title]) => h("option", { value: each }, title)));
    }
    const placeholder = isDefault ? String(value ?? "") : this.usual;
    return NUMBERS.includes(kind) && !multiple
      ? h("input", { ...common, type: "number", placeholder, min: minimum ?? "", max: maximum ?? "", step: kind === "int" ? 1 : "any" })
      : h("input", { ...common, type: "text", placeholder: multiple ? "1, 3" : placeholder, autocomplete: "off", spellcheck: false });
  }

  /** What was given, by key. */
  get values() {
    const given = this.fields.map((each) => [each, this.inputs.get(each.key).value.trim()]).filter(([, text]) => text !== "");
    return Object.fromEntries(given.map(([each, text]) => [each.key, read(each, text)]));
  }

  /** Give fields the values of a job that was started before. */
  set values(given) {
    for (const [key, input] of this.inputs) input.value = [given[key] ?? ""].flat().join(", ");
    for (const group of this.element.querySelectorAll("details")) {
      group.open = [...group.querySelectorAll("input, select")].some((input) => input.value !== "");
    }
  }
}

function read({ kind, multiple }, text) {
  const one = (each) => (NUMBERS.includes(kind) ? Number(each) : each);
  if (multiple) return text.split(",").map((each) => one(each.trim()));
  return kind === "bool" ? text === "true" : one(text);
}
