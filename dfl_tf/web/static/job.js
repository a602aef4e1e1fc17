// Commands that run in processes of their own and outlive this page: how they go, and what can be done.
import { advance, ask, copyable, fill, follow, h, row } from "./dom.js";
import { Newest } from "./server.js";
import { ago, duration } from "./texts.js";

const LOOK_MS = 1000;
const AGAIN_MS = 3000;
const LOOKS = { running: "running", done: "good", failed: "error", died: "error" };
const ENDED = ["failed", "stopped", "died"];
const BUTTONS = {
  stop: ["Stop", (job) => job.state === "running", "button.danger"],
  resume: ["Resume", (job) => job.resumable, "button.main"],
  again: ["Into the form", (job) => job.state !== "running" && job.values, "button"],
  forget: ["Remove from the list", (job) => job.state !== "running", "button"],
};

/** One job: its state, progress with the time left, the command line, its log, and buttons. */
class JobRow {
  /** `head` stands first; `calls` = {stop, resume, again, forget} are made with the job: those that there are get buttons. */
  constructor(page, { head, label, calls, states = {} }) {
    Object.assign(this, { page, states });
    this.state = h("span.state", { role: "status" });
    this.bar = h("progress", { "aria-label": label, max: 1, value: 0 });
    this.text = h("span.dim");
    this.line = copyable(page.say);
    this.log = h("pre", { tabIndex: 0 });
    this.details = h("details", h("summary", "Log"), this.log);
    this.buttons = Object.entries(calls).map(([name, call]) =>
      h(BUTTONS[name][2], { "data-do": name, disabled: page.readOnly, onclick: () => call(this.job) }, BUTTONS[name][0]));
    this.element = h("div.job", row(head, this.state), row(this.bar, this.text, this.buttons), this.line.element, this.details);
  }

  show(job) {
    const { state, code, done, total, resumable, line, log } = job;
    const isNew = state !== this.job?.state;
    this.job = job;
    this.element.dataset.state = state;
    this.details.hidden = state === "none";
    fill(this.state, state === "none" ? "" : this.states[state] ?? state, state === "failed" && ` with exit code ${code}`,
      resumable && "; it can be resumed");
    this.state.className = `state ${LOOKS[state] ?? "warn"}`;
    const share = state === "done" ? 1 : total ? done / total : null;
    advance(this.bar, share);
    this.bar.hidden = state !== "running" && share === null;
    fill(this.text, progress(job));
    this.line.show(line);
    this.line.element.hidden = !line;
    for (const each of this.buttons) each.hidden = !BUTTONS[each.dataset.do][1](job);
    follow(this.log, () => fill(this.log, log || "Nothing was said yet."));
    if (isNew && ["failed", "died"].includes(state)) this.details.open = true;
  }
}

function progress({ state, began, ended, done, total, left, training }) {
  const now = Date.now() / 1000;
  if (state !== "running") return ended && `${ago(now - ended)}, took ${duration(ended - began)}`;
  const least = training?.left?.[0] ?? null;
  return [
    total && `${done} of ${total}`, left !== null && `${duration(left)} left`,
    training && training.iteration !== null && `iteration ${training.iteration}`,
    least !== null && `at least ${duration(least)} left`, `for ${duration(now - began)}`,
  ].filter(Boolean).join(", ");
}

/** One job of a view, with a button that starts it. */
export class JobPanel extends JobRow {
  /**
   * `look`, `start`, `resume` and `stop` ask the server and resolve to how the job is. `title` stands on
   * the button, `controls` beside it, `states` says what a state is called, `label` what is counted.
   */
  constructor({ page, title, label, states, controls, look, start, stop, resume }) {
    const newest = new Newest();
    const again = (error) => {
      page.later(this, AGAIN_MS, () => this.look());
      throw error;
    };
    const shown = (asking) => () => newest.use(asking(), (job) => this.show(job), again);
    const begin = h("button", { disabled: page.readOnly, onclick: shown(start) }, title);
    super(page, { head: [begin, controls], label, calls: { stop: shown(stop), resume: shown(resume) }, states });
    Object.assign(this, { begin, looking: shown(look) });
    this.look();
  }

  look() {
    this.looking().catch(() => {});
  }

  show(job) {
    super.show({ ...job, resumable: ENDED.includes(job.state) });
    this.begin.disabled = job.state === "running" || this.page.readOnly;
    if (job.state === "running") this.page.later(this, LOOK_MS, () => this.look());
  }
}

/** The jobs of the workspace: those that run first, then the newest. */
export class JobList {
  /** `wanted(job)`: of which jobs; `again(job)` brings one into its form; `looked(job, state before)` hears of each look. */
  constructor(page, { wanted, again, looked = () => {} }) {
    Object.assign(this, { page, wanted, again, looked, newest: new Newest() });
    this.rows = new Map();
    this.element = h("div.stack");
    page.on("hello", () => this.look());
    this.look();
  }

  look() {
    this.hear(this.page.get("/jobs/list")).catch(() => {});
  }

  /** Show an answer with all jobs. */
  hear(asking) {
    return this.newest.use(asking, (told) => this.show(told), (error) => {
      this.page.later(this, AGAIN_MS, () => this.look());
      throw error;
    });
  }

  show({ jobs: all }) {
    const jobs = all.filter(this.wanted);
    this.rows = new Map(jobs.map((job) => [job.id, this.rows.get(job.id) ?? this.row(job)]));
    const elements = jobs.map((job) => {
      const one = this.rows.get(job.id);
      const before = one.job?.state;
      one.show(job);
      this.looked(job, before);
      return one.element;
    });
    const isSame = elements.length === this.element.childElementCount && elements.every((each, i) => each === this.element.children[i]);
    if (!isSame || !elements.length) fill(this.element, elements.length ? elements : h("p.dim.panel", "No job was started from here yet."));
    if (jobs.some((job) => job.state === "running")) this.page.later(this, LOOK_MS, () => this.look());
  }

  row({ id, kind, title, subject }) {
    const post = (what) => this.hear(this.page.post(`/jobs/${what}/${id}`));
    const stop = async () => {
      const text = "It ends after what it has begun, and can be resumed where the command can.";
      if (await ask(`Stop "${title}"?`, text, [], "Stop")) await post("stop");
    };
    const made = new JobRow(this.page, {
      head: [h("strong", title), h("span.dim", subject), kind.endsWith("train") && h("a", { href: "#/watch" }, "Watch")],
      label: `Progress of ${title}`,
      calls: { stop, resume: () => post("resume"), again: this.again, forget: () => post("forget") },
    });
    made.element.classList.add("panel");
    made.element.dataset.kind = kind;
    return made;
  }
}
