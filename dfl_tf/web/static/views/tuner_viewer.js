// An image that can be zoomed and moved; while it is not what was asked for, it is grey.
import { h } from "../dom.js";

const LARGEST = 16;
const PIXELS = 2; // from this zoom on, pixels are squares

export class Viewer {
  constructor() {
    this.zoom = 0; // 0: as large as fits
    this.left = this.top = 0;
    this.image = h("img", { alt: "", draggable: false });
    this.text = h("span", { class: "dim zoom" });
    this.element = h("div", { class: "viewer", tabIndex: 0, role: "group", "aria-label": "Image; zoom by + and −" }, this.image);
    this.buttons = h("div", { class: "group", role: "group", "aria-label": "Zoom" },
      h("button", { "aria-label": "Zoom out", onclick: () => this.zoomBy(0.8) }, "−"),
      h("button", { onclick: () => this.fit() }, "Fit"),
      h("button", { onclick: () => this.zoomTo(1) }, "1:1"),
      h("button", { "aria-label": "Zoom in", onclick: () => this.zoomBy(1.25) }, "+"), this.text);
    this.image.addEventListener("load", () => this.place());
    this.element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
    }, { passive: false });
    this.element.addEventListener("dblclick", () => this.fit());
    this.element.addEventListener("pointerdown", (event) => this.grab(event));
    new ResizeObserver(() => this.place()).observe(this.element);
  }

  show(url, title, reduced = false) {
    this.image.alt = title;
    if (this.image.src !== url) this.image.src = url;
    this.reduced = reduced;
    if (!reduced) this.image.dataset.shown = title;
  }

  stale(is) {
    this.element.classList.toggle("stale", is);
    this.element.setAttribute("aria-busy", String(is));
  }

  get fitting() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    if (!width) return 1;
    return Math.min(this.element.clientWidth / width, this.element.clientHeight / height);
  }

  fit() {
    this.zoom = this.left = this.top = 0;
    this.place();
  }

  zoomBy(factor, at = null) {
    this.zoomTo((this.zoom || this.fitting) * factor, at);
  }

  zoomTo(zoom, at = null) {
    const before = this.zoom || this.fitting;
    const after = Math.min(Math.max(zoom, 0.05), LARGEST);
    const box = this.element.getBoundingClientRect();
    const x = at ? at.clientX - box.left - box.width / 2 : 0;
    const y = at ? at.clientY - box.top - box.height / 2 : 0;
    this.left = x - (x - this.left) * after / before;
    this.top = y - (y - this.top) * after / before;
    this.zoom = after;
    this.place();
  }

  grab(event) {
    const start = { x: event.clientX - this.left, y: event.clientY - this.top };
    if (!this.zoom) return;
    this.element.setPointerCapture(event.pointerId);
    const move = (at) => {
      this.left = at.clientX - start.x;
      this.top = at.clientY - start.y;
      this.place();
    };
    const end = () => {
      this.element.removeEventListener("pointermove", move);
      this.element.removeEventListener("pointerup", end);
      this.element.removeEventListener("pointercancel", end);
    };
    this.element.addEventListener("pointermove", move);
    this.element.addEventListener("pointerup", end);
    this.element.addEventListener("pointercancel", end);
  }

  place() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    if (!width) return;
    const zoom = this.reduced || !this.zoom ? this.fitting : this.zoom;
    const { style } = this.image;
    style.width = `${width * zoom}px`;
    style.height = `${height * zoom}px`;
    const moved = this.reduced ? [0, 0] : [this.left, this.top];
    style.transform = `translate(calc(-50% + ${moved[0]}px), calc(-50% + ${moved[1]}px))`;
    style.imageRendering = zoom >= PIXELS ? "pixelated" : "auto";
    this.text.textContent = `${Math.round(zoom * 100)} %`;
  }
}
