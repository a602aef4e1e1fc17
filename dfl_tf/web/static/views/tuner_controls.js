// A control for each setting, made of what the server says about the option.
import { button, fill, h } from "../dom.js";

const shown = (value) => (value === true ? "on" : value === false ? "off" : String(value));

export class Controls {
  constructor(options, lacks, change) {
    this.rows = options.map((option) => new Row(option, lacks, (value) => change(option.key, value)));
    const groups = Map.groupBy(this.rows, (row) => row.option.group);
    this.element = h("div.controls", [...groups].map(([name, rows]) =>
      h("fieldset", h("legend", name), rows.map((row) => row.element))));
  }

  show(state) {
    for (const row of this.rows) row.show(state);
  }
}

class Row {
  constructor(option, lacks, change) {
    const { key } = option;
    const id = `option-${key}`;
    this.option = option;
    this.mark = h("span.mark");
    this.reset = button("↺", () => change(null), { class: "reset" });
    this.inputs = this.make({ id, "aria-describedby": `${id}-hint` }, change);
    const lack = key === "super_resolution_power" && lacks.enhancer;
    const unmasked = key === "mask_mode" && lacks.xseg;
    if (lack) for (const input of this.inputs) input.disabled = true;
    if (unmasked) for (const choice of this.inputs[0].options) choice.disabled = choice.value.includes("XSeg");
    this.element = h(`div.field.${option.kind}`, { "data-key": key },
      h("label", { for: id, title: option.details }, option.label), this.mark, this.reset,
      h("div.inputs", this.inputs),
      h("p.hint", { id: `${id}-hint`, "data-lack": lack || null }, lack || option.help, unmasked && ` ${unmasked}`));
  }

  make(common, change) {
    const { choices, kind, minimum, maximum, label } = this.option;
    if (choices.length) {
      return [h("select", { ...common, onchange: ({ target }) => change(target.value) },
        choices.map((choice) => h("option", { value: choice }, choice)))];
    }
    if (kind === "bool") return [h("input", { ...common, type: "checkbox", onchange: ({ target }) => change(target.checked) })];
    const bounds = {
      min: minimum, max: maximum, step: kind === "float" ? 0.01 : 1,
      oninput: ({ target }) => {
        const value = Number(target.value);
        if (target.value !== "" && value >= minimum && value <= maximum) change(kind === "int" ? Math.round(value) : value);
      },
    };
    return [
      h("input", { ...bounds, type: "range", "aria-label": label }),
      h("input", { ...common, ...bounds, type: "number" }),
    ];
  }

  show({ base, own, span }) {
    const { key, label, default: usual, for_all: forAll, works_with: worksWith } = this.option;
    const has = key in own;
    const all = { ...base, ...own };
    const value = span ? all[key] : base[key];
    for (const input of this.inputs) {
      if (input.type === "checkbox") input.checked = value;
      else if (document.activeElement !== input || Number(input.value) !== value) input.value = value;
      if (forAll) input.disabled = Boolean(span);
    }
    const works = Object.entries(worksWith).every(([other, choices]) => choices.includes(all[other]));
    this.element.classList.toggle("idle", !works);
    this.element.classList.toggle("own", has && Boolean(span));
    fill(this.mark, has && !span && `here ${shown(own[key])}`);
    this.reset.disabled = span ? !has : base[key] === usual;
    this.reset.title = `${label}: ${span ? "as in all frames" : `back to ${shown(usual)}`}`;
    this.reset.setAttribute("aria-label", this.reset.title);
  }
}
