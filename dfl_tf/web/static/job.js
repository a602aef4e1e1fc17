// Commands that run in processes of their own and outlive this page: how they go, and what can be done.
import { advance, ask, copyable, fill, follow, h, row } from "./dom.js";
import { ago, duration } from "./texts.js";

const LOOK_MS = 1000;
const STATES = { running: "running", done: "done", failed: "failed", stopped: "stopped", died: "died", none: "" };
const LOOKS = { running: "running", done: "good", failed: "error", died: "error" };
const ENDED = ["failed", "stopped", "died"];
const BUTTONS = {
  stop: ["Stop", (job) => job.state === "running", "button.danger.write"],
  resume: ["Resume", (job) => job.resumable, "button.main.write"],
  again: ["Into the form", (job) => job.state !== "running" && job.values, "button.write"],
  forget: ["Remove from the list", (job) => job.state !== "running", "button.write"],
};

/** One job: its state, progress with the time left, the command line, its log, and buttons. */
export class JobRow {
  /** `head` stands first; `calls` = {stop, resume, again, forget} are made with the job: those that there are get buttons. */
  constructor(page, { head, label, calls, states = {} }) {
    Object.assign(this, { page, states: { ...STATES, ...states } });
    this.state = h("span.state", { role: "status" });
    this.bar = h("progress", { "aria-label": label, max: 1, value: 0 });
    this.text = h("span.dim");
    this.line = copyable(page.say);
    this.log = h("pre", { tabIndex: 0 });
    this.details = h("details", h("summary", "Log"), this.log);
    this.buttons = Object.entries(calls).map(([name, call]) => {
      const [title, when, kind] = BUTTONS[name];
      const element = h(kind, { "data-do": name, disabled: page.readOnly, onclick: () => call(this.job) }, title);
      return { element, when };
    });
    this.element = h("div.job", row(head, this.state), row(this.bar, this.text, this.buttons.map(({ element }) => element)),
      this.line.element, this.details);
  }

  show(job) {
    const before = this.job?.state;
    this.job = job;
    this.element.dataset.state = job.state;
    this.state.textContent = this.states[job.state] + (job.state === "failed" ? ` with exit code ${job.code}` : "")
      + (job.resumable ? "; it can be resumed" : "");
    this.state.className = `state ${LOOKS[job.state] ?? "warn"}`;
    const share = job.state === "done" ? 1 : job.total ? job.done / job.total : null;
    advance(this.bar, share);
    this.bar.hidden = job.state !== "running" && share === null;
    this.text.textContent = progress(job);
    this.line.show(job.line);
    this.line.element.hidden = !job.line;
    for (const { element, when } of this.buttons) element.hidden = !when(job);
    this.details.hidden = job.state === "none";
    follow(this.log, () => fill(this.log, job.log || "Nothing was said yet."));
    if (job.state !== before && ["failed", "died"].includes(job.state)) this.details.open = true;
  }
}

function progress(job) {
  const now = Date.now() / 1000;
  if (job.state !== "running") return job.ended ? `${ago(now - job.ended)}, took ${duration(job.ended - job.began)}` : "";
  const { iteration = null, left = [] } = job.training ?? {};
  return [
    job.total && `${job.done} of ${job.total}`,
    (job.left ?? null) !== null && `${duration(job.left)} left`,
    iteration !== null && `iteration ${iteration}`,
    (left?.[0] ?? null) !== null && `at least ${duration(left[0])} left`,
    `for ${duration(now - job.began)}`,
  ].filter(Boolean).join(", ");
}

/** One job of a view: with a button that starts it, and looking after it. */
export class JobPanel extends JobRow {
  /**
   * `look`, `start`, `resume` and `stop` ask the server and resolve to how the job is. `title` stands on
   * the button, `controls` beside it, `states` says what each state is called, `label` what is counted.
   */
  constructor({ page, title, label, states, controls = [], look, start, stop, resume, changed = () => {} }) {
    const begin = h("button.write", { onclick: () => this.ask(start) }, title);
    const calls = { stop: () => this.ask(stop), ...(resume && { resume: () => this.ask(resume) }) };
    super(page, { head: [begin, controls], label, calls, states });
    Object.assign(this, { begin, changed, looking: look, canResume: Boolean(resume) });
    this.look();
  }

  async look() {
    try {
      this.show(await this.looking());
    } catch {
      if (!this.ended) this.page.later(this, 3 * LOOK_MS, () => this.look());
    }
  }

  show(job) {
    if (this.ended) return;
    const before = this.job?.state;
    super.show({ ...job, resumable: this.canResume && ENDED.includes(job.state) });
    this.begin.disabled = job.state === "running" || this.page.readOnly;
    this.changed(job, before);
    if (job.state === "running") this.page.later(this, LOOK_MS, () => this.look());
  }

  async ask(what) {
    const job = await what();
    if (job) this.show(job);
    this.look();
  }

  end() {
    this.ended = true;
  }
}

/** The jobs of the workspace: those that run first, then the newest. */
export class JobList {
  /** `wanted(job)`: of which jobs; `again(job)` brings one into its form; `looked(job, state before)` hears of each look. */
  constructor(page, { wanted = () => true, again, looked = () => {} }) {
    Object.assign(this, { page, wanted, again, looked });
    this.rows = new Map();
    this.element = h("div.stack");
    page.on("hello", () => this.look());
    this.look();
  }

  async look() {
    try {
      this.show((await this.page.get("/jobs/list")).jobs);
    } catch {
      this.page.later(this, 3 * LOOK_MS, () => this.look());
    }
  }

  show(all) {
    const jobs = all.filter(this.wanted);
    const before = this.rows;
    this.rows = new Map(jobs.map((job) => [job.id, before.get(job.id) ?? this.row(job)]));
    for (const job of jobs) {
      const one = this.rows.get(job.id);
      const was = one.job?.state;
      one.show(job);
      this.looked(job, was);
    }
    const elements = jobs.map((job) => this.rows.get(job.id).element);
    if (!elements.length) fill(this.element, h("p.dim.panel", "No job was started from here yet."));
    else if (elements.length !== this.element.childElementCount || elements.some((each, i) => each !== this.element.children[i])) {
      fill(this.element, elements); // only then: the focus stays where it is
    }
    if (jobs.some((job) => job.state === "running")) this.page.later(this, LOOK_MS, () => this.look());
  }

  row(job) {
    const act = (what) => async ({ id }) => {
      this.show((await this.page.post(`/jobs/${what}/${id}`)).jobs);
      this.look();
    };
    const stop = async (of) => {
      const text = "It ends after what it has begun, and can be resumed where the command can.";
      if (await ask(`Stop "${of.title}"?`, text, [], "Stop")) await act("stop")(of);
    };
    const made = new JobRow(this.page, {
      head: [h("strong", job.title), h("span.dim", job.subject), job.kind.endsWith("train") && h("a", { href: "#/watch" }, "Watch")],
      label: `Progress of ${job.title}`,
      calls: { stop, resume: act("resume"), again: this.again, forget: act("forget") },
    });
    made.element.classList.add("panel");
    made.element.dataset.kind = job.kind;
    return made;
  }
}
