// One face, enlarged, with its layers; beside it the frame that it was cut from.
import { fill, h } from "../dom.js";
import { figure } from "./faces_panel.js";

const SVG = "http://www.w3.org/2000/svg";
export const LAYERS = { landmarks: "Landmarks", polygons: "Polygons", mask: "Mask" };

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function line(kind, { points, closed = true }) {
  return shape(closed ? "polygon" : "polyline", { class: kind, points: points.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" ") });
}

export class FaceViewer {
  constructor(page, url) {
    this.page = page;
    this.url = url;
    this.face = h("img", { alt: "", draggable: false });
    this.over = shape("svg", { "aria-hidden": "true" });
    this.frame = h("img", { alt: "", draggable: false });
    this.marked = shape("svg", { "aria-hidden": "true" });
    this.facts = h("dl", { class: "facts" });
    this.problem = h("p", { class: "error", role: "status" });
    this.framed = h("figure", { class: "drawn frame" }, this.frame, this.marked);
    this.none = h("p", { class: "dim noframe" });
    this.element = h("div", { class: "face-viewer", tabIndex: 0, role: "group", "aria-label": "Face" },
      h("div", { class: "pair" }, h("figure", { class: "drawn" }, this.face, this.over), this.framed, this.none),
      this.problem, this.facts);
    this.turn = 0;
  }

  /** Show a face; `layers` are names of LAYERS. */
  async show(number, layers) {
    const turn = ++this.turn;
    this.number = number;
    this.layers = layers;
    this.element.dataset.state = "waiting";
    if (!this.known || this.known.number !== number) {
      try {
        const facts = await this.page.get(this.url("facts", number));
        if (turn !== this.turn) return;
        this.known = facts;
        this.fresh();
      } catch (error) {
        if (turn !== this.turn) return;
        this.known = null;
        fill(this.facts);
        this.over.replaceChildren();
        this.face.removeAttribute("src");
        this.framed.hidden = true;
        this.none.textContent = "";
        this.problem.textContent = error.message;
        this.element.dataset.state = "error";
        return;
      }
    }
    this.draw();
    this.element.dataset.state = "shown";
    this.element.dataset.number = number;
  }

  fresh() {
    const { known } = this;
    this.face.alt = `Face ${known.name}`;
    this.face.src = this.page.api(this.url("image", known.number));
    this.framed.hidden = !known.frame;
    this.none.textContent = known.frame || known.problem ? "" :
      known.source ? `Its frame, ${known.source}, is not beside the faces.` : "It is not known which frame it was cut from.";
    if (known.frame) {
      this.frame.alt = `Frame ${known.source}`;
      this.frame.src = this.page.api(this.url("frame", known.number));
    } else this.frame.removeAttribute("src");
    this.problem.textContent = known.problem;
    const rows = [["File", known.name], ["Image", `${known.width}×${known.height} pixels, ${Math.round(known.bytes / 1024)} kB`]];
    if (known.face_type) {
      const { rect } = known;
      rows.push(["Face type", known.face_type.replace("_", " ")], ["Frame", known.source || "not known"]);
      if (rect) rows.push(["Size in the frame", `${rect[2] - rect[0]}×${rect[3] - rect[1]} pixels`]);
      rows.push(["Polygons", String(known.polygons.length)], ["Mask", known.mask ? "applied" : "none"]);
    }
    for (const each of known.measured) rows.push([each.title, each.value === null ? "none" : `${figure(each.value)}${each.unit === "degrees" ? "°" : ""}`]);
    fill(this.facts, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  draw() {
    const { known, layers } = this;
    this.over.replaceChildren();
    this.marked.replaceChildren();
    this.over.setAttribute("viewBox", `0 0 ${known.width || 1} ${known.height || 1}`);
    if (!known.face_type) return;
    if (layers.has("mask") && known.mask) {
      this.over.append(shape("image", {
        href: this.page.api(this.url("mask", known.number)), width: known.width, height: known.height, preserveAspectRatio: "none", class: "mask",
      }));
    }
    if (layers.has("polygons")) for (const each of known.polygons) this.over.append(line(each.include ? "include" : "exclude", each));
    if (layers.has("landmarks")) for (const each of known.lines) this.over.append(line("landmarks", each));
    if (!known.frame) return;
    this.marked.setAttribute("viewBox", `0 0 ${known.frame.width} ${known.frame.height}`);
    if (known.rect) {
      const [left, top, right, bottom] = known.rect;
      this.marked.append(line("box", { points: [[left, top], [right, top], [right, bottom], [left, bottom]] }));
    }
    for (const each of known.source_lines) this.marked.append(line("landmarks", each));
  }

  end() {
    this.turn++;
  }
}
