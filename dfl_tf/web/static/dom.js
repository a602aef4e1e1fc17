// Elements without markup: whatever names and metadata hold, they are text.

const isNothing = (value) => (value ?? false) === false;

/**
 * Make an element: h("button.main", { onclick }, "Save"). Classes may stand behind the tag; props may
 * be left out: listeners ("on…"), properties, and attributes where there is no such property.
 * Children are elements, text or lists of them; null and false are left out.
 */
export function h(name, ...rest) {
  const [tag, ...classes] = name.split(".");
  const props = Object.getPrototypeOf(rest[0] ?? 0) === Object.prototype ? rest.shift() : {};
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (isNothing(value)) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value; // the list of an input is set by its id
    else element.setAttribute(key, value);
  }
  fill(element, ...rest);
  return element;
}

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => !isNothing(child)));
}

export const button = (title, onclick, props = {}) => h("button", { onclick, ...props }, title);
export const row = (...children) => h("div.row", children);
export const group = (label, ...children) => h("div.group", { role: "group", "aria-label": label }, children);

/** Buttons of {name: title}; `call` hears the name, `press` says which one is pressed. */
export const buttons = (titles, call) =>
  Object.entries(titles).map(([name, title]) => button(title, () => call(name), { "data-name": name }));

/** A part of a page under a heading. */
export const panel = (title, ...children) => h("section.panel", { "aria-label": title }, h("h2", title), children);

/** A choice out of {value: title} or [[value, title], …]. */
export function select(label, choices, onchange, value) {
  const entries = Array.isArray(choices) ? choices : Object.entries(choices);
  return h("select", { "aria-label": label, onchange: (event) => onchange?.(event.target.value) },
    entries.map(([each, title]) => h("option", { value: each, selected: each === value }, title)));
}

/** A box to tick, with its text. */
export function check(text, checked, onchange, name = "label.check") {
  return h(name, h("input", { type: "checkbox", checked, onchange: (event) => onchange(event.target.checked) }), text);
}

/** A table out of the titles of its columns and its rows, which are lists of cells. */
export function table(titles, rows, name = "table") {
  const cell = (each) => (each instanceof Element ? each : h("td", each));
  return h(name, h("thead", h("tr", titles.map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", rows.map((cells) => h("tr", cells.map(cell)))));
}

/** Say whether a button is pressed; of several: which one, by its `data-name`. */
export function press(buttons, on) {
  if (buttons instanceof Element) buttons.setAttribute("aria-pressed", String(on));
  else for (const each of buttons) press(each, each.dataset.name === on);
}

/** How much is done, from 0 to 1; null while nobody knows. */
export function advance(bar, share) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

/** Set the text of an element that scrolls; whoever looks at its end sees its end again. */
export function follow(element, change) {
  const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  change();
  if (atEnd) element.scrollTop = element.scrollHeight;
}

/** An element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Follow a pointer that was pressed on an element until it is released: `move(event, over)`. */
export function drag(element, pressed, move) {
  const ending = new AbortController();
  const hear = (name, call) => element.addEventListener(name, call, { signal: ending.signal });
  const end = (event) => { ending.abort(); move(event, true); };
  let last = pressed;
  hear("pointermove", (event) => { last = event; move(event, false); });
  hear("pointerup", end);
  hear("pointercancel", () => end(last)); // it does not say where
  element.setPointerCapture(pressed.pointerId);
}

/** A line of text with a button that copies it. */
export function copyable(say) {
  const line = h("code.line", { tabIndex: 0 });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(line);
      say("Selected: copy it by Ctrl+C.");
    }
  };
  const element = h("div.row.command", line, button("Copy", copy, { type: "button" }));
  return { element, show: (text) => fill(line, text) };
}

/**
 * Ask the user something; resolves to the values of the fields by name, or null. A field has `name`,
 * `label`, `long` for several lines, and properties of its input. Lines of text are paragraphs.
 */
export function ask(title, text, fields = [], agree = "OK") {
  const inputs = fields.map(({ label, long, ...props }) => h(long ? "textarea" : "input", {
    ...props, id: `ask-${props.name}`, maxLength: 4000, autocomplete: "off", spellcheck: false,
  }));
  const lines = typeof text === "string" ? text.split("\n").map((line) => h("p", line)) : text;
  return new Promise((resolve) => {
    const closed = () => {
      dialog.remove();
      resolve(dialog.returnValue ? Object.fromEntries(inputs.map((input) => [input.name, input.value])) : null);
    };
    const dialog = h("dialog", { "aria-label": title, onclose: closed },
      h("form", { method: "dialog" }, h("h2", title), lines,
        fields.map(({ name, label }, i) => h("label", { for: `ask-${name}` }, label, inputs[i])),
        h("div.row.end", button("Cancel", () => dialog.close(), { type: "button" }),
          h("button.main", { type: "submit", value: "agreed", autofocus: lines === text }, agree))));
    document.body.append(dialog);
    dialog.showModal();
  });
}
