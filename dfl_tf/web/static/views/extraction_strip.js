// A strip of all frames: how many faces each has, and which were put there by hand.
import { fill, h } from "../dom.js";

const KINDS = { none: "no face", one: "one face", several: "several faces", open: "not extracted" };
const COLORS = { none: "#e0655a", one: "#4f9a63", several: "#e0b04a", open: "#3a414d", hand: "#ffffff", here: "#ffd166" };
const HEIGHTS = { none: 0.3, one: 0.6, several: 1, open: 0.1 };
const FIRST = ["none", "several", "open", "one"]; // what is shown where many frames share a pixel
const HEIGHT = 44;

export function kindOf(faces) {
  return faces < 0 ? "open" : faces === 0 ? "none" : faces === 1 ? "one" : "several";
}

export class FrameStrip {
  constructor(go) {
    this.canvas = h("canvas", { class: "strip", role: "img", height: HEIGHT, title: "Click: go to the frame" });
    this.legend = h("div", { class: "row legend" });
    this.element = h("div", { class: "strip-box" }, this.canvas, this.legend);
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      const to = (at) => go(this.frameAt(at));
      to(event);
      this.canvas.onpointermove = to;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, () => { this.canvas.onpointermove = null; });
    }
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.canvas);
  }

  frameAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = Math.floor(this.faces.length * (event.clientX - box.left) / box.width);
    return 1 + Math.min(Math.max(at, 0), this.faces.length - 1);
  }

  /** Show these frames; `jump` leads to the next frame of a kind. */
  show(faces, byHand, frame, jump) {
    Object.assign(this, { faces, byHand, frame });
    const counts = { none: 0, one: 0, several: 0, open: 0 };
    for (const each of faces) counts[kindOf(each)]++;
    const told = Object.keys(KINDS).filter((kind) => counts[kind]).map((kind) => `${counts[kind]} with ${KINDS[kind]}`);
    this.canvas.setAttribute("aria-label", `${faces.length} frames: ${told.join(", ")}; ${byHand.size} by hand`);
    const key = JSON.stringify([counts, byHand.size]);
    if (key !== this.key) {
      this.key = key;
      fill(this.legend, [...Object.keys(KINDS), "hand"].map((kind) => {
        const number = kind === "hand" ? byHand.size : counts[kind];
        const dot = h("span", { class: "dot" });
        dot.style.background = COLORS[kind];
        return number || kind === "hand"
          ? h("button", { "data-kind": kind, disabled: !number, title: "Go to the next one", onclick: () => jump(kind) },
            dot, `${kind === "hand" ? "by hand" : KINDS[kind]} ${number}`)
          : null;
      }));
    }
    this.draw();
  }

  draw() {
    const { canvas, faces } = this;
    if (!faces?.length || !canvas.clientWidth) return;
    const scale = devicePixelRatio || 1;
    const width = canvas.width = Math.round(canvas.clientWidth * scale);
    const height = canvas.height = Math.round(HEIGHT * scale);
    const at = canvas.getContext("2d");
    const count = faces.length;
    const columns = Math.min(count, width);
    for (let i = 0; i < columns; i++) {
      const first = Math.floor(i * count / columns);
      const last = Math.max(first + 1, Math.floor((i + 1) * count / columns));
      const kinds = new Set();
      let hand = false;
      for (let k = first; k < last; k++) {
        kinds.add(kindOf(faces[k]));
        hand ||= this.byHand.has(k + 1);
      }
      const kind = FIRST.find((each) => kinds.has(each));
      const left = Math.round(i * width / columns);
      const wide = Math.max(1, Math.round((i + 1) * width / columns) - left - (width / columns > 4 ? 1 : 0));
      at.fillStyle = COLORS[kind];
      const tall = Math.round((height - 8 * scale) * HEIGHTS[kind]);
      at.fillRect(left, height - tall, wide, tall);
      if (hand) {
        at.fillStyle = COLORS.hand;
        at.fillRect(left, 0, Math.max(wide, 2), 4 * scale);
      }
    }
    at.fillStyle = COLORS.here;
    at.fillRect(Math.round((this.frame - 0.5) * width / count - scale), 0, Math.max(2 * scale, 3), height);
  }

  end() {
    this.watch.disconnect();
  }
}
