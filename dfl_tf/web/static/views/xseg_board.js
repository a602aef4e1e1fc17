// The face on a canvas: what is drawn there, zoom, and where a pointer is in pixels of the image.
import { h } from "../dom.js";
import { INCLUDE } from "./xseg_shapes.js";

export const COLORS = ["#ff5c5c", "#41e06a", "#6fa8ff"];
const LARGEST = 40;
const SMOOTH = 3; // beyond, pixels are squares
const MARGIN = 0.94;

export class Board {
  constructor() {
    this.zoom = 1; // 1: as large as fits; kept from face to face, as is the part that is seen
    this.center = [0.5, 0.5];
    this.face = null;
    this.canvas = h("canvas", {});
    this.element = h("div", { class: "board", tabIndex: 0, role: "application", "aria-label": "Face; F1 shows the keys" }, this.canvas);
    this.seen = new ResizeObserver(() => this.resize());
    this.seen.observe(this.element);
  }

  end() {
    this.seen.disconnect();
    cancelAnimationFrame(this.frame);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.draw();
  }

  // -- where things are --------------------------------------------------------------------------
  /** Screen pixels of a pixel of the image. */
  get scale() {
    if (!this.face) return 1;
    return Math.min(this.width / this.face.width, this.height / this.face.height) * MARGIN * this.zoom;
  }

  toScreen([x, y]) {
    const { face, scale, center } = this;
    return [(x - center[0] * face.width) * scale + this.width / 2, (y - center[1] * face.height) * scale + this.height / 2];
  }

  /** The place in the image under a pointer. */
  toImage(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.placeAt(event.clientX - box.left, event.clientY - box.top);
  }

  placeAt(x, y) {
    const { face, scale, center } = this;
    return [(x - this.width / 2) / scale + center[0] * face.width, (y - this.height / 2) / scale + center[1] * face.height];
  }

  // -- zoom --------------------------------------------------------------------------------------
  zoomBy(factor, at = null) {
    if (!this.face) return;
    const before = at ? this.toImage(at) : null;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), LARGEST);
    if (before) {
      const after = this.toImage(at);
      this.look([before[0] - after[0], before[1] - after[1]]);
    }
    this.look([0, 0]);
  }

  /** Move what is seen, by pixels of the image. */
  look([dx, dy]) {
    const { width, height } = this.face;
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    this.center = [inside(this.center[0] + dx / width), inside(this.center[1] + dy / height)];
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

  // -- drawing -----------------------------------------------------------------------------------
  /** Show a scene: {face, polygons, open, selected, point, hover, hint, aim, view, overlay, color, dim}. */
  show(scene) {
    this.scene = scene;
    this.face = scene.face;
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  paint() {
    const { scene, canvas, face } = this;
    const ratio = canvas.width / (this.width || 1);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    this.element.dataset.zoom = this.zoom.toFixed(2);
    if (!face) return;
    const [left, top] = this.toScreen([0, 0]);
    const [width, height] = [face.width * this.scale, face.height * this.scale];
    pen.imageSmoothingEnabled = this.scale < SMOOTH;
    const put = (image) => pen.drawImage(image, left, top, width, height);
    if (scene.view === "baked") return this.paintBaked(pen, left, top, width, height);
    if (scene.view === "mask") {
      pen.fillStyle = "#000";
      pen.fillRect(left, top, width, height);
      if (face.mask) put(face.mask.gray);
      return undefined;
    }
    if (face.bitmap) put(face.bitmap);
    if (scene.overlay && face.mask) put(face.mask.shade);
    this.paintShapes(pen);
    return undefined;
  }

  paintBaked(pen, left, top, width, height) {
    pen.fillStyle = "#000";
    pen.fillRect(left, top, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    const { polygons } = this.scene;
    for (const kind of [INCLUDE, 0]) {
      pen.fillStyle = kind === INCLUDE ? "#fff" : "#000";
      for (const each of polygons) if (each.kind === kind) pen.fill(this.path(each.points, true), "evenodd");
    }
    pen.restore();
  }

  path(points, closed) {
    const path = new Path2D();
    points.forEach((point, i) => path[i ? "lineTo" : "moveTo"](...this.toScreen(point)));
    if (closed) path.closePath();
    return path;
  }

  paintShapes(pen) {
    const { polygons, open, selected, hover, aim, color } = this.scene;
    polygons.forEach((polygon, i) => {
      const path = this.path(polygon.points, true);
      if (i === hover && selected === null) {
        pen.globalAlpha = 0.28;
        pen.fillStyle = color;
        pen.fill(path, "evenodd");
        pen.globalAlpha = 1;
      }
      this.outline(pen, path, polygon.kind);
      if (i === selected) polygon.points.forEach((point, at) => this.cross(pen, point, at === this.scene.point));
    });
    if (open) {
      const points = aim ? [...open.points, aim] : open.points;
      this.outline(pen, this.path(points, false), open.kind);
      open.points.forEach((point, at) => this.cross(pen, point, at === 0));
    }
    if (this.scene.centered && aim) this.mark(pen, aim, "#ffd166", 9, false);
    const { hint } = this.scene;
    if (hint) this.mark(pen, hint.place, hint.what === "delete" ? "#ff8a80" : "#ffd166", 7, hint.what === "delete");
  }

  outline(pen, path, kind) {
    for (const [style, width] of [["rgb(0 0 0 / 0.55)", 4], [this.scene.color, 2]]) {
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.setLineDash(kind === INCLUDE ? [] : [3, 5]);
      pen.stroke(path);
    }
    pen.setLineDash([]);
  }

  cross(pen, point, chosen) {
    this.mark(pen, point, chosen ? "#ffd166" : "#fff", chosen ? 7 : 5, false);
  }

  mark(pen, point, style, size, turned) {
    const [x, y] = this.toScreen(point);
    const s = turned ? size * 0.7 : 0;
    const lines = turned ? [[-s, -s, s, s], [-s, s, s, -s]] : [[-size, 0, size, 0], [0, -size, 0, size]];
    for (const [color, width] of [["rgb(0 0 0 / 0.7)", 4], [style, 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.beginPath();
      for (const [a, b, c, d] of lines) {
        pen.moveTo(x + a, y + b);
        pen.lineTo(x + c, y + d);
      }
      pen.stroke();
    }
  }
}

/** What is drawn of an applied mask: itself in gray, and a shade over all that lies outside of it. */
export async function maskImages(blob) {
  const bitmap = await createImageBitmap(blob);
  const [gray, shade] = [0, 1].map(() => {
    const canvas = document.createElement("canvas");
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
    return canvas;
  });
  const pen = shade.getContext("2d");
  const pixels = pen.getImageData(0, 0, shade.width, shade.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = (255 - pixels.data[i]) / 2;
    pixels.data[i] = pixels.data[i + 1] = pixels.data[i + 2] = 0;
  }
  pen.putImageData(pixels, 0, 0);
  return { gray, shade };
}
