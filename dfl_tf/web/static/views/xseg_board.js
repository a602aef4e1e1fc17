// The face with its polygons drawn over it, zoom, and where a pointer is in pixels of the image.
import { fill, h, svg } from "../dom.js";
import { EXCLUDE, INCLUDE, clamp } from "./xseg_shapes.js";

export const COLORS = { Red: "#ff5c5c", Green: "#41e06a", Blue: "#6fa8ff" };
const LARGEST = 40;
const SMOOTH = 3; // beyond, pixels are squares
const MARGIN = 0.94;

export class Board {
  /** `editor` says what is drawn: its face, polygons and states. */
  constructor(editor) {
    this.editor = editor;
    this.over = svg("svg");
    this.layers = h("div.layers");
    this.surface = h("div.surface", this.layers); // what is pressed
    this.element = h("div.viewer.board", { tabIndex: 0, role: "application", "aria-label": "Face; F1 shows the keys" }, this.surface);
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.fit();
  }

  get face() {
    return this.editor.face;
  }

  /** Screen pixels of a pixel of the image. */
  get scale() {
    const { clientWidth, clientHeight } = this.surface;
    return this.face ? Math.min(clientWidth / this.face.width, clientHeight / this.face.height) * MARGIN * this.zoom : 1;
  }

  /** The place in the image that is in the middle. */
  get middle() {
    return [this.center[0] * this.face.width, this.center[1] * this.face.height];
  }

  /** The place in the image under a pointer. */
  toImage(event) {
    const box = this.surface.getBoundingClientRect();
    const { scale, middle: [x, y] } = this;
    return [(event.clientX - box.left - box.width / 2) / scale + x, (event.clientY - box.top - box.height / 2) / scale + y];
  }

  /** Zoom, 1 being as large as fits; it is kept from face to face, as is the part that is seen. */
  zoomBy(factor, at = null) {
    if (!this.face) return;
    const before = at && this.toImage(at);
    this.zoom = clamp(this.zoom * factor, 1, LARGEST);
    const after = at && this.toImage(at);
    this.look(at ? [before[0] - after[0], before[1] - after[1]] : [0, 0]);
  }

  /** Move what is seen, by pixels of the image. */
  look([dx, dy]) {
    const { width, height } = this.face;
    this.center = [clamp(this.center[0] + dx / width, 0, 1), clamp(this.center[1] + dy / height, 0, 1)];
    this.draw();
  }

  pan(dx, dy) {
    this.look([-dx / this.scale, -dy / this.scale]);
  }

  fit() {
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.draw();
  }

  draw() {
    const { face, layers, over } = this;
    this.element.dataset.zoom = this.zoom.toFixed(2);
    if (!face) {
      fill(layers);
      return;
    }
    const { scale, middle: [x, y], editor: { view, overlay, color } } = this;
    const { width, height, img, mask } = face;
    layers.className = `layers ${view} ${scale < SMOOTH ? "" : "squares"}`;
    Object.assign(layers.style, {
      width: `${width * scale}px`, height: `${height * scale}px`, transform: `translate(${-x * scale}px, ${-y * scale}px)`,
    });
    over.setAttribute("viewBox", `0 0 ${width} ${height}`);
    over.style.color = COLORS[color];
    fill(over, view === "baked" ? this.baked() : this.shapes(scale));
    fill(layers, { face: [img, overlay && mask, over], mask, baked: over }[view]);
  }

  /** The polygons as a mask: what is excluded lies over all that is included. */
  baked() {
    return [INCLUDE, EXCLUDE].map((kind) => this.editor.polygons.filter((each) => each.kind === kind).map(({ points }) =>
      svg("path", { d: outline(points), class: kind === INCLUDE ? "include" : "exclude" })));
  }

  shapes(scale) {
    const { polygons, state: { open }, selected, point, hovered, hint, aim, centered } = this.editor;
    const crosses = (points, chosen) => points.map((each, i) => (i === chosen ? cross(each, 7 / scale, "chosen") : cross(each, 5 / scale)));
    const border = (kind) => (kind === INCLUDE ? "" : "dashed");
    return [
      polygons.map(({ kind, points }, i) => [
        line(outline(points), `${border(kind)} ${i === hovered ? "hovered" : ""}`), i === selected && crosses(points, point),
      ]),
      open && [line(outline(aim ? [...open.points, aim] : open.points, ""), border(open.kind)), crosses(open.points, 0)],
      centered && aim && cross(aim, 9 / scale, "chosen"),
      hint && ("edge" in hint ? cross(hint.place, 7 / scale, "chosen") : cross(hint.place, 5 / scale, "deleting", 5 / scale)),
    ];
  }
}

const outline = (points, end = "Z") => `M${points.join("L")}${end}`;

/** A line that is seen on light and on dark. */
const line = (d, name) => [`under ${name}`, name].map((each) => svg("path", { d, class: each }));

/** An upright cross; a turned one where `b` is as long as `a`. */
function cross([x, y], a, name = "point", b = 0) {
  return line(`M${x - a},${y - b}L${x + a},${y + b}M${x + b},${y - a}L${x - b},${y + a}`, name);
}

/** An image that is ready to be shown. */
export async function imageOf(blob) {
  const image = h("img", { alt: "", draggable: false, src: URL.createObjectURL(blob) });
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(image.src);
  }
  return image;
}
