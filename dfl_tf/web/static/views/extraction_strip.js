// A strip of all frames: how many faces each has, and which were put there by hand.
import { button, drag, fill, h } from "../dom.js";

const KINDS = { none: "no face", one: "one face", several: "several faces", open: "not extracted", hand: "by hand" };
const COLORS = { none: "#e0655a", one: "#4f9a63", several: "#e0b04a", open: "#3a414d", hand: "#ffffff", here: "#ffd166" };
const HEIGHTS = { none: 0.3, one: 0.6, several: 1, open: 0.1 };
const FIRST = ["none", "several", "open", "one"]; // what is shown where many frames share a pixel
const HEIGHT = 44;

export function kindOf(faces) {
  return faces < 0 ? "open" : faces === 0 ? "none" : faces === 1 ? "one" : "several";
}

export class FrameStrip {
  /** `go` leads to a frame, `jump` to the next one of a kind. */
  constructor(go, jump) {
    this.jump = jump;
    const to = (event) => go(this.frameAt(event));
    const onpointerdown = (event) => {
      to(event);
      drag(this.canvas, event, to);
    };
    this.canvas = h("canvas.strip", { role: "img", height: HEIGHT, title: "Click: go to the frame", onpointerdown });
    this.legend = h("div.row.legend");
    this.element = h("div.strip-box", this.canvas, this.legend);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
  }

  frameAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = Math.floor(this.faces.length * (event.clientX - box.left) / box.width);
    return 1 + Math.min(Math.max(at, 0), this.faces.length - 1);
  }

  show(faces, byHand, frame) {
    Object.assign(this, { faces, byHand, frame });
    const counts = { none: 0, one: 0, several: 0, open: 0 };
    for (const each of faces) counts[kindOf(each)]++;
    const told = Object.keys(counts).filter((kind) => counts[kind]).map((kind) => `${counts[kind]} with ${KINDS[kind]}`);
    this.canvas.setAttribute("aria-label", `${faces.length} frames: ${told.join(", ")}; ${byHand.size} by hand`);
    counts.hand = byHand.size;
    const key = JSON.stringify(counts);
    if (key !== this.key) fill(this.legend, Object.entries(counts).map((each) => this.counted(...each)));
    this.key = key;
    this.draw();
  }

  counted(kind, count) {
    if (!count && kind !== "hand") return null;
    const dot = h("span.dot");
    dot.style.background = COLORS[kind];
    const props = { "data-kind": kind, disabled: !count, title: "Go to the next one" };
    return button([dot, `${KINDS[kind]} ${count}`], () => this.jump(kind), props);
  }

  draw() {
    const { canvas, faces } = this;
    if (!canvas.clientWidth || !faces) return;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, HEIGHT].map((side) => Math.round(side * scale));
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    const columns = Math.min(faces.length, width);
    const wide = width / columns;
    const frameOf = (column) => Math.floor(column * faces.length / columns);
    const bar = (color, ...place) => {
      pen.fillStyle = COLORS[color];
      pen.fillRect(...place);
    };
    for (let i = 0; i < columns; i++) {
      const first = frameOf(i);
      const here = faces.slice(first, frameOf(i + 1));
      const kinds = new Set(here.map(kindOf));
      const kind = FIRST.find((each) => kinds.has(each));
      const left = Math.round(i * wide);
      const across = Math.round((i + 1) * wide) - left - (wide > 4 ? 1 : 0);
      const tall = Math.round((height - 8 * scale) * HEIGHTS[kind]);
      bar(kind, left, height - tall, across, tall);
      if (here.some((_, k) => this.byHand.has(first + k + 1))) bar("hand", left, 0, Math.max(across, 2), 4 * scale);
    }
    bar("here", Math.round((this.frame - 0.5) * width / faces.length - scale), 0, Math.max(2 * scale, 3), height);
  }

  end() {
    this.watch.disconnect();
  }
}
