// Commands that are started from here, and go on without page and server.
import { ask, button, fill, h } from "../dom.js";
import { get, post } from "../server.js";
import { ago, duration } from "../texts.js";
import { View } from "../view.js";
import { copyable, JobForm } from "./jobs_form.js";

const LOOK_MS = 1000;
const LINE_MS = 250;
const STATES = {
  running: "running", done: "done", failed: "failed", stopped: "stopped", died: "died", none: "not started",
};

export const styles = true;

export default class JobsView extends View {
  static title = "Jobs";

  load() {
    this.jobs = new Jobs(this.page);
    return this.jobs.load();
  }

  build() {
    return h("div.jobs-grid",
      h("div.stack", h("section.panel", h("h2", "Start"), this.jobs.kinds), this.jobs.forms),
      h("section.stack", { "aria-label": "Jobs" }, this.jobs.list));
  }

  shown() {
    const { kinds } = this.jobs.told;
    this.jobs.choose(kinds.find((kind) => kind.name === this.page.rest[0]) ?? kinds[0]);
  }

  end() {
    super.end();
    this.jobs.end();
  }
}

/** Commands, the form of the chosen one, and the jobs: of all kinds, or of those that another view wants. */
export class Jobs {
  /** `side` is chosen first in the forms; `looked(job, before)` is told of each look at a job. */
  constructor(page, { wanted = () => true, side = "src", looked = () => {} } = {}) {
    Object.assign(this, { page, wanted, looked, firstSide: side });
    this.rows = new Map();
    this.timers = {};
    this.list = h("div.jobs-list");
    this.forms = h("section.panel.start", { "aria-label": "Start a job", hidden: true });
    this.kinds = h("nav.kinds", { "aria-label": "Commands" });
  }

  async load() {
    this.told = await get("api/jobs/kinds");
    this.told.kinds = this.told.kinds.filter((kind) => this.wanted(kind.name));
    fill(this.kinds, this.told.kinds.map((kind) => button(kind.title, () => this.choose(kind), { "data-kind": kind.name })));
    this.page.on("hello", () => this.look());
    this.look();
  }

  end() {
    this.ended = true;
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
  }

