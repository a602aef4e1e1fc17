// A frame with its faces, and the shape that is being placed, drawn over it.
import { drag, svg } from "../dom.js";
import { Viewer } from "../viewer.js";
import { boxBetween } from "./extraction_shape.js";

const LINES = [[0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, 36], [42, 47, 42], [48, 59, 48], [60, 67, 60]];
const SMALLEST = 8;

export class Stage extends Viewer {
  /** Calls: drawn(box), changed(), choose(face), loaded() */
  constructor({ loaded, ...calls }) {
    super("Frame with its faces", loaded);
    Object.assign(this, calls);
    this.over = svg("svg", { "aria-hidden": "true" });
    this.image.after(this.over);
  }

  place() {
    super.place();
    const { over, image } = this;
    if (!image.naturalWidth) return;
    over.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
    for (const name of ["width", "height", "transform"]) over.style[name] = image.style[name];
    over.style.setProperty("--pixel", `${1 / this.scale}px`);
  }

  /** Where the pointer is, in pixels of the frame. */
  at({ clientX, clientY }) {
    const box = this.image.getBoundingClientRect();
    return [(clientX - box.left) / this.scale, (clientY - box.top) / this.scale];
  }

  /** Draw {faces, shape, chosen, drawing, saving}; `chosen` is a face. */
  paint(scene) {
    this.scene = scene;
    const { faces, shape, chosen, drawing } = scene;
    this.element.classList.toggle("drawing", drawing);
    const parts = faces.flatMap((face, i) => (shape?.face === i ? [] : this.drawFace(face, i, chosen === i)));
    this.over.replaceChildren(...parts, ...(shape ? [this.drawShape(shape)] : []));
  }

  drawFace({ box, landmarks, by_hand: byHand, dropped }, number, chosen) {
    const kind = ["face", byHand && "hand", dropped && "dropped", chosen && "chosen"].filter(Boolean).join(" ");
    const points = landmarks ?? [];
    return [rectangle(box, { class: kind, "data-face": number }), svg("g", { class: kind }, ...lines(points), ...dots(points))];
  }

  drawShape({ box, points, chosen }) {
    const [left, top, right, bottom] = box;
    const [x, y] = [(left + right) / 2, top - 26 / this.scale];
    const handle = ([cx, cy], part) => svg("circle", { cx, cy, class: `handle ${part}`, "data-part": part });
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    return svg("g", { class: "shape" },
      rectangle(box, { class: "body", "data-part": "body" }), svg("line", { x1: x, y1: top, x2: x, y2: y }), ...lines(points),
      ...dots(points, (i) => ({ "data-point": i, class: i === chosen ? "chosen" : "" })),
      ...corners.map((corner, i) => handle(corner, `corner${i}`)), handle([x, y], "turn"));
  }

  grab(event) {
    const { shape, drawing, saving } = this.scene;
    const { part, point, face } = event.target.dataset;
    const held = drawing || (shape && (part ?? point) !== undefined);
    if (event.button || !held) {
      if (!event.button && face !== undefined) this.choose(Number(face));
      super.grab(event);
    } else if (!saving) {
      event.preventDefault();
      this.element.focus();
      drag(this.element, event, drawing ? this.drawBox(event) : this.drag(event, shape));
    }
  }

  drawBox(event) {
    const start = this.at(event);
    const shown = rectangle([...start, ...start], { class: "new" });
    this.over.append(shown);
    return (at, over) => {
      const box = boxBetween(start, this.at(at));
      outline(shown, box);
      if (!over) return;
      shown.remove();
      if (Math.min(box[2] - box[0], box[3] - box[1]) >= SMALLEST) this.drawn(box);
    };
  }

  drag(event, shape) {
    const { part, point } = event.target.dataset;
    const start = this.at(event);
    const { center, box, points } = shape;
    const [left, top, right, bottom] = box;
    shape.step();
    shape.chosen = point === undefined ? null : Number(point);
    return (at) => {
      const now = this.at(at);
      Object.assign(shape, { box, points });
      if (part?.startsWith("corner")) {
        const fixed = [[right, bottom], [left, bottom], [left, top], [right, top]][part.at(-1)];
        shape.scale(Math.max(0.05, distance(now, fixed) / distance(start, fixed)), fixed);
      } else if (part === "turn") {
        shape.turn(angle(now, center) - angle(start, center), center);
      } else {
        shape.move(now[0] - start[0], now[1] - start[1]);
      }
      this.changed();
    };
  }
}

const rectangle = (box, attributes) => outline(svg("rect", attributes), box);

function outline(element, [left, top, right, bottom]) {
  const sides = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  for (const [name, value] of Object.entries(sides)) element.setAttribute(name, value);
  return element;
}

const dots = (points, about = () => ({})) => points.map(([cx, cy], i) => svg("circle", { cx, cy, ...about(i) }));

function lines(points) {
  if (points.length !== 68) return [];
  return LINES.map(([first, last, closed]) => {
    const part = points.slice(first, last + 1);
    if (closed !== undefined) part.push(points[closed]);
    return svg("polyline", { points: part.join(" ") });
  });
}

const distance = ([ax, ay], [bx, by]) => Math.max(1e-6, Math.hypot(ax - bx, ay - by));
const angle = ([x, y], [cx, cy]) => Math.atan2(y - cy, x - cx);
