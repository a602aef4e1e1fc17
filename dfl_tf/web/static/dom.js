// Elements without markup: whatever names and metadata hold, they are text.

/**
 * Make an element. Keys of `props` that begin with "on" are listeners, "data" and "aria-…" and the
 * like are attributes, the rest are properties. Children are elements or text.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
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
