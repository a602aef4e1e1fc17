// Losses and all further figures of the iterations.
import { button, check, fill, group, h, panel, press, row } from "../dom.js";
import { colorOf, Curves, figure, markColor } from "../plot.js";
import { Newest } from "../server.js";

const MARKS = ["options", "rollback", "start", "end", "backup", "snapshot", "problem", "save"];
const POINTS = 900;
const STORED = "dfl-tf-curves";

export class CurvesPanel {
  constructor(page, id) {
    Object.assign(this, { page, id, range: [], newest: new Newest() });
    const { names = [], logarithmic = false, smoothing = 0, kinds = MARKS } = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    this.names = names;
    this.curves = new Curves((...range) => this.zoom(range), (index) => this.showValues(index));
    Object.assign(this.curves, { logarithmic, smoothing, kinds: new Set(kinds) });
    this.legend = h("div.legend");
    this.near = h("p.dim.near", "\u00a0");
    this.choices = h("details.choices", h("summary", "Curves and marks"));
    this.log = button("Log axis", () => this.toggleLog(), { title: "key l" });
    const smooth = (event) => this.change({ smoothing: Number(event.target.value) });
    this.shown = [this.legend, this.curves.element, this.near, row(
      this.log, button("Whole range", () => this.zoomOut(), { title: "key 0" }),
      h("label.smooth", "Smoothing", h("input", { id: "smoothing", type: "range", min: 0, max: 0.99, step: 0.01, value: smoothing, oninput: smooth })),
    ), this.choices];
    this.none = h("p.dim", "The log tells of no iterations yet.");
    this.element = panel("Losses and further figures", this.shown, this.none);
    press(this.log, logarithmic);
  }

  /** Remember in this browser what was chosen. */
  keep() {
    const { names, curves: { logarithmic, smoothing, kinds } } = this;
    localStorage.setItem(STORED, JSON.stringify({ names, logarithmic, smoothing, kinds: [...kinds] }));
  }

  /** Draw what is there in another way. */
  change(how) {
    Object.assign(this.curves, how);
    this.keep();
    press(this.log, this.curves.logarithmic);
    if (this.data) this.curves.show(this.data, this.names, this.detail.marks);
  }

  async show(detail) {
    const known = detail.columns;
    const isNew = known.join() !== this.detail?.columns.join();
    this.detail = detail;
    this.names = this.names.filter((name) => known.includes(name));
    if (!this.names.length) this.names = known.filter((name) => name.startsWith("loss/"));
    if (isNew) this.showChoices();
    await this.draw();
  }

  /** Draw what is chosen, unless that was asked for already. */
  async draw() {
    const { detail, names, newest } = this;
    const [from, to] = this.range;
    const version = JSON.stringify([detail.last, detail.marks.length, names, from, to]);
    if (version === this.version) return newest.last;
    this.version = version;
    const query = new URLSearchParams({ points: POINTS, ...(from !== undefined && { from, to }) });
    for (const name of new Set([...names, "time/waiting %"])) query.append("column", name);
    return newest.use(this.page.get(`models/${this.id}/series?${query}`), (data) => this.take(data, detail, names), (error) => {
      this.version = null;
      throw error;
    });
  }

  take(data, detail, names) {
    this.data = data;
    const count = data.iterations.length;
    for (const each of this.shown) each.hidden = !count;
    this.none.hidden = count > 0;
    this.element.dataset.points = count;
    if (!count) return;
    this.curves.show(data, names, detail.marks);
    this.showValues(null);
  }

  latest(name, text) {
    const values = this.data?.mean[name]?.filter((value) => value !== null);
    return values?.length ? text(values.at(-1)) : "–";
  }

  /** The values under the cursor and the marks near it; without a cursor the last values. */
  showValues(index) {
    const { iterations, mean } = this.data ?? {};
    if (!iterations) return;
    const at = index ?? iterations.length - 1;
    fill(this.legend, h("span", `iteration ${iterations[at] === undefined ? "–" : Math.round(iterations[at])}`),
      this.names.map((name, i) => {
        const dot = h("span.dot", { "aria-hidden": "true" });
        dot.style.background = colorOf(i);
        return h("span", dot, `${name.replace("loss/", "")} ${figure(mean[name]?.[at])}`);
      }));
    const span = (iterations.at(-1) - iterations[0]) / 60;
    const near = index === null ? [] : this.detail.marks.filter(([iteration, kind]) =>
      this.curves.kinds.has(kind) && Math.abs(iteration - iterations[at]) <= span);
    this.near.textContent = near.slice(-3).map(([iteration, , text]) => `${iteration}: ${text}`).join(" · ") || "\u00a0";
  }

  showChoices() {
    const without = (all, name) => [...all].filter((each) => each !== name);
    const curve = (name) => check(name, this.names.includes(name), (on) => {
      this.names = [...without(this.names, name), ...(on ? [name] : [])];
      this.keep();
      this.draw();
    }, "label.choice");
    const mark = (kind) => {
      const box = check(kind, this.curves.kinds.has(kind), (on) =>
        this.change({ kinds: new Set([...without(this.curves.kinds, kind), ...(on ? [kind] : [])]) }), "label.choice");
      box.style.borderColor = markColor(kind);
      return box;
    };
    fill(this.choices, h("summary", "Curves and marks"), group("Curves", this.detail.columns.map(curve)), group("Marks", MARKS.map(mark)));
  }

  toggleLog() {
    this.change({ logarithmic: !this.curves.logarithmic });
  }

  zoom(range) {
    this.range = range;
    this.draw();
  }

  zoomOut() {
    this.zoom([]);
  }

  end() {
    this.curves.end();
  }
}
