// Preview images: the last ones, their history by a slider, those of snapshots; enlarged by a click.
import { fill, h } from "../dom.js";

// Columns of the previews of models that put one face on another, by the ends of their names.
const COLUMNS = [
  [/src-src$/, ["src", "src → src"]],
  [/dst-dst$/, ["dst", "dst → dst"]],
  [/pred$/, ["dst", "src → dst"]],
  [/^(SAEHD|Quick96)( masked)?$/, ["src", "src → src", "dst", "dst → dst", "src → dst"]],
];

export class PreviewPanel {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.images = [];
    this.title = null;
    this.at = null; // the id of an image of the past; null follows the training
    this.tabs = h("div", { class: "row", role: "group", "aria-label": "Which preview" });
    this.columns = h("div", { class: "columns", "aria-hidden": "true" });
    this.image = h("img", { class: "preview", alt: "", decoding: "async" });
    this.button = h("button", { type: "button", class: "bare", title: "key f", "aria-label": "Enlarge", onclick: () => this.enlarge() }, this.image);
    this.slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "History of previews", oninput: () => this.choose(Number(this.slider.value)) });
    this.caption = h("p", { class: "dim", "aria-live": "polite" });
    this.none = h("p", { class: "dim" }, "No preview was written yet. It comes with the first save, or press p.");
    this.shown = h("div", {}, h("div", { class: "framed" }, this.columns, this.button), this.slider, this.caption);
    this.element = h("section", { class: "panel", "aria-label": "Previews" }, h("h2", {}, "Previews"), this.tabs, this.none, this.shown);
    this.shown.hidden = true;
  }

  async load() {
    const images = await this.page.get(`models/${this.id}/previews`);
    this.images = images;
    const titles = [...new Set(images.filter((each) => each.kind !== "plot").map((each) => each.title))].sort();
    if (images.some((each) => each.kind === "plot")) titles.push("loss plot");
    if (!titles.includes(this.title)) this.title = titles[0] ?? null;
    fill(this.tabs, titles.map((title) => h("button", { type: "button", "aria-pressed": String(title === this.title), onclick: () => { this.title = title; this.at = null; this.load(); } }, title)));
    this.none.hidden = titles.length > 0;
    this.shown.hidden = !titles.length;
    this.show();
  }

  /** The images of the chosen preview, the oldest first. */
  get row() {
    if (this.title === "loss plot") return this.images.filter((each) => each.kind === "plot");
    const mine = this.images.filter((each) => each.title === this.title && each.kind !== "plot");
    const of = (kind) => mine.filter((each) => each.kind === kind);
    return [...of("snapshot"), ...of("history").sort((a, b) => a.iteration - b.iteration), ...of("now")];
  }

  show() {
    const { row } = this;
    if (!row.length) return;
    let index = row.findIndex((each) => each.id === this.at);
    if (index < 0) { index = row.length - 1; this.at = null; }
    const image = row[index];
    this.slider.max = row.length - 1;
    this.slider.value = index;
    this.slider.disabled = row.length < 2;
    const source = this.page.api(`models/${this.id}/previews/${image.id}?stamp=${image.stamp}`);
    if (this.image.getAttribute("src") !== source) this.image.src = source;
    const when = { now: "the last one", history: `after ${image.iteration} iterations`, snapshot: `of the snapshot ${image.of}`, plot: "the last one" }[image.kind];
    this.image.alt = `Preview ${image.title}, ${when}`;
    this.caption.textContent = `${index + 1} of ${row.length}: ${when}${row.length < 2 && image.kind !== "plot" ? ". Set write_preview_history to keep a history." : ""}`;
    this.slider.setAttribute("aria-valuetext", this.caption.textContent);
    const names = image.kind === "plot" ? [] : COLUMNS.find(([pattern]) => pattern.test(image.title))?.[1] ?? [];
    this.columns.style.gridTemplateColumns = `repeat(${Math.max(1, names.length)}, 1fr)`;
    fill(this.columns, names.map((name) => h("span", {}, name)));
  }

  choose(index) {
    const { row } = this;
    this.at = index >= row.length - 1 ? null : row[index]?.id ?? null;
    this.show();
  }

  enlarge() {
    if (this.shown.hidden || this.dialog) return;
    const large = h("img", { class: "large", src: this.image.src, alt: this.image.alt });
    const watch = new MutationObserver(() => { large.src = this.image.src; });
    watch.observe(this.image, { attributes: true, attributeFilter: ["src"] });
    const close = () => { watch.disconnect(); this.dialog?.close(); this.dialog?.remove(); this.dialog = null; };
    const step = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); this.choose(Math.min(Math.max(0, Number(this.slider.value) + by), Number(this.slider.max))); }
      if (event.key === "f") close();
    };
    this.dialog = h("dialog", { class: "lightbox", "aria-label": this.image.alt, onclick: close, oncancel: close, onkeydown: step },
      h("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "Close"), large);
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  destroy() {
    this.dialog?.close();
    this.dialog?.remove();
  }
}
