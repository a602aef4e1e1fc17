// One face, enlarged, with its layers; beside it the frame that it was cut from.
import { fill, h, svg } from "../dom.js";
import { figure } from "./faces_panel.js";

export const LAYERS = { landmarks: "Landmarks", polygons: "Polygons", mask: "Mask" };

function line(kind, { points, closed = true }) {
  return svg(closed ? "polygon" : "polyline", { class: kind, points: points.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ") });
}

/** An image with lines over it. */
class Drawing {
  constructor(kind) {
    this.image = h("img", { alt: "", draggable: false });
    this.over = svg("svg", { "aria-hidden": "true" });
    this.element = h(kind, this.image, this.over);
  }

  show(alt, url) {
    this.image.alt = alt;
    this.element.hidden = !url;
    if (!url) this.image.removeAttribute("src");
    else if (this.image.src !== url) this.image.src = url;
  }

  draw({ width, height }, shapes) {
    this.over.setAttribute("viewBox", `0 0 ${width || 1} ${height || 1}`);
    fill(this.over, shapes);
  }
}

export class FaceViewer {
  constructor(view) {
    Object.assign(this, { view, page: view.page, turn: 0, known: null });
    this.face = new Drawing("figure.drawn");
    this.frame = new Drawing("figure.drawn.frame");
    this.none = h("p.dim.noframe");
    this.problem = h("p.error", { role: "status" });
    this.facts = h("dl.facts");
    this.element = h("div.face-viewer", { tabIndex: 0, role: "group", "aria-label": "Face", hidden: true },
      h("div.pair", this.face.element, this.frame.element, this.none), this.problem, this.facts);
  }

  /** Show a face with the layers of the view. */
  async show(number) {
    const turn = ++this.turn;
    if (this.known?.number !== number) {
      this.element.dataset.state = "waiting";
      let known;
      try {
        known = await this.page.get(this.view.path("facts", number));
      } catch (error) {
        known = { problem: error.message };
      }
      if (turn !== this.turn) return; // another one is shown meanwhile
      this.known = known;
      this.describe(known);
    }
    this.draw(this.known);
    this.element.dataset.state = this.known.number ? "shown" : "error";
  }

  describe(known) {
    const { number, name, source, problem, told = [], measured = [] } = known;
    const url = (what) => this.page.api(this.view.path(what, number));
    this.face.show(`Face ${name}`, number && url("image"));
    this.frame.show(`Frame ${source}`, known.frame && url("frame"));
    this.none.textContent = known.missing ?? "";
    this.problem.textContent = problem;
    const inWords = (value, unit) => (value === null ? "none" : figure(value) + (unit === "degrees" ? "°" : ""));
    const values = measured.map(({ title, value, unit }) => [title, inWords(value, unit)]);
    fill(this.facts, [...told, ...values].map(([title, text]) => h("div", h("dt", title), h("dd", text))));
  }

  draw({ number, width, height, mask, polygons, lines, frame, rect, source_lines: framed }) {
    const { layers } = this.view;
    const size = { width, height, preserveAspectRatio: "none" };
    this.face.draw({ width, height }, [
      layers.has("mask") && mask && svg("image", { href: this.page.api(this.view.path("mask", number)), class: "mask", ...size }),
      layers.has("polygons") && polygons?.map((each) => line(each.include ? "include" : "exclude", each)),
      layers.has("landmarks") && lines?.map((each) => line("landmarks", each)),
    ]);
    if (!frame) return;
    const [left, top, right, bottom] = rect ?? [];
    const box = line("box", { points: [[left, top], [right, top], [right, bottom], [left, bottom]] });
    this.frame.draw(frame, [rect && box, framed.map((each) => line("landmarks", each))]);
  }
}
