// Trainings of the workspace: curves, previews, options, log, and asking them for something.
import { ask, button, fill, h } from "../dom.js";
import { ago, bytes, duration, modelTitle } from "../texts.js";
import { View } from "../view.js";
import { CurvesPanel } from "./watch-curves.js";
import { PreviewPanel } from "./watch-previews.js";
import { LogPanel, MetricsPanel, OptionsPanel } from "./watch-tables.js";

const LEAST_MS = 1000;
const REGULAR_MS = 15000;
const REQUESTS = {
  preview: ["p", "Preview now"], save: ["s", "Save"], snapshot: ["n", "Snapshot…"], backup: ["b", "Backup"],
  options: ["o", "Change options…"], stop: ["x", "Stop…"],
};

export default class Watch extends View {
  static title = "Trainings";
  static keys = [
    ["p", "preview now"], ["s", "save"], ["n", "snapshot"], ["b", "backup"], ["x", "stop (asks back)"], ["o", "change options"],
    ["l", "logarithmic axis"], ["0", "whole range; drag in the plot to zoom in, double click to zoom out"],
    ["← →", "through the history of previews (after Tab to the slider)"], ["f", "enlarge the preview"],
  ];

  load() {}

  build() {
    this.cards = h("div.cards", { role: "list", "aria-label": "Models" });
    this.notes = h("div.dim");
    this.body = h("div.detail");
    this.machine = h("p.dim.machine");
    return [this.cards, this.notes, this.body, this.machine];
  }

  shown() {
    this.page.on("hello resync models training", () => this.soon());
    this.regularly();
    return this.look();
  }

  end() {
    this.training?.end();
  }

  regularly() {
    this.page.later("regularly", REGULAR_MS, () => {
      if (document.visibilityState === "visible") this.soon();
      this.regularly();
    });
  }

  /** Look at everything, but not all the time. */
  soon(wait = Math.max(0, (this.last ?? 0) + LEAST_MS - Date.now())) {
    this.page.later("look", wait, () => this.look());
  }

  async look() {
    if (this.busy) {
      this.soon(LEAST_MS);
      return;
    }
    this.busy = true;
    this.last = Date.now();
    try {
      const found = await this.page.get("models");
      const first = found.models.find((model) => model.state === "running") ?? found.models[0];
      const id = this.training?.id ?? (this.page.rest[0] || first?.id);
      this.showList(found, id);
      if (!id) {
        fill(this.body, h("p", "There is no model in this workspace yet. This page shows it as soon as a training has begun."));
        return;
      }
      if (!this.training) {
        this.training = new Training(this.page, id);
        fill(this.body, this.training.element);
      }
      await this.training.load();
    } finally {
      this.busy = false;
    }
  }

  showList({ models, left_out: leftOut, machine }, id) {
    fill(this.cards, models.map((model) => h("div", { role: "listitem" },
      h("a.card", { href: `#/watch/${model.id}`, "aria-current": model.id === id && "true" },
        h("strong", modelTitle(model)), " ", state(model.state),
        h("span.dim", `iteration ${model.iteration ?? "–"}${model.ms ? `, ${Math.round(model.ms)} ms` : ""}`)))));
    fill(this.notes, leftOut.map((line) => h("p.warn", `Left out: ${line}`)));
    const gpus = machine.gpus.map((gpu) => `${gpu.name}: ${gpu.free_gib.toFixed(1)} of ${gpu.total_gib.toFixed(1)} GiB free`);
    this.machine.textContent = [
      machine.host, `${machine.cores} cores${machine.cpu ? `, ${machine.cpu}` : ""}`,
      `${bytes(machine.available)} of ${bytes(machine.limit)} memory free`, ...(gpus.length ? gpus : ["no GPU"]),
    ].join(" · ");
  }

  letters() {
    const { training } = this;
    if (!training) return super.letters();
    const requests = Object.entries(REQUESTS).map(([kind, [key]]) => [key, () => training.request(kind)]);
    return {
      ...super.letters(), ...Object.fromEntries(requests), f: () => training.previews.enlarge(),
      l: () => training.curves.toggleLog(), 0: () => training.curves.zoomOut(),
    };
  }
}

function state(name) {
  return h("span", { class: `state ${name.replace(" ", "-")}` }, name);
}

/** One model. */
class Training {
  constructor(page, id) {
    Object.assign(this, { page, id });
    this.facts = h("dl.facts");
    this.title = h("h2.model");
    this.state = h("p", { role: "status" });
    this.asked = h("p.dim", { "aria-live": "polite" });
    this.buttons = Object.entries(REQUESTS).map(([kind, [key, text]]) =>
      button(text, () => this.request(kind), { className: kind === "stop" && "danger", title: `key ${key}`, "data-kind": kind }));
    this.previews = new PreviewPanel(page, id);
    this.curves = new CurvesPanel(page, id);
    this.metrics = new MetricsPanel();
    this.options = new OptionsPanel();
    this.log = new LogPanel(page, id);
    this.element = h("div.grid",
      h("section.panel", { "aria-label": "State" }, this.title, this.state, this.facts,
        h("div.row.buttons", this.buttons, h("span.dim", "? shows the keys")), this.asked),
      this.curves.element, this.previews.element, h("div.stack", this.metrics.element, this.options.element), this.log.element);
  }

