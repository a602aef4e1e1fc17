// Curves over iterations: uPlot with zoom, log axis, smoothing and marks.
import { h } from "./dom.js";

const COLORS = ["#7ab7ff", "#ffb86b", "#6fd08c", "#d7a1ff", "#ff8a80", "#f2e06e", "#6fe0dd", "#ff9ed1"];
const MARK_COLORS = { save: "#5c6675", backup: "#8fb1ff", snapshot: "#6fd08c", rollback: "#ff8a80", options: "#f2c14e", start: "#a9b1bd", end: "#a9b1bd", problem: "#ff8a80" };
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

export class Curves {
  /** `onZoom(from, to)` is called with nulls for the whole range. */
  constructor(onZoom) {
    this.element = h("div", { class: "curves" });
    this.onZoom = onZoom;
    this.plot = null;
    this.data = null;
    this.logarithmic = false;
    this.smoothing = 0;
    this.marks = [];
    this.kinds = new Set();
    this.resizer = new ResizeObserver(() => this.fit());
    this.resizer.observe(this.element);
  }

  destroy() {
    this.resizer.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  fit() {
    const width = this.element.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  /** Draw `data` = {iterations, mean, low, high} for columns by name. */
  show(data, names, marks) {
    this.data = data;
    this.marks = marks;
    const key = JSON.stringify([names, this.logarithmic]);
    const rows = this.rows(names);
    if (this.plot && key === this.key) this.plot.setData(rows);
    else this.build(names, rows);
    this.key = key;
  }

  rows(names) {
    const rows = [this.data.iterations];
    for (const name of names) {
      const positive = (values) => (this.logarithmic ? values.map((v) => (v > 0 ? v : null)) : values);
      rows.push(positive(this.data.low[name] ?? []), positive(this.data.high[name] ?? []));
      rows.push(positive(smoothed(this.data.mean[name] ?? [], this.smoothing)));
    }
    return rows;
  }

  build(names, rows) {
    this.plot?.destroy();
    const series = [{ label: "iteration" }];
    const bands = [];
    names.forEach((name, i) => {
      const color = COLORS[i % COLORS.length];
      const faint = { stroke: "transparent", width: 0, points: { show: false } };
      series.push({ ...faint, label: `${name} low` }, { ...faint, label: `${name} high` });
      series.push({ label: name, stroke: color, width: 2, points: { show: false }, value: (u, v) => figure(v) });
      bands.push({ series: [3 * i + 2, 3 * i + 1], fill: `${color}2b` });
    });
    const axis = { stroke: "#a9b1bd", grid: { stroke: "#2c313a", width: 1 }, ticks: { stroke: "#2c313a" } };
    const options = {
      width: Math.max(200, this.element.clientWidth), height: HEIGHT, series, bands,
      legend: { show: false },
      scales: { x: { time: false }, y: this.logarithmic ? { distr: 3 } : {} },
      axes: [axis, { ...axis, size: 62, values: (u, ticks) => ticks.map((v) => (v === null ? "" : figure(v))) }],
      cursor: { drag: { x: true, y: false, setScale: false } },
      hooks: {
        draw: [(u) => this.drawMarks(u)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          const from = u.posToVal(u.select.left, "x");
          const to = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          this.onZoom(from, to);
        }],
        setCursor: [(u) => this.onCursor?.(u.cursor.idx)],
      },
    };
    this.plot = new window.uPlot(options, rows, this.element);
    this.plot.over.addEventListener("dblclick", () => this.onZoom(null, null));
  }

  drawMarks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    for (const [iteration, kind] of this.marks) {
      if (!this.kinds.has(kind) || iteration < u.scales.x.min || iteration > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(iteration, "x", true)) + 0.5;
      ctx.strokeStyle = MARK_COLORS[kind] ?? "#a9b1bd";
      ctx.lineWidth = kind === "save" ? 1 : 2;
      ctx.globalAlpha = kind === "save" ? 0.5 : 0.9;
      ctx.setLineDash(kind === "rollback" ? [] : [4, 4]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

/** The color in which the nth curve is drawn. */
export function colorOf(index) {
  return COLORS[index % COLORS.length];
}

/** The color of a kind of marks. */
export function markColor(kind) {
  return MARK_COLORS[kind] ?? "#a9b1bd";
}
