// A form of a command, made of what the server says about its options: what is not touched is not given.
import { fill, h } from "../dom.js";

const NUMBERS = ["int", "float"];

export class JobForm {
  /** `title`: what holds where nothing is given ("default", "as stored"). */
  constructor(fields, title, changed) {
    this.fields = fields;
    this.title = title;
    this.changed = changed;
    this.inputs = new Map();
    const groups = new Map();
    for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), this.row(field)]);
    const [first, ...others] = groups;
    const open = first ? [h("div", { class: "fields" }, first[1])] : [h("p", { class: "dim" }, "There is nothing to choose.")];
    this.element = h("div", { class: "form" }, open, others.map(([name, rows]) =>
      h("details", {}, h("summary", {}, name || "more"), h("div", { class: "fields" }, rows))));
  }

  row(field) {
    const id = `field-${field.key}`;
    const input = this.input(field, id);
    this.inputs.set(field.key, input);
    return h("div", { class: "field", "data-key": field.key },
      h("label", { for: id }, field.label), input,
      h("p", { class: "hint", id: `${id}-hint` }, field.help, field.unit ? ` (${field.unit})` : ""));
  }

  input(field, id) {
    const common = { id, "aria-describedby": `${id}-hint`, title: field.details, onchange: () => this.changed() };
    const usual = field.default === null || field.default === "" ? "" : `: ${shown(field.default)}`;
    if (field.kind === "bool" || field.choices.length) {
      const choices = field.kind === "bool" ? [["true", "on"], ["false", "off"]] : field.choices.map((each) => [each, each]);
      return h("select", common, h("option", { value: "" }, this.title === "default" ? `default${usual}` : this.title),
        choices.map(([value, title]) => h("option", { value }, title)));
    }
    const placeholder = this.title === "default" ? String(field.default ?? "") : this.title;
    if (NUMBERS.includes(field.kind) && !field.multiple) {
      return h("input", {
        ...common, type: "number", placeholder, min: field.minimum ?? "", max: field.maximum ?? "",
        step: field.kind === "int" ? 1 : "any", oninput: () => this.changed(),
      });
    }
    return h("input", { ...common, type: "text", placeholder: field.multiple ? "1, 3" : placeholder, autocomplete: "off", spellcheck: false, oninput: () => this.changed() });
  }

  /** What was given, by key. */
  get values() {
    const given = {};
    for (const field of this.fields) {
      const text = this.inputs.get(field.key).value.trim();
      if (text !== "") given[field.key] = read(field, text);
    }
    return given;
  }

  /** Give fields the values of a job that was started before. */
  set values(given) {
    for (const field of this.fields) {
      const value = given[field.key];
      this.inputs.get(field.key).value = value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value);
    }
    for (const group of this.element.querySelectorAll("details")) {
      group.open = [...group.querySelectorAll("input, select")].some((input) => input.value !== "");
    }
  }
}

function read(field, text) {
  const one = (each) => (NUMBERS.includes(field.kind) ? Number(each) : each);
  if (field.multiple) return text.split(",").map((each) => one(each.trim()));
  return field.kind === "bool" ? text === "true" : one(text);
}

function shown(value) {
  return value === true ? "on" : value === false ? "off" : String(value);
}

/** A line of text with a button that copies it. */
export function copyable(say) {
  const line = h("code", { class: "line", tabIndex: 0 });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(line);
      say("Selected: copy it by Ctrl+C.");
    }
  };
  const element = h("div", { class: "row command" }, line, h("button", { type: "button", onclick: copy }, "Copy"));
  return { element, show: (text) => fill(line, text), get text() { return line.textContent; } };
}
