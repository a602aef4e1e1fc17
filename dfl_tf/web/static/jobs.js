// Commands that can be started: their forms, made of what the server says about their options, and their jobs.
import { ask, button, copyable, fill, h, press, select } from "./dom.js";
import { JobList } from "./job.js";
import { Newest } from "./server.js";

const LINE_MS = 250;
const NUMBERS = ["int", "float"];
const ON_OFF = { true: "on", false: "off" };
const INPUTS = { workspace: [], side: ["side"], model: ["model"], "new model": ["model"] };

/** Commands (`kinds`), the form of the chosen one (`forms`), and the jobs (`list`): all, or those that a view wants. */
export class Jobs {
  /** `wanted(name of a kind)`; `side` is chosen first in forms; `looked(job, before)` hears of each look at a job. */
  constructor(page, { wanted = () => true, side = "src", looked } = {}) {
    Object.assign(this, { page, wanted, side, lines: new Newest() });
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

  choose(kind, { subject, values } = {}) {
    this.kind = kind;
    this.forms.hidden = false;
    press(this.kinds.children, kind.name);
    const models = kind.models.map((key) => [key, `${this.told.models[key].title} ${this.told.models[key].class}`]);
    if (kind.subject === "new model") models.push(["new", "a new model"]);
    this.inputs = {
      side: select("faces of", { src: "src", dst: "dst" }, () => this.changed(), subject || this.side),
      model: select("model", models, () => this.showForm()),
      class: select("class", kind.classes.map((each) => [each, each]), () => this.showForm()),
      name: h("input", { value: "new", maxLength: 120, autocomplete: "off", spellcheck: false, oninput: () => this.changed() }),
    };
    return this.showForm(values);
  }

  /** What the command is about, and what the form says. */
  get asked() {
    const { kind, inputs, options: { values } } = this;
    const names = INPUTS[kind.subject].concat(inputs.model.value === "new" ? ["class", "name"] : []);
    return { kind: kind.name, values, ...Object.fromEntries(names.map((name) => [name, inputs[name].value])) };
  }

  async showForm(values) {
    const { kind, page, inputs } = this;
    const model = inputs.model.value;
    const modelClass = model === "new" ? inputs.class.value : this.told.models[model]?.class ?? "";
    const turn = this.turn = {};
    const found = await page.get(`/jobs/form/${kind.name}?class=${encodeURIComponent(modelClass)}`).catch((error) => ({ error }));
    if (turn !== this.turn) return;
    if (found.error) {
      fill(this.forms, h("p.error", found.error.message));
      return;
    }
    this.options = new OptionsForm(found.fields, kind.subject === "new model" && model !== "new" ? "as stored" : "default", () => this.changed());
    if (values) this.options.values = values;
    this.line = copyable(page.say);
    this.wrong = h("p.error", { role: "status" });
    const none = kind.subject === "model" && !model;
    this.begin = button(kind.plan ? "Plan and start" : "Start", () => this.start(), { className: "main", "data-do": "start", disabled: page.readOnly || none });
    const about = INPUTS[kind.subject].concat(model === "new" && kind.classes.length > 1 ? ["class", "name"] : []);
    fill(this.forms, h("h2", kind.title), h("p.dim", kind.help),
      none && h("p.warn", "There is no such model in this workspace yet."),
      h("div.fields", about.map((name) => field(`job-${name}`, name === "side" ? "faces of" : name, inputs[name]))), this.options.element,
      h("div.foot", this.wrong, this.line.element, h("div.row.end", this.begin)));
    if (!none) this.changed(0);
  }

  /** Show the command line of what the form says, or what is wrong with it. */
  changed(wait = LINE_MS) {
    if (this.page.readOnly) return;
    const { line, wrong } = this;
    const show = (said) => {
      line.show(said.line);
      fill(wrong, said.wrong);
    };
    this.page.later(this, wait, () =>
      this.lines.use(this.page.post("/jobs/line", this.asked), show, ({ message }) => show({ line: "", wrong: message })));
  }

  async start() {
    const { kind, page, asked, begin, wrong } = this;
    const title = begin.textContent;
    begin.disabled = true;
    fill(wrong);
    try {
      if (kind.plan) begin.textContent = "Making the plan…";
      if (!await this.agreed(kind, asked)) return;
      await this.jobs.hear(page.post("/jobs/start", asked));
      page.say(`${kind.title}: started.`);
    } catch (error) {
      fill(wrong, error.message);
      throw error;
    } finally {
      begin.disabled = page.readOnly;
      begin.textContent = title;
    }
  }

  /** Whether the user wants what the command would do. */
  async agreed({ plan, asks, title }, asked) {
    if (!plan) return !asks || ask(`${title}?`, asks, [], title);
    const said = await this.page.post("/jobs/plan", asked);
    return ask(`${title}: the plan`, h("pre", { tabIndex: 0 }, said.plan || "The command says nothing of what it would do."), [], "Start");
  }

  again(job) {
    this.choose(this.told.kinds.find((kind) => kind.name === job.kind), job);
    this.forms.scrollIntoView({ block: "nearest" });
  }
}

function field(id, label, input, ...hint) {
  input.id = id;
  return h("div.field", h("label", { for: id }, label), input, hint);
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
    const id = `field-${key}`;
    const made = field(id, label, this.inputs.get(key), h("p.hint", { id: `${id}-hint` }, help, unit && ` (${unit})`));
    made.dataset.key = key;
    return made;
  }

  input({ key, kind, details: title, choices, multiple, minimum, maximum, default: value }) {
    const common = { "aria-describedby": `field-${key}-hint`, title };
    const usual = this.usual === "default" ? value ?? "" : this.usual;
    if (kind === "bool" || choices.length) {
      const shown = this.usual === "default" && usual !== "" ? `default: ${ON_OFF[usual] ?? usual}` : this.usual;
      const titles = kind === "bool" ? Object.entries(ON_OFF) : choices.map((each) => [each, each]);
      return h("select", common, [["", shown], ...titles].map(([each, text]) => h("option", { value: each }, text)));
    }
    return NUMBERS.includes(kind) && !multiple
      ? h("input", { ...common, type: "number", placeholder: usual, min: minimum ?? "", max: maximum ?? "", step: kind === "int" ? 1 : "any" })
      : h("input", { ...common, placeholder: multiple ? "1, 3" : usual, autocomplete: "off", spellcheck: false });
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
