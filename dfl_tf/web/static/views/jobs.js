// Commands that are started from here, and go on without page and server.
import { h, panel } from "../dom.js";
import { Jobs } from "../jobs.js";
import { View } from "../view.js";

export default class JobsView extends View {
  static title = "Jobs";

  load() {
    this.jobs = new Jobs(this.page);
    return this.jobs.load();
  }

  build() {
    const { kinds, forms, list } = this.jobs;
    return h("div.grid",
      h("div.stack", panel("Start", kinds), forms),
      h("section.stack", { "aria-label": "Jobs" }, list));
  }

  shown() {
    const { kinds } = this.jobs.told;
    this.jobs.choose(kinds.find((kind) => kind.name === this.page.rest[0]) ?? kinds[0]);
  }
}
