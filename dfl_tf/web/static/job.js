// A command that runs in a process of its own and outlives this page: start, progress, log, stop.
import { fill, h } from "./dom.js";

const LOOK_MS = 1000;

export class JobPanel {
  /**
   * `look`, `start` and `stop` ask the server and resolve to how the job is. `title` stands on the
   * button, `controls` beside it (before it with `last`); `states` says what each state is called, `label` what is counted.
   */
  constructor({ page, title, label, states, controls = [], last = false, look, start, stop, changed = () => {} }) {
    Object.assign(this, { page, states, changed, looking: look });
    this.begin = h("button", { class: "write", onclick: () => this.ask(start) }, title);
    this.stop = h("button", { class: "danger write", onclick: () => this.ask(stop) }, "Stop");
    this.bar = h("progress", { "aria-label": label, max: 1, value: 0 });
    this.text = h("span", { role: "status" });
    this.log = h("pre", {});
    this.details = h("details", {}, h("summary", {}, "Log"), this.log);
    this.element = h("div", { class: "job" },
      h("div", { class: "row" }, last ? [...controls, this.begin] : [this.begin, ...controls], this.stop, this.bar, this.text), this.details);
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    try {
      this.show(await this.looking());
    } catch {
      if (!this.ended) this.timer = setTimeout(() => this.look(), 3 * LOOK_MS);
    }
  }

  show(job) {
    if (this.ended) return;
    const running = job.state === "running";
    const before = this.element.dataset.state;
    this.element.dataset.state = job.state;
    this.stop.hidden = !running;
    this.begin.disabled = running || this.page.readOnly;
    this.bar.hidden = job.state === "none";
    const share = job.state === "done" ? 1 : job.total ? job.done / job.total : null;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    const counted = running && job.total ? ` ${job.done} of ${job.total}` : "";
    fill(this.text, this.states[job.state] + counted + (job.state === "failed" ? ` with exit code ${job.code}` : ""));
    this.text.className = { done: "good", failed: "error", died: "error" }[job.state] ?? "dim";
    this.log.textContent = (job.line ? `$ ${job.line}\n` : "") + job.log;
    this.details.hidden = job.state === "none";
    if (job.state === "failed") this.details.open = true;
    this.changed(job, before);
    clearTimeout(this.timer);
    if (running) this.timer = setTimeout(() => this.look(), LOOK_MS);
  }

  async ask(what) {
    try {
      const job = await what();
      if (job) this.show(job);
      this.look();
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  end() {
    this.ended = true;
    clearTimeout(this.timer);
  }
}
