// Losses and all further figures of the iterations.
import { fill, h } from "../dom.js";
import { colorOf, Curves, figure, markColor } from "../plot.js";

const MARKS = ["options", "rollback", "start", "end", "backup", "snapshot", "problem", "save"];
const POINTS = 900;
const STORED = "dfl-tf-curves";

export class CurvesPanel {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.range = [null, null];
    this.version = null;
    const kept = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    this.names = kept.names ?? null;
    this.curves = new Curves((from, to) => { this.range = [from, to]; this.version = null; this.draw(); });
    this.curves.logarithmic = kept.logarithmic ?? false;
    this.curves.smoothing = kept.smoothing ?? 0;
    this.curves.kinds = new Set(kept.kinds ?? MARKS);
    this.curves.onCursor = (index) => this.showValues(index);
    this.choices = h("details", { class: "choices" }, h("summary", {}, "Curves and marks"));
    this.legend = h("div", { class: "legend" });
    this.near = h("p", { class: "dim near" }, "\u00a0");
    this.log = h("button", { type: "button", title: "key l", onclick: () => this.toggleLog() }, "Log axis");
    this.reset = h("button", { type: "button", title: "key 0", onclick: () => this.zoomOut() }, "Whole range");
    this.smooth = h("input", { id: "smoothing", type: "range", min: 0, max: 0.99, step: 0.01, value: this.curves.smoothing, oninput: () => {
      this.curves.smoothing = Number(this.smooth.value);
      this.keep();
      if (this.data) this.curves.show(this.data, this.names, this.detail.marks);
    } });
    this.none = h("p", { class: "dim" }, "The log tells of no iterations yet.");
    this.controls = h("div", { class: "row" }, this.log, this.reset, h("label", { class: "smooth", for: "smoothing" }, "Smoothing", this.smooth));
    this.element = h("section", { class: "panel wide", "aria-label": "Curves" },
      h("h2", {}, "Losses and further figures"), this.legend, this.curves.element, this.near,
      this.controls, this.choices, this.none);
    this.showLog();
  }

  keep() {
    localStorage.setItem(STORED, JSON.stringify({
      names: this.names, logarithmic: this.curves.logarithmic, smoothing: this.curves.smoothing, kinds: [...this.curves.kinds],
    }));
  }

  async show(detail) {
    const before = this.detail;
    this.detail = detail;
    const known = new Set(detail.columns);
    this.names = (this.names ?? []).filter((name) => known.has(name));
    if (!this.names.length) this.names = detail.columns.filter((name) => name.startsWith("loss/"));
    if (before?.columns.join() !== detail.columns.join()) this.showChoices();
    await this.draw();
  }

  async draw() {
    const { detail } = this;
    const version = JSON.stringify([detail.last, detail.marks.length, this.names, this.range]);
    if (version === this.version) return;
    const query = new URLSearchParams({ points: POINTS });
    for (const name of new Set([...this.names, "time/waiting %"])) query.append("column", name);
    if (this.range[0] !== null) {
      query.set("from", this.range[0]);
      query.set("to", this.range[1]);
    }
    this.data = await this.page.get(`models/${this.id}/series?${query}`);
    this.version = version;
    const empty = !this.data.iterations.length;
    for (const each of [this.legend, this.curves.element, this.near, this.controls, this.choices]) each.hidden = empty;
    this.none.hidden = !empty;
    this.element.dataset.points = this.data.iterations.length;
    if (empty) return;
    this.curves.show(this.data, this.names, detail.marks);
    this.showValues(null);
  }

  latest(name, text) {
    const values = this.data?.mean[name]?.filter((value) => value !== null);
    return values?.length ? text(values.at(-1)) : "–";
  }

  showValues(index) {
    if (!this.data) return;
    const at = index ?? this.data.iterations.length - 1;
    fill(this.legend,
      h("span", {}, `iteration ${this.data.iterations[at] === undefined ? "–" : Math.round(this.data.iterations[at])}`),
      this.names.map((name, i) => {
        const dot = h("span", { class: "dot", "aria-hidden": "true" });
        dot.style.background = colorOf(i);
        return h("span", {}, dot, `${name.replace("loss/", "")} ${figure(this.data.mean[name]?.[at])}`);
      }));
    const span = (this.data.iterations.at(-1) - this.data.iterations[0]) / 60;
    const near = index === null ? [] : this.detail.marks.filter(([iteration, kind]) => this.curves.kinds.has(kind) && Math.abs(iteration - this.data.iterations[at]) <= span);
    this.near.textContent = near.slice(-3).map(([iteration, , text]) => `${iteration}: ${text}`).join(" · ") || "\u00a0";
  }

  showChoices() {
    const box = (text, checked, change, color) => {
      const input = h("input", { type: "checkbox", checked, onchange: () => change(input.checked) });
      const label = h("label", { class: "choice" }, input, text);
      if (color) label.style.borderColor = color;
      return label;
    };
    fill(this.choices, h("summary", {}, "Curves and marks"),
      h("div", { class: "row", role: "group", "aria-label": "Curves" }, this.detail.columns.map((name) => box(name, this.names.includes(name), (on) => {
        this.names = on ? [...this.names, name] : this.names.filter((each) => each !== name);
        this.keep();
        this.draw();
      }))),
      h("div", { class: "row", role: "group", "aria-label": "Marks" }, MARKS.map((kind) => box(kind, this.curves.kinds.has(kind), (on) => {
        if (on) this.curves.kinds.add(kind);
        else this.curves.kinds.delete(kind);
        this.keep();
        this.curves.plot?.redraw();
      }, markColor(kind)))));
  }

  toggleLog() {
    this.curves.logarithmic = !this.curves.logarithmic;
    this.showLog();
    this.keep();
    if (this.data) this.curves.show(this.data, this.names, this.detail.marks);
  }

  showLog() {
    this.log.setAttribute("aria-pressed", String(this.curves.logarithmic));
  }

  zoomOut() {
    this.range = [null, null];
    this.draw();
  }

  key(event) {
    if (event.key === "l") this.toggleLog();
    if (event.key === "0") this.zoomOut();
  }

  destroy() {
    this.curves.destroy();
  }
}
