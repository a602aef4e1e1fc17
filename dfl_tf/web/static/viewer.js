// An image that can be zoomed and moved, with what is said of it.
import { button, drag, group, h } from "./dom.js";

const LARGEST = 16;
const PIXELS = 2; // from this zoom on, pixels are squares

export class Viewer {
  constructor(label = "Image; zoom by + and −", loaded = () => {}) {
    this.zoom = this.left = this.top = 0; // zoom 0: as large as fits
    this.image = h("img", { alt: "", draggable: false, onload: () => { this.place(); loaded(); } });
    this.status = h("span.dim", { role: "status" });
    this.percent = h("span.dim.zoom");
    this.element = h("div.viewer", {
      tabIndex: 0, role: "group", "aria-label": label,
      onpointerdown: (event) => this.grab(event), ondblclick: () => this.fit(),
      onwheel: (event) => {
        event.preventDefault();
        this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
      },
    }, this.image, h("div.told", this.status));
    this.buttons = group("Zoom",
      button("−", () => this.zoomBy(0.8), { "aria-label": "Zoom out" }), button("Fit", () => this.fit()),
      button("1:1", () => this.zoomTo(1)), button("+", () => this.zoomBy(1.25), { "aria-label": "Zoom in" }), this.percent);
    new ResizeObserver(() => this.place()).observe(this.element);
  }

  calls() {
    return { Equal: () => this.zoomBy(1.25), Minus: () => this.zoomBy(0.8), Digit0: () => this.fit() };
  }

  say(text, kind = "dim") {
    this.status.textContent = text;
    this.status.className = kind;
  }

  /** Show an image; `reduced`: a smaller one of what is enlarged. */
  show(url, title, reduced = false) {
    this.image.alt = title;
    if (this.image.src !== url) this.image.src = url;
    this.reduced = reduced;
    if (!reduced) this.image.dataset.shown = title;
  }

  /** Grey what is no longer what was asked for. */
  stale(is) {
    this.element.classList.toggle("stale", is);
    this.element.setAttribute("aria-busy", String(is));
  }

  get fitting() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    return width ? Math.min(this.element.clientWidth / width, this.element.clientHeight / height) : 1;
  }

  /** Screen pixels of a pixel of the image. */
  get scale() {
    return this.zoom || this.fitting;
  }

  fit() {
    this.zoom = this.left = this.top = 0;
    this.place();
  }

  zoomBy(factor, at = null) {
    this.zoomTo(this.scale * factor, at);
  }

  zoomTo(zoom, at = null) {
    const after = Math.min(Math.max(zoom, 0.05), LARGEST);
    const box = this.element.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left - box.width / 2, at.clientY - box.top - box.height / 2] : [0, 0];
    this.left = x - (x - this.left) * after / this.scale;
    this.top = y - (y - this.top) * after / this.scale;
    this.zoom = after;
    this.place();
  }

  grab(event) {
    if (!this.zoom) return;
    const [x, y] = [event.clientX - this.left, event.clientY - this.top];
    drag(this.element, event, (at) => {
      [this.left, this.top] = [at.clientX - x, at.clientY - y];
      this.place();
    });
  }

  place() {
    const { naturalWidth: width, naturalHeight: height, style } = this.image;
    if (!width) return;
    const [scale, left, top] = this.reduced ? [this.fitting, 0, 0] : [this.scale, this.left, this.top];
    style.width = `${width * scale}px`;
    style.height = `${height * scale}px`;
    style.transform = `translate(calc(-50% + ${left}px), calc(-50% + ${top}px))`;
    style.imageRendering = scale >= PIXELS ? "pixelated" : "auto";
    this.element.classList.toggle("zoomed", this.zoom > 0);
    this.percent.textContent = `${Math.round(scale * 100)} %`;
  }
}