  /** Show how it is; one look follows the other, so no line of the log is read twice. */
  load() {
    const look = () => this.look();
    return this.loading = Promise.resolve(this.loading).then(look, look);
  }

  async look() {
    const detail = this.detail = await this.page.get(`models/${this.id}`);
    this.title.textContent = modelTitle(detail);
    fill(this.state, state(detail.state), detail.reason ? ` ${detail.reason}` : "",
      detail.health !== "good" && h("span.bad", ` · ${detail.health}`));
    this.showFacts(detail);
    this.showRequests(detail);
    this.metrics.show(detail.measured);
    this.options.show(detail.options);
    await Promise.all([this.curves.show(detail), this.previews.load(), this.log.load()]);
    this.showFacts(detail); // with what the curves have of samples
  }

  showFacts({ process, losses, saved_iteration: saved, ...detail }) {
    const [least, most] = detail.seconds_left ?? [null];
    const upTo = most === null ? " or more" : most > least * 1.05 ? ` to ${duration(most)}` : "";
    const facts = [
      ["Iteration", detail.iteration ?? "–"],
      ["Phase", detail.phase],
      ["Speed", detail.ms === null ? "–" : `${Math.round(detail.ms)} ms`],
      ["Waiting for samples", this.curves.latest("time/waiting %", (share) => `${share.toFixed(1)} %`)],
      ["Left", least === null ? "–" : duration(least) + upTo],
      ["Losses", losses ? Object.entries(losses).map(([name, loss]) => `${name} ${loss === null ? "NaN" : loss.toFixed(4)}`).join(", ") : "–"],
      ["Last save", saved === null ? "–" : `${saved}, ${ago(detail.saved_seconds_ago)}`],
      ["Last sign", ago(detail.heartbeat_seconds_ago)],
      ["Memory of the process", process.memory && bytes(process.memory)],
      ["Process", process.pid && `${process.pid} on ${process.host}`],
    ];
    fill(this.facts, facts.filter(([, value]) => value || value === 0).map(([name, value]) => h("div", h("dt", name), h("dd", String(value)))));
  }

  showRequests({ state: how, waiting, answers }) {
    const running = how === "running" || how === "silent";
    for (const each of this.buttons) each.disabled = this.page.readOnly || !running || waiting.includes(each.dataset.kind);
    const answer = waiting.length ? null : answers.at(-1);
    const told = answer && `Options ${JSON.stringify(answer.options)} ${answer.refused ? `were refused: ${answer.refused}` : "were taken"}.`;
    this.asked.textContent = waiting.length ? `Asked for: ${waiting.join(", ")}; the training answers after its iteration.` : told ?? "";
    this.asked.className = answer?.refused ? "warn" : "dim";
  }

  async request(kind) {
    if (this.buttons.find((each) => each.dataset.kind === kind).disabled) return;
    const given = await this.wish(kind);
    if (!given) return;
    await this.page.post(`models/${this.id}/requests`, { kind, ...given });
    await this.load();
  }

  /** What a request says beside its kind; null where the user changed their mind. */
  wish(kind) {
    if (kind === "stop") return ask("Stop the training?", `${this.title.textContent} finishes its iteration, saves and ends.`, [], "Stop");
    if (kind === "options") return this.askOptions();
    return kind !== "snapshot" ? {} : ask("Snapshot", "A whole copy of the model, kept under a name.", [
      { name: "name", label: "Name (empty: by iteration)" }, { name: "note", label: "Note", long: true }], "Make it");
  }

  async askOptions() {
    const known = await this.page.get(`models/${this.id}/changeable`);
    const asking = ask("Change options", "The training goes on with them after its iteration, or says why not.", [
      { name: "key", label: "Option", required: true, list: "option-keys" }, { name: "value", label: "Value", required: true }], "Change");
    const [key, value] = ["key", "value"].map((name) => document.getElementById(`ask-${name}`));
    const about = h("p.dim");
    key.parentElement.append(about, h("datalist", { id: "option-keys" }, known.map((each) => h("option", { value: each.key }))));
    key.addEventListener("input", () => {
      const spec = known.find((each) => each.key === key.value);
      const now = this.detail.options.find((each) => each.key === key.value);
      about.textContent = spec ? `${spec.help} Allowed: ${spec.allowed}.${now ? ` Now ${now.value}.` : ""}` : "";
      value.placeholder = spec?.choices.join(", ") ?? "";
    });
    const given = await asking;
    return given && { options: { [given.key.trim()]: given.value.trim() } };
  }

  end() {
    this.curves.end();
    this.previews.end();
  }
}
