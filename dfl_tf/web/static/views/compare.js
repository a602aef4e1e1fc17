// Two states of a model on the same held-out faces: numbers and faces side by side.
import { button, fill, h, panel, select, table } from "../dom.js";
import { figure } from "../plot.js";
import { Newest } from "../server.js";
import { clock, modelTitle } from "../texts.js";
import { View } from "../view.js";

const ABOUT = "Two states of a model are measured on the same faces, those held out of the training where there are any. "
  + "It runs on the CPU beside a training, at low priority.";

export default class Compare extends View {
  static title = "Compare two states of a model";

  newest = new Newest();

  async load() {
    Object.assign(this, await this.told());
  }

  async told() {
    const models = await this.page.get("models");
    const id = this.page.rest[0] || models[0]?.id;
    return { models, id, found: id && await this.page.get(`models/${id}`) };
  }

  build() {
    const { page } = this;
    const field = (label, input) => h("label.row", label, input);
    this.states = ["first", "second"].map((id) => h("select", { id }));
    this.start = button("Compare", () => this.measure(), { className: "main" });
    this.cancel = button("Cancel", async () => {
      await page.post("cancel");
      await this.look();
    });
    this.progress = h("pre.dim", { role: "status" });
    this.results = h("div.results.stack");
    const model = select("Model", this.models.map((each) => [each.id, modelTitle(each)]), (id) => page.go(`compare/${id}`), this.id);
    return [h("p.dim", ABOUT),
      h("div.row.panel", field("Model", model), field("First", this.states[0]), field("Second", this.states[1]), this.start, this.cancel),
      this.progress, this.results];
  }

  shown() {
    if (this.found) this.show();
    else fill(this.results, h("p", "There is no model in this workspace yet."));
    this.page.on("comparison", (running) => (this.found && running.state === "running" ? this.showRunning(running) : this.look()));
    this.page.on("hello resync", () => this.look());
  }

  /** Look again; the choices stay. */
  look() {
    return this.newest.use(this.told(), (told) => {
      Object.assign(this, told);
      if (this.found) this.show();
    });
  }

  show() {
    const { states, running, results } = this.found;
    const title = ({ name, kind, iteration, note }) => [
      name === "now" ? kind : `${name} – ${kind}`, iteration !== null && `, iteration ${iteration}`, note && `: ${note.slice(0, 60)}`,
    ].filter(Boolean).join("");
    this.states.forEach((choice, i) => {
      const before = choice.value || states[1 - i]?.id;
      fill(choice, states.map((each) => h("option", { value: each.id, selected: each.id === before }, title(each))));
    });
    this.showRunning(running);
    fill(this.results, results.map((result) => this.card(result)));
  }

  showRunning(running) {
    const works = running?.state === "running";
    const alone = this.found.states.length < 2;
    this.start.disabled = this.page.readOnly || works || alone;
    this.cancel.hidden = this.page.readOnly || !works;
    const told = running ? [`${running.title}: ${running.state}`, ...running.lines].join("\n") : "";
    this.progress.textContent = alone ? "There is one state only. Make a snapshot (view Watch), or back up." : told;
    this.progress.className = running?.state === "failed" ? "bad" : "dim";
  }

  card({ first, second, time, held_out: heldOut, refused, rows, notes, sheet, id }) {
    const [one, other] = [first, second].map((state) => `${state.name}, iteration ${state.iteration}`);
    const cell = (row, side) => (row.better === side ? h("td.good", `${figure(row[side])} ✓`) : figure(row[side]));
    return panel(`${one} and ${other}`,
      h("p.dim", clock(time), heldOut && ", on faces that neither was trained on"),
      refused.length ? h("p.bad", `They are not compared: ${refused.join("; ")}.`) :
        table(["metric", one, other], rows.map((row) => [row.name, cell(row, "first"), cell(row, "second")]), "table.numbers"),
      notes.map((note) => h("p.dim", note)),
      sheet && h("img.sheet", { loading: "lazy", alt: `The worst and the median faces, by ${one} and ${other}`,
        src: this.page.api(`models/${this.id}/sheets/${id}?t=${time}`) }));
  }

  async measure() {
    const [first, second] = this.states.map((choice) => choice.value);
    await this.page.post(`models/${this.id}/start`, { first, second });
    await this.look();
  }
}
