// A grid of faces that holds only what is seen, however many there are.
import { h } from "../dom.js";

const AHEAD = 2; // rows above and below what is seen
const GAP = 4;
const CAPTION = 18;
const CALM_MS = 70; // while one scrolls faster, no images are asked for

export class FaceGrid {
  /** `host` gives image(number), title(index), caption(number), and takes click, open, seen. */
  constructor(host) {
    this.host = host;
    this.order = [];
    this.marks = new Set();
    this.current = 0;
    this.side = 128;
    this.captions = false;
    this.tiles = new Map(); // position -> tile
    this.pool = [];
    this.old = new Map(); // number -> tile, while all is placed again
    this.space = h("div", { class: "space" });
    this.element = h("div", {
      class: "face-grid", tabIndex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "Faces",
      onscroll: () => this.scrolled(),
      onclick: (event) => this.clicked(event, "click"),
      ondblclick: (event) => this.clicked(event, "open"),
    }, this.space);
    this.watching = new ResizeObserver(() => this.layout());
    this.watching.observe(this.element);
  }

  end() {
    this.ended = true;
    this.watching.disconnect();
    clearTimeout(this.calm);
  }

  get columns() {
    return Math.max(1, Math.round((this.element.clientWidth - GAP) / (this.side + GAP)));
  }

  /** Faces are made a little larger or smaller, so that they fill the width. */
  get cell() {
    return Math.floor((this.element.clientWidth - GAP) / this.columns) - GAP;
  }

  get rowHeight() {
    return this.cell + GAP + (this.captions ? CAPTION : 0);
  }

  /** Rows that are seen as a whole. */
  get pageRows() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight));
  }

  /** Other faces, or another order; `place` is the position that stays in view. */
  show(order, place = this.current) {
    this.order = order;
    this.current = Math.max(0, Math.min(place, order.length - 1));
    this.layout();
  }

  /** Everything is placed again, since sizes or contents have changed. */
  layout() {
    if (this.ended || !this.element.clientWidth) return;
    this.old = new Map([...this.tiles.values()].map((tile) => [tile.number, tile])); // their images stay
    this.tiles.clear();
    this.space.style.height = `${Math.ceil(this.order.length / this.columns) * this.rowHeight + GAP}px`;
    this.render();
    for (const tile of this.old.values()) this.release(tile);
    this.old.clear();
    this.load();
  }

  go(index) {
    this.current = Math.max(0, Math.min(index, this.order.length - 1));
    const top = Math.floor(this.current / this.columns) * this.rowHeight;
    const { element } = this;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + this.rowHeight > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + this.rowHeight - element.clientHeight + GAP;
    }
    this.render();
  }

  scrolled() {
    this.render();
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.load(), CALM_MS);
  }

  /** The positions that are seen, and a few more. */
  range() {
    const { columns, rowHeight } = this;
    const first = Math.max(0, Math.floor(this.element.scrollTop / rowHeight) - AHEAD) * columns;
    const rows = Math.ceil(this.element.clientHeight / rowHeight) + 2 * AHEAD;
    return [first, Math.min(this.order.length, first + rows * columns)];
  }

  render() {
    if (this.ended) return;
    const [first, last] = this.range();
    for (const [index, tile] of this.tiles) {
      if (index < first || index >= last) {
        this.tiles.delete(index);
        this.release(tile);
      }
    }
    for (let index = first; index < last; index++) {
      if (!this.tiles.has(index)) this.tiles.set(index, this.place(index));
      this.state(index);
    }
    const here = this.tiles.get(this.current);
    if (here) this.element.setAttribute("aria-activedescendant", here.element.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** Ask for the images that are in view. */
  load() {
    if (this.ended) return;
    const numbers = [];
    for (const [index, tile] of this.tiles) {
      const number = this.order[index];
      numbers.push(number);
      const wanted = this.host.image(number);
      if (tile.wanted !== wanted) {
        tile.wanted = wanted;
        tile.image.src = wanted;
      }
    }
    this.host.seen(numbers);
  }

  place(index) {
    const number = this.order[index];
    const tile = this.old.get(number) ?? this.pool.pop() ?? this.make();
    this.old.delete(number);
    tile.number = number;
    const { style } = tile.element;
    const { columns, cell, rowHeight } = this;
    style.width = `${cell}px`;
    style.height = `${rowHeight - GAP}px`;
    style.transform = `translate(${GAP + (index % columns) * (cell + GAP)}px, ${GAP + Math.floor(index / columns) * rowHeight}px)`;
    tile.element.dataset.index = index;
    tile.element.setAttribute("aria-setsize", this.order.length);
    tile.element.setAttribute("aria-posinset", index + 1);
    tile.caption.hidden = !this.captions;
    tile.element.hidden = false;
    return tile;
  }

  make() {
    const image = h("img", { alt: "", draggable: false });
    const caption = h("span", { class: "caption" });
    const element = h("div", { class: "face", role: "option", id: `face-${this.made = (this.made ?? 0) + 1}` }, image, caption);
    image.addEventListener("load", () => element.classList.remove("waiting", "broken"));
    image.addEventListener("error", () => { if (image.hasAttribute("src")) element.classList.add("broken"); });
    this.space.append(element);
    return { element, image, caption, wanted: null };
  }

  release(tile) {
    tile.element.hidden = true;
    delete tile.element.dataset.index;
    tile.element.classList.remove("broken");
    tile.element.classList.add("waiting");
    tile.image.removeAttribute("src"); // what is on its way is not needed any more
    tile.wanted = null;
    this.pool.push(tile);
  }

  state(index) {
    const { element, caption } = this.tiles.get(index);
    const number = this.order[index];
    element.setAttribute("aria-selected", String(this.marks.has(number)));
    element.classList.toggle("here", index === this.current);
    const title = this.host.title(number, index);
    if (element.title !== title) {
      element.title = title;
      element.setAttribute("aria-label", title);
    }
    if (this.captions) caption.textContent = this.host.caption(number);
  }

  clicked(event, kind) {
    const tile = event.target.closest(".face");
    if (!tile) return;
    this.host[kind](Number(tile.dataset.index), event);
  }
}
