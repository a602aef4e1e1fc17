// The frame with its faces, and the shape that is being placed, drawn over it.
import { Viewer } from "./tuner_viewer.js";
import { boxBetween } from "./extraction_shape.js";

const NS = "http://www.w3.org/2000/svg";
const LINES = [[0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, 36], [42, 47, 42], [48, 59, 48], [60, 67, 60]];
const SMALLEST = 8;

export class Stage extends Viewer {
  /** calls: drawn(box), changed(), choose(face) */
  constructor(calls) {
    super();
    this.calls = calls;
    this.faces = [];
    this.shape = null;
    this.drawing = false;
    this.svg = draw("svg", { "aria-hidden": "true" });
    this.element.append(this.svg);
    this.element.setAttribute("aria-label", "Frame with its faces");
    this.element.addEventListener("pointerdown", (event) => this.press(event), { capture: true });
  }

  place() {
    super.place();
    const { svg, image } = this;
    if (!svg || !image.naturalWidth) return;
    svg.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
    for (const name of ["width", "height", "transform"]) svg.style[name] = image.style[name];
    svg.style.setProperty("--pixel", `${1 / (this.zoom || this.fitting)}px`);
    this.element.classList.toggle("zoomed", this.zoom > 0);
  }

  get pixel() {
    return 1 / (this.zoom || this.fitting);
  }

  /** Where the pointer is, in pixels of the frame. */
  at(event) {
    const box = this.image.getBoundingClientRect();
    return [(event.clientX - box.left) * this.pixel, (event.clientY - box.top) * this.pixel];
  }

  /** Draw faces and shape; `chosen` is a face. */
  paint(faces, shape, chosen, drawing) {
    Object.assign(this, { faces, shape, drawing });
    this.element.classList.toggle("drawing", drawing);
    const parts = faces.flatMap((face, i) => (shape?.face === i ? [] : this.drawFace(face, i, chosen === i)));
    this.svg.replaceChildren(...parts, ...(shape ? this.drawShape(shape) : []));
  }

  drawFace(face, number, chosen) {
    const kind = ["face", face.by_hand ? "hand" : "", face.dropped ? "dropped" : "", chosen ? "chosen" : ""].join(" ").trim();
    const box = rectangle(face.box, { class: kind, "data-face": number });
    const group = draw("g", { class: kind });
    group.append(...lines(face.landmarks ?? []), ...dots(face.landmarks ?? []));
    return [box, group];
  }

  drawShape(shape) {
    const [left, top, right, bottom] = shape.box;
    const knob = [(left + right) / 2, top - 26 * this.pixel];
    const group = draw("g", { class: "shape" });
    group.append(
      rectangle(shape.box, { class: "body", "data-part": "body" }),
      draw("line", { x1: knob[0], y1: top, x2: knob[0], y2: knob[1] }),
      ...lines(shape.points),
      ...dots(shape.points).map((dot, i) => {
        dot.dataset.point = i;
        if (i === shape.chosen) dot.setAttribute("class", "chosen");
        return dot;
      }),
      ...[[left, top], [right, top], [right, bottom], [left, bottom]].map(([cx, cy], i) =>
        draw("circle", { cx, cy, class: "handle", "data-part": `corner${i}` })),
      draw("circle", { cx: knob[0], cy: knob[1], class: "handle turn", "data-part": "turn" }),
    );
    return [group];
  }

  press(event) {
    if (event.button) return;
    const { dataset = {} } = event.target;
    if (this.drawing) this.follow(event, this.drawBox(event));
    else if (this.shape && (dataset.part || dataset.point !== undefined)) {
      this.follow(event, this.drag(event, dataset));
    } else if (dataset.face !== undefined) this.calls.choose(Number(dataset.face));
  }

  /** Give the moves of the pointer to a function, and this press to nobody else. */
  follow(event, move) {
    event.stopPropagation();
    event.preventDefault();
    const { element } = this;
    element.focus();
    element.setPointerCapture(event.pointerId);
    const end = (at) => {
      element.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) element.removeEventListener(name, end);
      move(at, true);
    };
    element.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, end);
  }

  drawBox(event) {
    const start = this.at(event);
    const shown = rectangle([...start, ...start], { class: "new" });
    this.svg.append(shown);
    return (at, over) => {
      const box = boxBetween(start, this.at(at));
      outline(shown, box);
      if (!over) return;
      shown.remove();
      if (Math.min(box[2] - box[0], box[3] - box[1]) >= SMALLEST) this.calls.drawn(box);
    };
  }

  drag(event, { part, point }) {
    const { shape } = this;
    const start = this.at(event);
    const { box, points } = JSON.parse(JSON.stringify(shape.plain));
    const [left, top, right, bottom] = box;
    const center = shape.center;
    shape.step();
    shape.chosen = point === undefined ? null : Number(point);
    return (at) => {
      const now = this.at(at);
      shape.box = [...box];
      shape.points = points.map((each) => [...each]);
      if (part?.startsWith("corner")) {
        const corner = Number(part.at(-1));
        const fixed = [[right, bottom], [left, bottom], [left, top], [right, top]][corner];
        shape.scale(Math.max(0.05, distance(now, fixed) / distance(start, fixed)), fixed);
      } else if (part === "turn") {
        shape.turn(angle(now, center) - angle(start, center), center);
      } else {
        shape.move(now[0] - start[0], now[1] - start[1]);
      }
      this.calls.changed();
    };
  }
}

function draw(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function rectangle(box, attributes) {
  return outline(draw("rect", attributes), box);
}

function outline(element, [left, top, right, bottom]) {
  const sides = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  for (const [name, value] of Object.entries(sides)) element.setAttribute(name, value);
  return element;
}

function dots(points) {
  return points.map(([cx, cy]) => draw("circle", { cx, cy }));
}

function lines(points) {
  if (points.length !== 68) return [];
  return LINES.map(([first, last, closed]) => {
    const part = points.slice(first, last + 1);
    if (closed !== undefined) part.push(points[closed]);
    return draw("polyline", { points: part.map((point) => point.join(",")).join(" ") });
  });
}

function distance([ax, ay], [bx, by]) {
  return Math.max(1e-6, Math.hypot(ax - bx, ay - by));
}

function angle([x, y], [cx, cy]) {
  return Math.atan2(y - cy, x - cx);
}
