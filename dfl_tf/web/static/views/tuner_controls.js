// A control for each setting, made of what the server says about the option.
import { fill, h } from "../dom.js";

export class Controls {
  constructor(options, lacks, change) {
    this.change = change;
    const groups = new Map();
    this.rows = options.map((option) => {
      const row = new Row(option, lacks, change);
      groups.set(option.group, [...(groups.get(option.group) ?? []), row.element]);
      return row;
    });
    this.element = h("div", { class: "controls" },
      [...groups].map(([group, rows]) => h("fieldset", {}, h("legend", {}, group), rows)));
  }

  show(state) {
    for (const row of this.rows) row.show(state);
  }
}

class Row {
  constructor(option, lacks, change) {
    const id = `option-${option.key}`;
    this.option = option;
    this.mark = h("span", { class: "mark" });
    this.reset = h("button", {
      class: "reset", type: "button", title: "Back", onclick: () => change(option.key, null),
    }, "↺");
    this.inputs = this.make(id, (value) => change(option.key, value));
    const lack = option.key === "super_resolution_power" ? lacks.enhancer : null;
    for (const input of lack ? this.inputs : []) input.disabled = true;
    if (option.key === "mask_mode" && lacks.xseg) {
      for (const choice of this.inputs[0].options) choice.disabled = choice.value.includes("XSeg");
    }
    this.element = h("div", { class: `control ${option.kind}`, "data-key": option.key },
      h("label", { for: id, title: option.details }, option.label),
      this.mark, this.reset,
      h("div", { class: "inputs" }, this.inputs),
      h("p", { class: lack ? "hint lack" : "hint", id: `${id}-hint` }, lack ?? (option.key === "mask_mode" && lacks.xseg ? `${option.help} ${lacks.xseg}` : option.help)));
  }

  make(id, change) {
    const { option } = this;
    const common = { id, "aria-describedby": `${id}-hint` };
    if (option.choices.length) {
      return [h("select", { ...common, onchange: (event) => change(event.target.value) },
        option.choices.map((choice) => h("option", { value: choice }, choice)))];
    }
    if (option.kind === "bool") {
      return [h("input", { ...common, type: "checkbox", onchange: (event) => change(event.target.checked) })];
    }
    const bounds = { min: option.minimum, max: option.maximum, step: option.kind === "float" ? 0.01 : 1 };
    const given = (event) => {
      const value = Number(event.target.value);
      if (event.target.value !== "" && value >= option.minimum && value <= option.maximum) {
        change(option.kind === "int" ? Math.round(value) : value);
      }
    };
    return [
      h("input", { ...bounds, type: "range", "aria-label": option.label, oninput: given }),
      h("input", { ...common, ...bounds, type: "number", oninput: given }),
    ];
  }

  show({ base, own, span }) {
    const { option } = this;
    const key = option.key;
    const has = key in own;
    const value = span ? own[key] ?? base[key] : base[key];
    for (const input of this.inputs) {
      if (input.type === "checkbox") input.checked = value;
      else if (document.activeElement !== input || Number(input.value) !== value) input.value = value;
      if (option.for_all) input.disabled = Boolean(span);
    }
    const all = { ...base, ...own };
    const works = Object.entries(option.works_with).every(([other, choices]) => choices.includes(all[other]));
    this.element.classList.toggle("idle", !works);
    this.element.classList.toggle("own", has && Boolean(span));
    fill(this.mark, has && !span ? `here ${shown(own[key])}` : "");
    const changed = span ? has : base[key] !== option.default;
    this.reset.disabled = !changed;
    this.reset.setAttribute("aria-label", span ? `${option.label}: as in all frames` : `${option.label}: back to ${shown(option.default)}`);
    this.reset.title = span ? "As in all frames" : `Back to ${shown(option.default)}`;
  }
}

function shown(value) {
  return value === true ? "on" : value === false ? "off" : String(value);
}
