// Where src and dst look: two maps of yaw and pitch, side by side.
import { fill, h } from "../dom.js";

const range = (edges, i) => `${edges[i]}° to ${edges[i + 1]}°`;

export class CoverageMaps {
  /** `choose(place, cell)` shows the faces of a cell; `measure(places)` looks at those that were not. */
  constructor(page, choose, measure) {
    this.page = page;
    this.choose = choose;
    this.measure = measure;
    this.element = h("div", { class: "coverage" }, h("p", { class: "dim" }, "…"));
  }

  async load() {
    try {
      this.show(await this.page.get("coverage"));
    } catch (error) {
      fill(this.element, h("p", { class: "error" }, error.message));
    }
  }

  show(found) {
    const sides = Object.entries(found.sides);
    if (!sides.length) return fill(this.element, h("p", {}, "There are no aligned faces of src or dst yet."));
    const unknown = sides.filter(([, side]) => side.unknown);
    const used = (axis) => {
      const places = [];
      for (const [, side] of sides) side.counts.forEach((row, y) => row.forEach((count, x) => { if (count) places.push(axis === "y" ? y : x); }));
      return places.length ? [Math.min(...places), Math.max(...places)] : null;
    };
    const rows = used("y");
    const columns = used("x");
    const gaps = new Map(found.gaps.map(([y, x, near]) => [`${y},${x}`, near]));
    fill(this.element,
      unknown.length ? h("div", { class: "row" },
        h("span", {}, unknown.map(([name, side]) => `${side.unknown} of ${side.faces} faces of ${name} were not looked at yet.`).join(" ")),
        h("button", { class: "write main", disabled: this.page.readOnly, onclick: () => this.measure(unknown.map(([, side]) => side.place)) }, "Measure")) : null,
      rows ? h("div", { class: "maps" }, sides.map(([name, side]) => this.map(name, side, found.edges, rows, columns, name === "dst" ? gaps : new Map()))) : null,
      rows ? h("p", { class: "dim" }, "Brighter: more faces. Red: dst looks there and src never does; orange: src does beside it. A click shows the faces.") : null);
    this.element.dataset.faces = sides.map(([, side]) => side.faces - side.unknown).join(" ");
  }

  map(name, side, edges, rows, columns, gaps) {
    const most = Math.max(1, ...side.counts.flat());
    const width = columns[1] - columns[0] + 1;
    const cells = [];
    for (let y = rows[1]; y >= rows[0]; y--) { // looking up stands above
      for (let x = columns[1]; x >= columns[0]; x--) cells.push(this.cell(name, side, edges, y, x, most, gaps.get(`${y},${x}`)));
    }
    const grid = h("div", { class: "map", role: "group", "aria-label": `Yaw and pitch of ${name}`, onkeydown: (event) => this.key(event, grid, width) }, cells);
    grid.style.gridTemplateColumns = `repeat(${width}, minmax(0, 1fr))`;
    const first = cells.find((cell) => !cell.disabled);
    if (first) first.tabIndex = 0;
    return h("section", {}, h("h3", {}, `${name}: ${side.faces - side.unknown} faces`), grid,
      h("div", { class: "axis" }, h("span", {}, `yaw ${edges.yaw[columns[1] + 1]}°`), h("span", {}, `${edges.yaw[columns[0]]}°`)),
      h("div", { class: "dim" }, `pitch ${edges.pitch[rows[0]]}° to ${edges.pitch[rows[1] + 1]}°`));
  }

  cell(name, side, edges, y, x, most, near) {
    const count = side.counts[y][x];
    const text = `${name}: yaw ${range(edges.yaw, x)}, pitch ${range(edges.pitch, y)}: ${count} faces${near === undefined ? "" : near ? "; src only beside it" : "; src has none"}`;
    const cell = h("button", {
      class: `cell${near === undefined ? "" : near ? " lacking beside-it" : " lacking"}`, tabIndex: -1, title: text, "aria-label": text,
      disabled: !count, "data-cell": `${y},${x}`, "data-count": count,
      onclick: () => this.choose(side.place, [y, x], text),
    });
    if (count) cell.style.setProperty("--share", `${Math.round(18 + 82 * Math.sqrt(count / most))}%`);
    return cell;
  }

  key(event, grid, width) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.code];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const cells = [...grid.children];
    let at = cells.indexOf(document.activeElement) + step;
    while (cells[at]?.disabled) at += step;
    if (!cells[at]) return;
    for (const cell of cells) cell.tabIndex = -1;
    cells[at].tabIndex = 0;
    cells[at].focus();
  }
}
