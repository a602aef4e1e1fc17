// A grid of faces that holds only what is seen, however many there are.
import { h } from "../dom.js";

const AHEAD = 2; // rows above and below what is seen
const GAP = 4;
const CAPTION = 18;
const CALM_MS = 70; // while one scrolls faster, no images are asked for

export class FaceGrid {
  /** `host` gives image(number), title(number, index), caption(number), and takes click, open, seen. */
  constructor(host, side) {
    Object.assign(this, { host, side, order: [], marks: new Set(), current: 0, captions: false, columns: 1, rowHeight: side });
    this.tiles = new Map(); // of the faces that are seen, by their numbers
    this.shown = h("div.faces-shown");
    this.space = h("div", this.shown);
    const pass = (kind) => (event) => {
      const tile = event.target.closest(".face");
      if (tile) host[kind](Number(tile.dataset.index), event);
    };
    this.element = h("div.face-grid", {
      tabIndex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "Faces",
      onscroll: () => this.scrolled(), onclick: pass("click"), ondblclick: pass("open"),
    }, this.space);
    new ResizeObserver(() => this.layout()).observe(this.element);
  }

  /** Rows that are seen as a whole. */
  get pageRows() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight));
  }

  /** Other faces, or another order. */
  show(order) {
    this.order = order;
    this.current = this.within(this.current);
    this.layout();
  }

  within(index) {
    return Math.max(0, Math.min(index, this.order.length - 1));
  }

  /** Sizes have changed: faces are made a little larger or smaller, so that they fill the width. */
  layout() {
    const width = this.element.clientWidth - GAP;
    if (width <= 0) return; // hidden
    this.columns = Math.max(1, Math.round(width / (this.side + GAP)));
    const cell = Math.floor(width / this.columns) - GAP;
    const height = cell + (this.captions ? CAPTION : 0);
    this.rowHeight = height + GAP;
    this.space.style.height = `${Math.ceil(this.order.length / this.columns) * this.rowHeight + GAP}px`;
    this.shown.style.gridTemplateColumns = `repeat(${this.columns}, ${cell}px)`;
    this.shown.style.gridAutoRows = `${height}px`;
    this.render();
    this.load();
  }

  go(index) {
    this.current = this.within(index);
    const { element, rowHeight } = this;
    const top = Math.floor(this.current / this.columns) * rowHeight;
    element.scrollTop = Math.max(Math.min(element.scrollTop, top), top + rowHeight + GAP - element.clientHeight);
    this.render();
  }

  scrolled() {
    this.render();
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.load(), CALM_MS);
  }

  /** Show the faces that are in view, and a few more. */
  render() {
    const { scrollTop, clientHeight } = this.element;
    if (!clientHeight) return; // hidden
    const above = Math.max(0, Math.floor(scrollTop / this.rowHeight) - AHEAD);
    const rows = Math.ceil(clientHeight / this.rowHeight) + 2 * AHEAD;
    const first = above * this.columns;
    const before = this.tiles;
    const seen = this.order.slice(first, first + rows * this.columns);
    this.tiles = new Map(seen.map((number) => [number, before.get(number) ?? tile(number)]));
    for (const [number, { image }] of before) if (!this.tiles.has(number)) image.removeAttribute("src"); // it is not needed any more
    const same = seen.length === before.size && [...before.keys()].every((number, i) => number === seen[i]);
    if (!same) this.shown.replaceChildren(...seen.map((number) => this.tiles.get(number).element));
    this.shown.style.transform = `translateY(${above * this.rowHeight}px)`;
    seen.forEach((number, i) => this.describe(number, first + i));
    this.element.setAttribute("aria-activedescendant", `face-${this.order[this.current]}`);
  }

  describe(number, index) {
    const { host, marks, order } = this;
    const { element, caption } = this.tiles.get(number);
    const title = host.title(number, index);
    Object.assign(element, {
      title, ariaLabel: title, ariaSelected: marks.has(number), ariaSetSize: order.length, ariaPosInSet: index + 1,
    });
    element.dataset.index = index;
    element.classList.toggle("here", index === this.current);
    caption.hidden = !this.captions;
    if (this.captions) caption.textContent = host.caption(number);
  }

  /** Ask for the images that are in view. */
  load() {
    for (const [number, { image }] of this.tiles) {
      const wanted = this.host.image(number);
      if (image.getAttribute("src") !== wanted) image.src = wanted;
    }
    this.host.seen([...this.tiles.keys()]);
  }
}

function tile(number) {
  const image = h("img", {
    alt: "", draggable: false,
    onload: () => element.classList.remove("broken"), onerror: () => element.classList.add("broken"),
  });
  const caption = h("span.caption");
  const element = h("div.face", { role: "option", id: `face-${number}` }, image, caption);
  return { element, image, caption };
}
