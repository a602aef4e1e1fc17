// What every view does: it loads, is shown, hears its keys, and ends.
import { ask, button, fill, h } from "./dom.js";

const RETRY_MS = 2000;
const FIELDS = ["number", "text", "search", "TEXTAREA"];
const SIGNS = { Backquote: "`", Minus: "−", Equal: "+" };
const PRESSED = ["BUTTON", "SUMMARY", "A", "checkbox"];

/** Whether a key belongs to what has the focus, or to an open dialog. */
function taken({ target, code }) {
  if (document.querySelector("dialog[open]")) return true;
  const kind = target.tagName === "INPUT" ? target.type : target.tagName;
  return FIELDS.includes(kind) || (kind === "SELECT" && /^(Arrow|Home|End|Page|Key|Digit|Space|Enter)/.test(code))
    || (kind === "range" && /^(Arrow|Home|End|Page)/.test(code))
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
    this.shown?.();
  }

  /** The page has ended what `page` was asked for; here goes what else is to be done. */
  end() {}

  /** Ask the server; while there is no connection that is told, and it is asked again. */
  async persist(asking, told) {
    for (;;) {
      try {
        return await asking();
      } catch (error) {
        if (!(error instanceof TypeError) || this.ended) throw error;
        told("not saved: no connection, trying again", "error");
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }

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

  /** A button that does what a key does; its title names the key. */
  keyed(text, key, props) {
    const title = key.replace(/Key|Digit/, "").replace("+", " + ").replace(/Backquote|Minus|Equal/, (each) => SIGNS[each]);
    return button(text, () => this.calls({})[key](), { title, ...props });
  }

  help() {
    return ask("Keys", this.constructor.keys.map(([keys, what]) => `${keys}: ${what}`).join("\n"), [], "Close");
  }
}

/** ◀ slider ▶ number of all: which frame is shown; `go` is called with a frame from 1 to the last. */
export class FrameBar {
  constructor(what, go) {
    this.go = (frame) => go(Math.min(Math.max(Math.round(frame), 1), this.length));
    const input = (event) => this.go(Number(event.target.value));
    const field = (type) => h("input", { type, min: 1, "aria-label": what, [type === "range" ? "oninput" : "onchange"]: input });
    [this.slider, this.number] = [field("range"), field("number")];
    this.count = h("span.dim");
    const step = (label, text, by) => button(text, () => this.go(this.at + by), { "aria-label": label });
    this.parts = [step(`${what} before`, "◀", -1), this.slider, step(`Next ${what.toLowerCase()}`, "▶", 1), this.number, this.count];
  }

  show(at, length) {
    Object.assign(this, { at, length });
    this.slider.max = this.number.max = length;
    this.slider.value = this.number.value = at;
    this.count.textContent = `of ${length}`;
  }

  calls({ shiftKey }) {
    const step = shiftKey ? 10 : 1;
    return {
      ArrowLeft: () => this.go(this.at - step), ArrowRight: () => this.go(this.at + step),
      Home: () => this.go(1), End: () => this.go(this.length),
    };
  }
}
