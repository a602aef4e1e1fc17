// Preview images: the last ones, their history by a slider, those of snapshots; enlarged by a click.
import { button, fill, group, h, panel, press } from "../dom.js";

// Columns of the previews of models that put one face on another, by the ends of their names.
const COLUMNS = [
  [/src-src$/, ["src", "src → src"]],
  [/dst-dst$/, ["dst", "dst → dst"]],
  [/pred$/, ["dst", "src → dst"]],
  [/^(SAEHD|Quick96)( masked)?$/, ["src", "src → src", "dst", "dst → dst", "src → dst"]],
];
const PLOT = "loss plot";

export class PreviewPanel {
  constructor(page, id) {
    Object.assign(this, { page, id, images: [] });
    this.at = null; // the id of an image of the past; null follows the training
    this.tabs = group("Which preview");
    this.columns = h("div.columns", { "aria-hidden": "true" });
    this.image = h("img.preview", { alt: "", decoding: "async" });
    this.slider = h("input", { type: "range", min: 0, "aria-label": "History of previews", oninput: () => this.choose(Number(this.slider.value)) });
    this.caption = h("p.dim", { "aria-live": "polite" });
    this.none = h("p.dim", "No preview was written yet. It comes with the first save, or press p.");
    this.shown = h("div", { hidden: true },
      h("div.framed", this.columns, h("button.bare", { title: "key f", "aria-label": "Enlarge", onclick: () => this.enlarge() }, this.image)),
      this.slider, this.caption);
    this.element = panel("Previews", this.tabs, this.none, this.shown);
  }

  async load() {
    this.images = await this.page.get(`models/${this.id}/previews`);
    const titles = [...new Set(this.images.filter((each) => each.kind !== "plot").map((each) => each.title))].sort();
    if (this.images.some((each) => each.kind === "plot")) titles.push(PLOT);
    if (!titles.includes(this.title)) this.title = titles[0];
    if (titles.join() !== this.titles) fill(this.tabs, titles.map((title) => button(title, () => this.open(title), { "data-name": title })));
    this.titles = titles.join();
    this.none.hidden = titles.length > 0;
    this.shown.hidden = !titles.length;
    this.show();
  }

  open(title) {
    this.title = title;
    this.at = null;
    this.show();
  }

  /** The images of the chosen preview, the oldest first. */
  get row() {
    if (this.title === PLOT) return this.images.filter((each) => each.kind === "plot");
    const of = (kind) => this.images.filter((each) => each.title === this.title && each.kind === kind);
    return [...of("snapshot"), ...of("history").sort((a, b) => a.iteration - b.iteration), ...of("now")];
  }

  show() {
    const { row } = this;
    if (!row.length) return;
    press(this.tabs.children, this.title);
    let index = row.findIndex((each) => each.id === this.at);
    if (index < 0) {
      index = row.length - 1;
      this.at = null;
    }
    const image = row[index];
    const isPlot = image.kind === "plot";
    this.slider.max = row.length - 1;
    this.slider.value = index;
    this.slider.disabled = row.length < 2;
    const source = this.page.api(`models/${this.id}/previews/${image.id}?stamp=${image.stamp}`);
    for (const each of [this.image, this.large]) if (each && each.src !== source) each.src = source;
    const when = { history: `after ${image.iteration} iterations`, snapshot: `of the snapshot ${image.of}` }[image.kind] ?? "the last one";
    this.image.alt = `Preview ${image.title}, ${when}`;
    this.caption.textContent = `${index + 1} of ${row.length}: ${when}${row.length < 2 && !isPlot ? ". Set write_preview_history to keep a history." : ""}`;
    this.slider.setAttribute("aria-valuetext", this.caption.textContent);
    const names = isPlot ? [] : COLUMNS.find(([pattern]) => pattern.test(image.title))?.[1] ?? [];
    this.columns.style.gridTemplateColumns = `repeat(${Math.max(1, names.length)}, 1fr)`;
    fill(this.columns, names.map((name) => h("span", name)));
  }

  choose(index) {
    const { row } = this;
    this.at = index >= row.length - 1 ? null : row[Math.max(0, index)].id;
    this.show();
  }

  enlarge() {
    if (this.shown.hidden || this.dialog) return;
    const close = () => this.dialog.close();
    const key = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) event.preventDefault();
      if (by) this.choose(Number(this.slider.value) + by);
      if (event.key === "f") close();
    };
    const closed = () => {
      this.dialog.remove();
      this.dialog = this.large = null;
    };
    this.large = h("img.large", { src: this.image.src, alt: this.image.alt });
    this.dialog = h("dialog.lightbox", { "aria-label": this.image.alt, onclick: close, onclose: closed, onkeydown: key },
      h("button.close", "Close"), this.large);
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  end() {
    this.dialog?.close();
  }
}
