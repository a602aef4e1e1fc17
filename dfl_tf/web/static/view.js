// What every view does: it loads, is shown, hears its keys, and ends.
import { ask, button, fill, h } from "./dom.js";

const FIELDS = ["number", "text", "search", "TEXTAREA", "SELECT"];
const PRESSED = ["BUTTON", "SUMMARY", "A", "checkbox"];

/** Whether a key belongs to what has the focus, or to an open dialog. */
function taken({ target, code }) {
  if (document.querySelector("dialog[open]")) return true;
  const kind = target.tagName === "INPUT" ? target.type : target.tagName;
  return FIELDS.includes(kind) || (kind === "range" && /^(Arrow|Home|End|Page)/.test(code))
    || (PRESSED.includes(kind) && /^(Space|Enter|NumpadEnter)$/.test(code));
}

/** A view has `load` (asks the server) and `build` (makes the page); `keys` are shown as they are. */
export class View {
  static title = "";
  static keys = [];

  constructor(page) {
    this.page = page;
  }

  get ended() {
    return this.page.ended;
  }

  /** Hear events until the view ends. */
  listen(name, call, target = window) {
    this.page.listen(name, call, target);
  }

  async begin() {
    const { element, readOnly } = this.page;
    fill(element, h("p.dim", "Loading…"));
    try {
      await this.load();
    } catch (error) {
      fill(element, h("h1", this.constructor.title), h("p.error", error.message), this.aside?.(), button("Try again", () => this.begin()));
      return;
    }
    if (this.ended) return;
    fill(element, h("h1.sr", this.constructor.title), this.build());
    if (readOnly) for (const each of element.querySelectorAll(".write")) each.disabled = true;
    this.listen("keydown", (event) => this.key(event));
    await this.shown?.();
  }

  /** The page has ended what `page` was asked for; here goes what else is to be done. */
  end() {}

  /** The calls of keys by their place on the keyboard, as {KeyA: call, "Ctrl+KeyZ": call}. */
  calls() {
    return {};
  }

  /** The calls of keys by what they write, wherever they lie. */
  letters() {
    return { "?": this.constructor.keys.length ? () => this.help() : null };
  }

  key(event) {
    if (event.altKey || taken(event)) return;
    const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
    const place = event.code.replace("Numpad", "").replace("Subtract", "Minus").replace("Add", "Equal");
    const call = this.calls(event)[control + place] ?? (control ? null : this.letters()[event.key]);
    if (!call) return;
    event.preventDefault();
    call();
  }

  help() {
    return ask("Keys", this.constructor.keys.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }
}

/** ◀ slider ▶ number of all: which frame is shown; `go` is called with frames from 1. */
export class FrameBar {
  constructor(what, go) {
    const field = (type) => h("input", { type, min: 1, "aria-label": what, [type === "range" ? "oninput" : "onchange"]: (event) => go(Number(event.target.value)) });
    [this.slider, this.number] = [field("range"), field("number")];
    this.count = h("span.dim");
    const step = (label, text, by) => button(text, () => go(this.at + by), { "aria-label": label });
    this.parts = [step(`${what} before`, "◀", -1), this.slider, step(`Next ${what.toLowerCase()}`, "▶", 1), this.number, this.count];
  }

  show(at, count) {
    this.at = at;
    this.slider.max = this.number.max = count;
    this.slider.value = this.number.value = at;
    this.count.textContent = `of ${count}`;
  }
}
