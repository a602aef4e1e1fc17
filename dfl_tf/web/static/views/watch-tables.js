// Held-out metrics, options in effect and the end of the log, as tables.
import { fill, h } from "../dom.js";
import { figure } from "../plot.js";
import { clock } from "../texts.js";

const SHOWN_MEASUREMENTS = 12;
const SHOWN_LINES = 300;

export class MetricsPanel {
  constructor() {
    this.table = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Measurements" });
    this.element = h("section", { class: "panel", "aria-label": "Quality" }, h("h2", {}, "Quality on held-out faces"), this.table);
  }

  show(measured) {
    if (!measured.length) {
      fill(this.table, h("p", { class: "dim" }, "Nothing was measured. Options holdout and validate_every measure faces that are not trained on."));
      return;
    }
    const names = [...new Set(measured.flatMap((row) => Object.keys(row.metrics)))];
    fill(this.table, h("table", { class: "numbers" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "iteration"), names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, measured.slice(-SHOWN_MEASUREMENTS).reverse().map((row) => h("tr", {},
        h("td", {}, `${row.iteration}${row.best ? " (best so far)" : ""}`), names.map((name) => h("td", {}, figure(row.metrics[name]))))))));
  }
}

export class OptionsPanel {
  constructor() {
    this.rows = [];
    this.filter = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter options", oninput: () => this.draw() });
    this.all = h("input", { type: "checkbox", id: "all-options", onchange: () => this.draw() });
    this.table = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Options" });
    this.element = h("section", { class: "panel", "aria-label": "Options in effect" }, h("h2", {}, "Options in effect"),
      h("div", { class: "row" }, this.filter, h("label", { class: "row", for: "all-options" }, this.all, "defaults as well")), this.table);
  }

  show(rows) {
    if (JSON.stringify(rows) === JSON.stringify(this.rows)) return;
    this.rows = rows;
    this.draw();
  }

  draw() {
    const word = this.filter.value.toLowerCase();
    const rows = this.rows.filter((row) => (this.all.checked || word || row.origin !== "default" || row.reason) && row.key.includes(word));
    fill(this.table, h("table", {}, h("thead", {}, h("tr", {}, ["option", "value", "why"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((row) => h("tr", { title: row.help ?? "" },
        h("td", {}, row.key), h("td", { class: row.reason ? "warn" : "" }, row.value), h("td", { class: "dim" }, row.reason || row.origin))))));
  }
}

export class LogPanel {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.after = 0;
    this.edition = "";
    this.lines = h("pre", { class: "scroll log", tabIndex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
    this.element = h("section", { class: "panel wide", "aria-label": "Log" }, h("h2", {}, "Log"), this.lines);
  }

  async load() {
    const { edition, lines } = await this.page.get(`models/${this.id}/log?edition=${this.edition}&after=${this.after}`);
    if (edition !== this.edition) this.lines.replaceChildren(); // the server was started again
    this.edition = edition;
    if (!lines.length) return;
    const end = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 40;
    this.lines.append(...lines.map((line) => h("div", { class: line.level === "info" ? "" : line.level === "error" ? "bad" : "warn" }, `${clock(line.time)}  ${line.text}`)));
    this.after = lines.at(-1).number;
    while (this.lines.childElementCount > SHOWN_LINES) this.lines.firstElementChild.remove();
    if (end) this.lines.scrollTop = this.lines.scrollHeight;
  }
}
