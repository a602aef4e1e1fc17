// Held-out metrics, options in effect and the end of the log, as tables.
import { check, fill, follow, h, panel, row, table } from "../dom.js";
import { figure } from "../plot.js";
import { clock } from "../texts.js";

const SHOWN_MEASUREMENTS = 12;
const SHOWN_LINES = 300;
const LOOKS = { info: "", error: "bad" };

function scrolled(label) {
  return h("div.scroll", { tabIndex: 0, role: "region", "aria-label": label });
}

export class MetricsPanel {
  constructor() {
    this.table = scrolled("Measurements");
    this.element = panel("Quality on held-out faces", this.table);
  }

  show(measured) {
    const names = [...new Set(measured.flatMap((each) => Object.keys(each.metrics)))];
    const rows = measured.slice(-SHOWN_MEASUREMENTS).reverse().map((each) =>
      [`${each.iteration}${each.best ? " (best so far)" : ""}`, ...names.map((name) => figure(each.metrics[name]))]);
    fill(this.table, rows.length ? table(["iteration", ...names], rows, "table.numbers") :
      h("p.dim", "Nothing was measured. Options holdout and validate_every measure faces that are not trained on."));
  }
}

export class OptionsPanel {
  constructor() {
    this.filter = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter options", oninput: () => this.draw() });
    this.table = scrolled("Options");
    this.element = panel("Options in effect", row(this.filter, check("defaults as well", false, (on) => { this.all = on; this.draw(); }, "label.row")), this.table);
  }

  show(options) {
    if (JSON.stringify(options) === JSON.stringify(this.options)) return;
    this.options = options;
    this.draw();
  }

  draw() {
    const word = this.filter.value.toLowerCase();
    const shown = this.options.filter((each) => (this.all || word || each.origin !== "default" || each.reason) && each.key.includes(word));
    fill(this.table, table(["option", "value", "why"], shown.map(({ key, help, value, reason, origin }) =>
      [h("td", { title: help }, key), h("td", { className: reason && "warn" }, value), h("td.dim", reason || origin)])));
  }
}

export class LogPanel {
  constructor(page, id) {
    Object.assign(this, { page, id, after: 0, edition: "" });
    this.lines = h("pre.scroll.log", { tabIndex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
    this.element = panel("Log", this.lines);
  }

  async load() {
    const { edition, lines } = await this.page.get(`models/${this.id}/log?edition=${this.edition}&after=${this.after}`);
    if (edition !== this.edition) fill(this.lines); // the server was started again
    this.edition = edition;
    if (!lines.length) return;
    this.after = lines.at(-1).number;
    follow(this.lines, () => {
      this.lines.append(...lines.map(({ level, time, text }) => h("div", { className: LOOKS[level] ?? "warn" }, `${clock(time)}  ${text}`)));
      while (this.lines.childElementCount > SHOWN_LINES) this.lines.firstElementChild.remove();
    });
  }
}
