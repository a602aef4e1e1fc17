// The merge of all frames, which runs in a process of its own and outlives this page.
import { fill, h } from "../dom.js";

const LOOK_MS = 1000;
const STATES = {
  none: "", running: "merging", done: "merged", failed: "failed",
  stopped: "stopped; it can be resumed", died: "died; it can be resumed",
};
const HOWS = { "": "into empty folders", resume: "resume", overwrite: "overwrite" };

export class MergeJob {
  constructor(page, model, slot) {
    this.page = page;
    this.model = model;
    this.slot = slot;
    this.how = h("select", { "aria-label": "Frames that are there already" },
      Object.entries(HOWS).map(([how, title]) => h("option", { value: how }, title)));
    this.begin = h("button", { class: "write", onclick: () => this.start() }, "Merge now");
    this.stop = h("button", { class: "danger write", onclick: () => this.post("stop") }, "Stop");
    this.bar = h("progress", { "aria-label": "Merged frames", max: 1, value: 0 });
    this.text = h("span", { role: "status" });
    this.log = h("pre", {});
    this.details = h("details", {}, h("summary", {}, "Log"), this.log);
    this.element = h("div", { class: "job" }, h("div", { class: "row" }, this.begin, this.how, this.stop, this.bar, this.text), this.details);
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    try {
      this.show(await this.page.get(`merge/${this.model}`));
    } catch {
      this.timer = setTimeout(() => this.look(), 3 * LOOK_MS);
    }
  }

  show(job) {
    if (this.ended) return;
    const running = job.state === "running";
    this.element.dataset.state = job.state;
    this.stop.hidden = !running;
    this.begin.disabled = running || this.page.readOnly;
    this.bar.hidden = job.state === "none";
    const share = job.state === "done" ? 1 : job.total ? job.done / job.total : null;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    const counted = running && job.total ? ` ${job.done} of ${job.total}` : "";
    fill(this.text, STATES[job.state] + counted + (job.state === "failed" ? ` with exit code ${job.code}` : ""));
    this.text.className = { done: "good", failed: "error", died: "error" }[job.state] ?? "dim";
    this.log.textContent = job.log;
    this.details.hidden = job.state === "none";
    if (job.state === "failed") this.details.open = true;
    if (running) this.timer = setTimeout(() => this.look(), LOOK_MS);
  }

  start() {
    return this.post("start", { slot: this.slot(), how: this.how.value });
  }

  async post(what, body = {}) {
    try {
      this.show(await this.page.post(`${what}/${this.model}`, body));
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
