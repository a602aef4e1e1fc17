// The face on a canvas: what is drawn there, zoom, and where a pointer is in pixels of the image.
import { h } from "../dom.js";
import { EXCLUDE, INCLUDE, clamp } from "./xseg_shapes.js";

export const COLORS = { Red: "#ff5c5c", Green: "#41e06a", Blue: "#6fa8ff" };
const CHOSEN = "#ffd166";
const LARGEST = 40;
const SMOOTH = 3; // beyond, pixels are squares
const MARGIN = 0.94;

export class Board {
  /** `editor` says what is drawn: its face, polygons and states. */
  constructor(editor) {
    this.editor = editor;
    this.canvas = h("canvas");
    this.pen = this.canvas.getContext("2d");
    this.element = h("div.viewer.board", { tabIndex: 0, role: "application", "aria-label": "Face; F1 shows the keys" }, this.canvas);
    this.seen = new ResizeObserver(() => this.resize());
    this.seen.observe(this.element);
    this.fit();
  }

  end() {
    this.seen.disconnect();
    cancelAnimationFrame(this.frame);
  }

  resize() {
    this.ratio = devicePixelRatio || 1;
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.draw();
  }

  get face() {
    return this.editor.face;
  }

  /** Screen pixels of a pixel of the image. */
  get scale() {
    if (!this.face) return 1;
    return Math.min(this.width / this.face.width, this.height / this.face.height) * MARGIN * this.zoom;
  }

  /** The place in the image that is in the middle. */
  get middle() {
    return [this.center[0] * this.face.width, this.center[1] * this.face.height];
  }

  toScreen([x, y]) {
    const { scale, middle } = this;
    return [(x - middle[0]) * scale + this.width / 2, (y - middle[1]) * scale + this.height / 2];
  }

  /** The place in the image under a pointer. */
  toImage(event) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, middle } = this;
    return [(event.clientX - box.left - this.width / 2) / scale + middle[0], (event.clientY - box.top - this.height / 2) / scale + middle[1]];
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
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  paint() {
    const { pen, face, scale, ratio } = this;
    const { view, overlay } = this.editor;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    this.element.dataset.zoom = this.zoom.toFixed(2);
    if (!face) return;
    const area = [...this.toScreen([0, 0]), face.width * scale, face.height * scale];
    const put = (image) => image && pen.drawImage(image, ...area);
    pen.imageSmoothingEnabled = scale < SMOOTH;
    if (view === "face") {
      put(face.bitmap);
      // the mask is the share of the light that is left, above a half
      if (overlay) this.apart({ globalCompositeOperation: "multiply", globalAlpha: 0.5 }, () => put(face.mask));
      this.paintShapes();
      return;
    }
    pen.fillStyle = "#000";
    pen.fillRect(...area);
    if (view === "mask") put(face.mask);
    else this.apart({}, () => this.paintBaked(area));
  }

  /** Draw something with other settings of the pen. */
  apart(settings, draw) {
    this.pen.save();
    Object.assign(this.pen, settings);
    draw();
    this.pen.restore();
  }

  paintBaked(area) {
    const { pen, editor: { polygons } } = this;
    pen.beginPath();
    pen.rect(...area);
    pen.clip();
    for (const [kind, style] of [[INCLUDE, "#fff"], [EXCLUDE, "#000"]]) {
      pen.fillStyle = style;
      for (const each of polygons) if (each.kind === kind) pen.fill(this.path(each.points, true), "evenodd");
    }
  }

  path(points, closed) {
    return new Path2D(`M${points.map((point) => this.toScreen(point)).join("L")}${closed ? "Z" : ""}`);
  }

  paintShapes() {
    const { polygons, state: { open }, selected, point, hovered, hint, aim, centered, color } = this.editor;
    polygons.forEach((polygon, i) => {
      const path = this.path(polygon.points, true);
      if (i === hovered && selected === null) this.apart({ globalAlpha: 0.28, fillStyle: COLORS[color] }, () => this.pen.fill(path, "evenodd"));
      this.outline(path, polygon.kind);
      if (i === selected) this.crosses(polygon.points, point);
    });
    if (open) {
      this.outline(this.path(aim ? [...open.points, aim] : open.points, false), open.kind);
      this.crosses(open.points, 0);
    }
    if (centered && aim) this.mark(aim, CHOSEN, 9);
    if (hint) this.mark(hint.place, "edge" in hint ? CHOSEN : "#ff8a80", 7, !("edge" in hint));
  }

  outline(path, kind) {
    this.stroke(path, COLORS[this.editor.color], kind === INCLUDE ? [] : [3, 5]);
  }

  crosses(points, chosen) {
    points.forEach((point, i) => this.mark(point, i === chosen ? CHOSEN : "#fff", i === chosen ? 7 : 5));
  }

  /** A cross, upright or turned. */
  mark(point, style, size, turned = false) {
    const [x, y] = this.toScreen(point);
    const [a, b] = turned ? [size * 0.7, size * 0.7] : [size, 0];
    this.stroke(new Path2D(`M${x - a},${y - b}L${x + a},${y + b}M${x + b},${y - a}L${x - b},${y + a}`), style);
  }

  /** A line that is seen on light and on dark. */
  stroke(path, style, dashes = []) {
    const { pen } = this;
    pen.setLineDash(dashes);
    for (const [color, width] of [["rgb(0 0 0 / 0.6)", 4], [style, 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.stroke(path);
    }
  }
}
