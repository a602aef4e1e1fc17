// Elements without markup: whatever names and metadata hold, they are text.

/**
 * Make an element: h("button.main", { onclick }, "Save"). Classes may stand behind the tag; props may
 * be left out. Keys of `props` that begin with "on" are listeners, "data-…", "aria-…" and the like
 * are attributes, the rest are properties. Children are elements, text or lists of them; null and
 * false are left out.
 */
export function h(name, ...rest) {
  const [tag, ...classes] = name.split(".");
  const props = Object.getPrototypeOf(rest[0] ?? 0) === Object.prototype ? rest.shift() : {};
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key.includes("-") || key === "role" || key === "for" || key === "list") element.setAttribute(key, value);
    else element[key] = value;
  }
  fill(element, ...rest);
  return element;
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

export const button = (title, onclick, props = {}) => h("button", { onclick, ...props }, title);
export const row = (...children) => h("div.row", children);
export const group = (label, ...children) => h("div.group", { role: "group", "aria-label": label }, children);

/** A choice out of {value: title} or [[value, title], …]. */
export function select(label, choices, onchange, value) {
  const entries = Array.isArray(choices) ? choices : Object.entries(choices);
  return h("select", { "aria-label": label, onchange: (event) => onchange?.(event.target.value) },
    entries.map(([each, title]) => h("option", { value: each, selected: each === value }, title)));
}

/** Say of a button, or of each of several by its name in `data-name`, whether it is pressed. */
export function press(buttons, on) {
  if (buttons instanceof Element) buttons.setAttribute("aria-pressed", String(on));
  else for (const each of buttons) press(each, each.dataset.name === on);
}

/** Ask the user something; resolves to the form's values, or null. */
export function ask(title, text, fields = [], agree = "OK") {
  return new Promise((resolve) => {
    const inputs = fields.map((field) => [
      field.name,
      h(field.long ? "textarea" : "input", {
        id: `ask-${field.name}`, value: field.value ?? "", placeholder: field.placeholder ?? "",
        required: field.required ?? false, maxLength: 4000, autocomplete: "off", spellcheck: false,
      }),
    ]);
    const form = h("form", { method: "dialog" },
      h("h2", {}, title),
      ...text.split("\n").map((line) => h("p", {}, line)),
      ...fields.map((field, i) => h("label", { for: `ask-${field.name}` }, field.label, inputs[i][1])),
      h("div", { class: "row end" },
        h("button", { type: "button", onclick: () => close(null) }, "Cancel"),
        h("button", { type: "submit", class: "main" }, agree)));
    const dialog = h("dialog", { "aria-label": title, oncancel: () => close(null) }, form);
    function close(value) {
      if (dialog.isConnected) {
        dialog.close();
        dialog.remove();
        resolve(value);
      }
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(Object.fromEntries(inputs.map(([name, input]) => [name, input.value])));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
