// Two states of a model on the same held-out faces: numbers and faces side by side.
import { fill, h } from "../dom.js";
import { figure } from "../plot.js";
import { clock } from "../texts.js";

export function mount(page) {
  let id = page.rest[0] || null;
  let gone = false;
  const model = h("select", { id: "model", onchange: () => page.go(`compare/${model.value}`) });
  const first = h("select", { id: "first" });
  const second = h("select", { id: "second" });
  const start = h("button", { type: "button", class: "main", onclick: measure }, "Compare");
  const cancel = h("button", { type: "button", onclick: () => page.post("cancel").then(load) }, "Cancel");
  const progress = h("pre", { class: "dim", role: "status" });
  const results = h("div", { class: "results" });
  fill(page.element,
    h("h1", {}, "Compare two states of a model"),
    h("p", { class: "dim" }, "Both are measured on the same faces, those held out of the training where there are any. It runs on the CPU beside a training, at low priority."),
    h("div", { class: "row panel" },
      h("label", { class: "row", for: "model" }, "Model", model),
      h("label", { class: "row", for: "first" }, "First", first),
      h("label", { class: "row", for: "second" }, "Second", second), start, cancel),
    progress, results);

  const title = (state) => `${state.name === "now" ? "" : `${state.name} – `}${state.kind}${state.iteration === null ? "" : `, iteration ${state.iteration}`}${state.note ? `: ${state.note.slice(0, 60)}` : ""}`;

  function options(select, states, preset) {
    const before = select.value || preset;
    fill(select, states.map((state) => h("option", { value: state.id }, title(state))));
    if (states.some((state) => state.id === before)) select.value = before;
  }

  async function load() {
    if (gone) return;
    const models = await page.get("models");
    id = id ?? models[0]?.id ?? null;
    if (!id) {
      fill(results, h("p", {}, "There is no model in this workspace yet."));
      return;
    }
    fill(model, models.map((each) => h("option", { value: each.id }, each.name === each.model_class ? each.name : `${each.name} (${each.model_class})`)));
    model.value = id;
    const found = await page.get(`models/${id}`);
    if (gone) return;
    options(first, found.states, found.states[1]?.id);
    options(second, found.states, found.states[0]?.id);
    showRunning(found.running, found.states.length);
    fill(results, found.results.map(card));
  }

  function showRunning(running, states = 2) {
    const works = running?.state === "running";
    start.disabled = page.readOnly || works || states < 2;
    cancel.hidden = page.readOnly || !works;
    progress.textContent = states < 2 ? "There is one state only. Make a snapshot (view Watch), or back up." :
      running ? [`${running.title}: ${running.state}`, ...running.lines].join("\n") : "";
    progress.className = running?.state === "failed" ? "bad" : "dim";
  }

  function card(result) {
    const of = (state) => `${state.name}, iteration ${state.iteration}`;
    const cell = (row, side) => h("td", { class: row.better === side ? "good" : "" }, figure(row[side]) + (row.better === side ? " ✓" : ""));
    return h("section", { class: "panel", "aria-label": `${of(result.first)} and ${of(result.second)}` },
      h("h2", {}, `${of(result.first)} and ${of(result.second)}`),
      h("p", { class: "dim" }, `${clock(result.time)}${result.held_out ? ", on faces that neither was trained on" : ""}`),
      result.refused.length
        ? h("p", { class: "bad" }, `They are not compared: ${result.refused.join("; ")}.`)
        : h("table", { class: "numbers" }, h("thead", {}, h("tr", {}, ["metric", of(result.first), of(result.second)].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, result.rows.map((row) => h("tr", {}, h("td", {}, row.name), cell(row, "first"), cell(row, "second"))))),
      result.notes.map((note) => h("p", { class: "dim" }, note)),
      result.sheet ? h("img", { class: "sheet", loading: "lazy", src: page.api(`models/${id}/sheets/${result.id}?t=${result.time}`), alt: `The worst and the median faces, by ${of(result.first)} and ${of(result.second)}` }) : null);
  }

  async function measure() {
    try {
      await page.post(`models/${id}/start`, { first: first.value, second: second.value });
      await load();
    } catch (error) {
      page.say(error.message, "error");
    }
  }

  const safely = () => load().catch((error) => page.say(error.message, "error"));
  page.on("comparison", (running) => {
    if (running.state === "running") showRunning(running);
    else safely();
  });
  page.on("hello", safely);
  page.on("resync", safely);
  safely();
  return () => { gone = true; };
}
