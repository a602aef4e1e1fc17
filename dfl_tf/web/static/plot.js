// Curves over iterations: uPlot with zoom, log axis, smoothing and marks.
import { h } from "./dom.js";

const COLORS = ["#7ab7ff", "#ffb86b", "#6fd08c", "#d7a1ff", "#ff8a80", "#f2e06e", "#6fe0dd", "#ff9ed1"];
const MARK_COLORS = { save: "#5c6675", backup: "#8fb1ff", snapshot: "#6fd08c", rollback: "#ff8a80", options: "#f2c14e", problem: "#ff8a80" };
const PALE = "#a9b1bd";
const GRID = "#2c313a";
const HEIGHT = 320;

/** Values smoothed by an exponential average; 0 leaves them, towards 1 more. */
export function smoothed(values, share) {
  if (!share) return values;
  let kept = null;
  return values.map((value) => {
    if (value === null) return null;
    kept = kept === null ? value : share * kept + (1 - share) * value;
    return kept;
  });
}

/** Text for a number: few digits, no noise. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toFixed(4);
}

/** The color in which the nth curve is drawn. */
export function colorOf(index) {
  return COLORS[index % COLORS.length];
}

/** The color of a kind of marks. */
export function markColor(kind) {
  return MARK_COLORS[kind] ?? PALE;
}

export class Curves {
  /** `onZoom(from, to)` is called without them for the whole range; `onCursor(index of an iteration)` with null outside. */
  constructor(onZoom, onCursor) {
    Object.assign(this, { onZoom, onCursor, logarithmic: false, smoothing: 0, kinds: new Set() });
    this.element = h("div.curves");
    this.resizer = new ResizeObserver(() => this.fit());
    this.resizer.observe(this.element);
  }

  end() {
    this.resizer.disconnect();
    this.plot?.destroy();
  }

  fit() {
    const width = this.element.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  /** Draw `data` = {iterations, mean, low, high} for columns by name. */
  show(data, names, marks) {
    this.marks = marks;
    const key = JSON.stringify([names, this.logarithmic]);
    const rows = this.rows(data, names);
    if (this.plot && key === this.key) this.plot.setData(rows);
    else this.build(names, rows);
    this.key = key;
  }

  rows({ iterations, mean, low, high }, names) {
    const positive = (values = []) => (this.logarithmic ? values.map((value) => (value > 0 ? value : null)) : values);
    return [iterations, ...names.flatMap((name) =>
      [positive(low[name]), positive(high[name]), positive(smoothed(mean[name] ?? [], this.smoothing))])];
  }

  build(names, rows) {
    this.plot?.destroy();
    const points = { show: false };
    const faint = { stroke: "transparent", width: 0, points };
    const series = names.flatMap((label, i) => [faint, faint, { label, stroke: colorOf(i), width: 2, points }]);
    const bands = names.map((_, i) => ({ series: [3 * i + 2, 3 * i + 1], fill: `${colorOf(i)}2b` }));
    const axis = { stroke: PALE, grid: { stroke: GRID, width: 1 }, ticks: { stroke: GRID } };
    const ticks = (plot, values) => values.map((value) => (value === null ? "" : figure(value)));
    this.plot = new window.uPlot({
      width: Math.max(200, this.element.clientWidth), height: HEIGHT, series: [{}, ...series], bands, legend: { show: false },
      scales: { x: { time: false }, y: this.logarithmic ? { distr: 3 } : {} },
      axes: [axis, { ...axis, size: 62, values: ticks }],
      cursor: { drag: { x: true, y: false, setScale: false } },
      hooks: {
        draw: [(plot) => this.drawMarks(plot)],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => this.onCursor(plot.cursor.idx)],
      },
    }, rows, this.element);
    this.plot.over.addEventListener("dblclick", () => this.onZoom());
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const ends = [left, left + width].map((x) => plot.posToVal(x, "x"));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onZoom(...ends);
  }

  drawMarks({ ctx, bbox, scales: { x: { min, max } }, valToPos }) {
    ctx.save();
    for (const [iteration, kind] of this.marks) {
      if (!this.kinds.has(kind) || iteration < min || iteration > max) continue;
      const x = Math.round(valToPos(iteration, "x", true)) + 0.5;
      ctx.strokeStyle = markColor(kind);
      [ctx.lineWidth, ctx.globalAlpha] = kind === "save" ? [1, 0.5] : [2, 0.9];
      ctx.setLineDash(kind === "rollback" ? [] : [4, 4]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}
