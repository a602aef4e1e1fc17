// Trainings of the workspace: curves, previews, options, log, and asking them for something.
import { ask, fill, h } from "../dom.js";
import { ago, bytes, duration } from "../texts.js";
import { CurvesPanel } from "./watch-curves.js";
import { PreviewPanel } from "./watch-previews.js";
import { LogPanel, MetricsPanel, OptionsPanel } from "./watch-tables.js";

const LEAST_MS = 1000;
const KEYS = {
  p: "preview", s: "save", n: "snapshot", b: "backup", x: "stop", o: "options",
};

export function mount(page) {
  const cards = h("div", { class: "cards", role: "list", "aria-label": "Models" });
  const notes = h("div", { class: "dim" });
  const machine = h("p", { class: "dim machine" });
  const body = h("div", { class: "detail" });
  fill(page.element, h("h1", { class: "sr" }, "Trainings"), cards, notes, body, machine);

  const chosen = page.rest[0] || null;
  let training = null;
  let gone = false;
  let timer = null;
  let last = 0;
  let busy = false;
  let again = false;

  async function load() {
    if (gone) return;
    if (busy) { again = true; return; }
    busy = true;
    try {
      const found = await page.get("models");
      if (gone) return;
      const first = found.models.find((model) => model.state === "running") ?? found.models[0];
      const id = training?.id ?? chosen ?? first?.id;
      showList(found, id);
      if (!id) {
        fill(body, h("p", {}, "There is no model in this workspace yet. This page shows it as soon as a training has begun."));
      } else if (!training) {
        training = new Detail(page, id);
        fill(body, training.element);
      }
      await training?.load();
    } catch (error) {
      if (!gone) page.say(error.message, "error");
    } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(() => { last = Date.now(); load(); }, Math.max(0, last + LEAST_MS - Date.now()));
  }

  function showList(found, id) {
    fill(cards, found.models.map((model) => card(model, model.id === id)));
    fill(notes, found.left_out.map((line) => h("p", { class: "warn" }, `Left out: ${line}`)));
    const m = found.machine;
    const gpus = m.gpus.map((g) => `${g.name}: ${g.free_gib.toFixed(1)} of ${g.total_gib.toFixed(1)} GiB free`);
    machine.textContent = [
      m.host, `${m.cores} cores${m.cpu ? `, ${m.cpu}` : ""}`,
      `${bytes(m.available)} of ${bytes(m.limit)} memory free`, ...(gpus.length ? gpus : ["no GPU"]),
    ].join(" · ");
  }

  function card(model, current) {
    const link = h("a", { href: `#/watch/${model.id}`, class: "card" },
      h("strong", {}, model.name === model.model_class ? model.name : `${model.name} (${model.model_class})`), " ",
      h("span", { class: `state ${model.state.replace(" ", "-")}` }, model.state),
      h("span", { class: "dim" }, `iteration ${model.iteration ?? "–"}${model.ms ? `, ${Math.round(model.ms)} ms` : ""}`));
    if (current) link.setAttribute("aria-current", "true");
    return h("div", { role: "listitem" }, link);
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches("textarea, select, input:not([type=range], [type=checkbox])")) return;
    if (event.key === "?") { help(); return; }
    if (KEYS[event.key] && training) { event.preventDefault(); training.request(KEYS[event.key]); return; }
    training?.key(event);
  }

  function help() {
    ask("Keys", [
      "p preview now · s save · n snapshot · b backup · x stop (asks back) · o change options",
      "l logarithmic axis · 0 whole range · drag in the plot to zoom in, double click to zoom out",
      "← → through the history of previews (after Tab to the slider) · f enlarge the preview",
    ].join("\n"), [], "Close");
  }

  page.on("hello", soon);
  page.on("resync", soon);
  page.on("models", soon);
  page.on("training", soon);
  const regular = setInterval(() => { if (document.visibilityState === "visible") soon(); }, 15000);
  document.addEventListener("keydown", key);
  load();
  return () => {
    gone = true;
    clearTimeout(timer);
    clearInterval(regular);
    document.removeEventListener("keydown", key);
    training?.destroy();
  };
}