  // -- the form ----------------------------------------------------------------------------------
  async choose(kind, given = null) {
    this.kind = kind;
    this.forms.hidden = false;
    for (const button of this.kinds.children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind.name));
    this.side = h("select", { id: "job-side", onchange: () => this.changed() }, ["src", "dst"].map((side) => h("option", { value: side }, side)));
    this.model = h("select", { id: "job-model", onchange: () => this.fields() },
      kind.models.map((key) => h("option", { value: key }, `${this.told.models[key].title} ${this.told.models[key].class}`)),
      kind.subject === "new model" ? h("option", { value: "new" }, "a new model") : null);
    this.classes = h("select", { id: "job-class", onchange: () => this.fields() }, kind.classes.map((each) => h("option", { value: each }, each)));
    this.name = h("input", { id: "job-name", value: "new", maxLength: 120, autocomplete: "off", spellcheck: false, oninput: () => this.changed() });
    this.side.value = given?.side || this.firstSide;
    await this.fields(given?.values);
  }

  get subject() {
    const { kind } = this;
    if (kind.subject === "workspace") return {};
    if (kind.subject === "side") return { side: this.side.value };
    if (this.model.value !== "new") return { model: this.model.value };
    return { model: "new", name: this.name.value, class: this.classes.value };
  }

  async fields(values = null) {
    const { kind, page } = this;
    const isNew = this.model.value === "new";
    const modelClass = isNew ? this.classes.value : this.told.models[this.model.value]?.class ?? "";
    const turn = this.turn = (this.turn ?? 0) + 1;
    let found;
    try {
      found = await get(`api/jobs/form/${kind.name}?class=${encodeURIComponent(modelClass)}`);
    } catch (error) {
      fill(this.forms, h("p", { class: "error" }, error.message));
      return;
    }
    if (turn !== this.turn || this.ended) return;
    const stored = kind.subject === "new model" && !isNew;
    this.form = new JobForm(found.fields, stored ? "as stored" : "default", () => this.changed());
    if (values) this.form.values = values;
    this.line = copyable(page.say);
    this.wrong = h("p", { class: "error", role: "status" });
    const row = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    const about = [];
    if (kind.subject === "side") about.push(row("faces of", this.side));
    if (kind.subject.endsWith("model")) about.push(row("model", this.model));
    if (kind.subject === "new model" && isNew) {
      if (kind.classes.length > 1) about.push(row("class", this.classes), row("name", this.name));
    }
    const none = kind.subject === "model" && !kind.models.length;
    this.begins = h("button", { class: "main", "data-do": "start", disabled: page.readOnly || none, onclick: () => this.start() },
      kind.plan ? "Plan and start" : "Start");
    fill(this.forms, h("h2", {}, kind.title), h("p", { class: "dim" }, kind.help),
      none ? h("p", { class: "warn" }, "There is no such model in this workspace yet.") : null,
      h("div", { class: "fields" }, about), this.form.element,
      h("div", { class: "foot" }, this.wrong, this.line.element, h("div", { class: "row end" }, this.begins)));
    if (!none) this.changed(0);
  }

  get asked() {
    return { kind: this.kind.name, values: this.form.values, ...this.subject };
  }

  changed(wait = LINE_MS) {
    if (this.page.readOnly) return;
    clearTimeout(this.timers.line);
    this.timers.line = setTimeout(async () => {
      const { line, wrong } = this;
      try {
        const said = await post("api/jobs/line", this.asked);
        line.show(said.line);
        fill(wrong, said.wrong);
      } catch (error) {
        line.show("");
        fill(wrong, error.message);
      }
    }, wait);
  }

  async start() {
    const { kind, page, asked } = this;
    this.begins.disabled = true;
    try {
      if (kind.plan) {
        fill(this.wrong, "");
        this.begins.textContent = "Making the plan…";
        const { plan } = await post("api/jobs/plan", asked);
        if (!await this.confirm(kind, plan)) return;
      } else if (kind.asks && !await ask(`${kind.title}?`, kind.asks, [], kind.title)) return;
      this.show((await post("api/jobs/start", asked)).jobs);
      page.say(`${kind.title}: started.`);
    } catch (error) {
      fill(this.wrong, error.message);
      page.say(error.message, "error");
    } finally {
      this.begins.disabled = page.readOnly;
      this.begins.textContent = kind.plan ? "Plan and start" : "Start";
    }
  }

  confirm(kind, plan) {
    return new Promise((resolve) => {
      const close = (value) => { dialog.close(); dialog.remove(); resolve(value); };
      const dialog = h("dialog", { class: "plan", "aria-label": "Plan", oncancel: () => close(false) },
        h("h2", {}, `${kind.title}: the plan`), h("pre", { tabIndex: 0 }, plan || "The command says nothing of what it would do."),
        h("div", { class: "row end" }, h("button", { onclick: () => close(false) }, "Cancel"),
          h("button", { class: "main", "data-do": "confirm", onclick: () => close(true) }, "Start")));
      document.body.append(dialog);
      dialog.showModal();
      dialog.querySelector("[data-do=confirm]").focus();
    });
  }

  // -- the jobs ----------------------------------------------------------------------------------
  async look() {
    clearTimeout(this.timers.look);
    try {
      this.show((await get("api/jobs/list")).jobs);
    } catch {
      this.timers.look = setTimeout(() => this.look(), 3 * LOOK_MS);
    }
  }

  show(all) {
    if (this.ended) return;
    clearTimeout(this.timers.look);
    const jobs = all.filter((job) => this.wanted(job.kind));
    const before = this.rows;
    this.rows = new Map(jobs.map((job) => [job.id, before.get(job.id) ?? new JobRow(this, job)]));
    for (const job of jobs) {
      const before = this.rows.get(job.id).job?.state;
      this.rows.get(job.id).show(job);
      this.looked(job, before);
    }
    const elements = [...this.rows.values()].map((row) => row.element);
    if (elements.length !== this.list.children.length || elements.some((each, i) => this.list.children[i] !== each)) fill(this.list, elements);
    if (!jobs.length) fill(this.list, h("p", { class: "dim panel" }, "No job was started from here yet."));
    if (jobs.some((job) => job.state === "running")) this.timers.look = setTimeout(() => this.look(), LOOK_MS);
  }

  async act(what, job) {
    try {
      this.show((await post(`api/jobs/${what}/${job.id}`)).jobs);
      this.look();
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  async stop(job) {
    if (await ask(`Stop "${job.title}"?`, "It ends after what it has begun, and can be resumed where the command can.", [], "Stop")) this.act("stop", job);
  }

  again(job) {
    const kind = this.told.kinds.find((each) => each.name === job.kind);
    this.choose(kind, { side: job.subject, values: job.values ?? {} });
    this.forms.scrollIntoView({ block: "nearest" });
  }
}

class JobRow {
  constructor(view, job) {
    const { page } = view;
    const act = (name, title, call, kind = "") => h("button", { "data-do": name, class: kind, disabled: page.readOnly, onclick: call }, title);
    this.state = h("span", { class: "state", role: "status" });
    this.bar = h("progress", { max: 1, value: 0, "aria-label": `Progress of ${job.title}` });
    this.text = h("span", { class: "dim" });
    this.log = h("pre", { tabIndex: 0 });
    this.details = h("details", {}, h("summary", {}, "Log"), this.log);
    this.line = copyable(page.say);
    this.stop = act("stop", "Stop", () => view.stop(this.job), "danger");
    this.resume = act("resume", "Resume", () => view.act("resume", this.job), "main");
    this.again = act("again", "Into the form", () => view.again(this.job));
    this.forget = act("forget", "Remove from the list", () => view.act("forget", this.job));
    this.watch = h("a", { href: "#/watch" }, "Watch");
    this.element = h("article", { class: "panel job", "data-kind": job.kind },
      h("div", { class: "row" }, h("strong", {}, job.title), h("span", { class: "dim" }, job.subject), this.state, this.watch),
      h("div", { class: "row progress" }, this.bar, this.text), this.line.element,
      h("div", { class: "row" }, this.stop, this.resume, this.again, this.forget), this.details);
  }

  show(job) {
    const running = job.state === "running";
    const was = this.job?.state;
    this.job = job;
    this.element.dataset.state = job.state;
    this.state.textContent = STATES[job.state] + (job.state === "failed" ? ` with exit code ${job.code}` : "") + (job.resumable ? "; it can be resumed" : "");
    this.state.className = `state ${{ running: "running", done: "good", failed: "error", died: "error" }[job.state] ?? "warn"}`;
    const share = job.state === "done" ? 1 : job.total ? job.done / job.total : null;
    this.bar.hidden = !running && share === null;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    this.text.textContent = progress(job);
    this.line.show(job.line);
    this.line.element.hidden = !job.line;
    this.stop.hidden = !running;
    this.resume.hidden = !job.resumable;
    this.again.hidden = running || job.values === null;
    this.forget.hidden = running;
    this.watch.hidden = !job.training && !job.kind.endsWith("train");
    const end = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 30;
    this.log.textContent = job.log || "Nothing was said yet.";
    if (end) this.log.scrollTop = this.log.scrollHeight;
    if (job.state !== was && ["failed", "died"].includes(job.state)) this.details.open = true;
  }
}

function progress(job) {
  if (job.state !== "running") return job.ended ? `${ago(Date.now() / 1000 - job.ended)}, took ${duration(job.ended - job.began)}` : "";
  const parts = [];
  if (job.total) parts.push(`${job.done} of ${job.total}`);
  if (job.left !== null) parts.push(`${duration(job.left)} left`);
  if (job.training) {
    if (job.training.iteration !== null) parts.push(`iteration ${job.training.iteration}`);
    const left = job.training.left?.[0];
    if (left !== null && left !== undefined) parts.push(`at least ${duration(left)} left`);
  }
  parts.push(`for ${duration(Date.now() / 1000 - job.began)}`);
  return parts.join(", ");
}