/** One model. */
class Detail {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.facts = h("dl", { class: "facts" });
    this.buttons = h("div", { class: "row buttons" });
    this.title = h("h2", { class: "model" });
    this.state = h("p", { role: "status" });
    this.asked = h("p", { class: "dim", "aria-live": "polite" });
    this.previews = new PreviewPanel(page, id);
    this.curves = new CurvesPanel(page, id);
    this.metrics = new MetricsPanel();
    this.options = new OptionsPanel();
    this.log = new LogPanel(page, id);
    this.element = h("div", { class: "grid" },
      h("section", { class: "panel wide", "aria-label": "State" }, this.title, this.state, this.facts, this.buttons, this.asked),
      this.curves.element, this.previews.element, h("div", { class: "stack" }, this.metrics.element, this.options.element), this.log.element);
    this.makeButtons();
  }

  makeButtons() {
    const names = { preview: "Preview now", save: "Save", snapshot: "Snapshot…", backup: "Backup", options: "Change options…", stop: "Stop…" };
    fill(this.buttons, Object.entries(names).map(([kind, text]) => {
      const key = Object.keys(KEYS).find((each) => KEYS[each] === kind);
      const button = h("button", { type: "button", class: kind === "stop" ? "danger" : "", title: `key ${key}`, onclick: () => this.request(kind) }, text);
      button.dataset.kind = kind;
      return button;
    }), h("span", { class: "dim" }, "? shows the keys"));
  }

  async load() {
    const detail = await this.page.get(`models/${this.id}`);
    this.detail = detail;
    this.showState(detail);
    this.metrics.show(detail.measured);
    this.options.show(detail.options);
    await Promise.all([this.curves.show(detail), this.previews.load(), this.log.load()]);
  }

  showState(detail) {
    const running = detail.state === "running" || detail.state === "silent";
    this.title.textContent = detail.name === detail.model_class ? detail.name : `${detail.name} (${detail.model_class})`;
    fill(this.state, h("span", { class: `state ${detail.state.replace(" ", "-")}` }, detail.state),
      detail.reason ? ` ${detail.reason}` : "", detail.health !== "good" ? h("span", { class: "bad" }, ` · ${detail.health}`) : "");
    const left = detail.seconds_left;
    const process = detail.process;
    const facts = [
      ["Iteration", detail.iteration ?? "–"],
      detail.phase ? ["Phase", detail.phase] : null,
      ["Speed", detail.ms === null ? "–" : `${Math.round(detail.ms)} ms`],
      ["Waiting for samples", this.curves.latest("time/waiting %", (v) => `${v.toFixed(1)} %`)],
      ["Left", left && left[0] !== null ? `${duration(left[0])}${left[1] === null ? " or more" : left[1] > left[0] * 1.05 ? ` to ${duration(left[1])}` : ""}` : "–"],
      ["Losses", detail.losses ? Object.entries(detail.losses).map(([k, v]) => `${k} ${v === null ? "NaN" : v.toFixed(4)}`).join(", ") : "–"],
      ["Last save", detail.saved_iteration === null ? "–" : `${detail.saved_iteration}, ${ago(detail.saved_seconds_ago)}`],
      ["Last sign", detail.heartbeat_seconds_ago === null ? "–" : ago(detail.heartbeat_seconds_ago)],
      process.memory ? ["Memory of the process", bytes(process.memory)] : null,
      process.pid ? ["Process", `${process.pid} on ${process.host}`] : null,
    ].filter(Boolean);
    fill(this.facts, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
    for (const button of this.buttons.querySelectorAll("button")) {
      const waiting = detail.waiting.includes(button.dataset.kind);
      button.disabled = this.page.readOnly || !running || waiting;
    }
    const answer = detail.answers.at(-1);
    const told = answer ? `Options ${JSON.stringify(answer.options)} ${answer.refused ? `were refused: ${answer.refused}` : "were taken"}.` : "";
    this.asked.textContent = detail.waiting.length ? `Asked for: ${detail.waiting.join(", ")}; the training answers after its iteration.` : told;
    this.asked.className = answer?.refused && !detail.waiting.length ? "warn" : "dim";
  }

  async request(kind) {
    if (this.buttons.querySelector(`[data-kind="${kind}"]`)?.disabled) return;
    const body = { kind };
    if (kind === "stop" && !(await ask("Stop the training?", `${this.title.textContent} finishes its iteration, saves and ends.`, [], "Stop"))) return;
    if (kind === "snapshot") {
      const given = await ask("Snapshot", "A whole copy of the model, kept under a name.", [
        { name: "name", label: "Name (empty: by iteration)" }, { name: "note", label: "Note", long: true }], "Make it");
      if (!given) return;
      Object.assign(body, given);
    }
    if (kind === "options") {
      body.options = await this.askOptions();
      if (!body.options) return;
    }
    try {
      await this.page.post(`models/${this.id}/requests`, body);
      await this.load();
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  async askOptions() {
    const known = await this.page.get(`models/${this.id}/changeable`);
    const list = h("datalist", { id: "option-keys" }, known.map((each) => h("option", { value: each.key })));
    const about = h("p", { class: "dim" });
    document.body.append(list);
    const asking = ask("Change options", "The training goes on with them after its iteration, or says why not.", [
      { name: "key", label: "Option", required: true }, { name: "value", label: "Value", required: true }], "Change");
    const [key, value] = ["key", "value"].map((name) => document.getElementById(`ask-${name}`));
    key.setAttribute("list", "option-keys");
    key.parentElement.append(about);
    key.addEventListener("input", () => {
      const spec = known.find((each) => each.key === key.value);
      const now = this.detail.options.find((each) => each.key === key.value);
      about.textContent = spec ? `${spec.help} Allowed: ${spec.allowed}.${now ? ` Now ${now.value}.` : ""}` : "";
      value.placeholder = spec?.choices.join(", ") ?? "";
    });
    const given = await asking;
    list.remove();
    return given ? { [given.key.trim()]: given.value.trim() } : null;
  }

  key(event) {
    if (event.key === "f") this.previews.enlarge();
    else this.curves.key(event);
  }

  destroy() {
    this.curves.destroy();
    this.previews.destroy();
  }
}
