// Where src and dst look: two maps of yaw and pitch, side by side.
import { button, fill, h, row } from "../dom.js";
import { Panel } from "./faces_panel.js";

const degrees = (edges, i) => `${edges[i]}° to ${edges[i + 1]}°`;

/** The first and the last cell of an axis that hold any faces. */
function span(edges, any) {
  const cells = [...edges.slice(1).keys()].filter(any);
  return [cells[0], cells.at(-1)];
}

export class CoverageMaps extends Panel {
  constructor(view) {
    super(view, h("div.coverage", h("p.dim", "…")), () => "coverage");
  }

  show(found) {
    const told = JSON.stringify(found);
    if (told === this.told) return; // the focus stays where it is
    this.told = told;
    const { edges } = found;
    const sides = Object.entries(found.sides).map(([name, side]) => ({ name, ...side }));
    if (!sides.length) return fill(this.element, h("p", "There are no aligned faces of src or dst yet."));
    const unknown = sides.filter((side) => side.unknown);
    const measure = () => this.view.measure({ places: unknown.map((side) => side.place), columns: ["yaw", "pitch"] });
    const rows = span(edges.pitch, (y) => sides.some(({ counts }) => counts[y].some(Boolean)));
    const columns = span(edges.yaw, (x) => sides.some(({ counts }) => counts.some((each) => each[x])));
    const gaps = new Map(found.gaps.map(([y, x, near]) => [`${y},${x}`, near]));
    fill(this.element,
      unknown.length > 0 && row(
        h("span", unknown.map((side) => `${side.unknown} of ${side.faces} faces of ${side.name} were not looked at yet.`).join(" ")),
        button("Measure", measure, { class: "write main", disabled: this.page.readOnly })),
      rows[0] !== undefined && [
        h("div.maps", sides.map((side) => this.map(side, edges, rows, columns, side.name === "dst" ? gaps : new Map()))),
        h("p.dim", "Brighter: more faces. Red: dst looks there and src never does; orange: src does beside it. A click shows the faces."),
      ]);
    this.element.dataset.faces = sides.map((side) => side.faces - side.unknown).join(" ");
  }

  map(side, edges, rows, columns, gaps) {
    const width = columns[1] - columns[0] + 1;
    const cells = [];
    for (let y = rows[1]; y >= rows[0]; y--) { // looking up stands above
      for (let x = columns[1]; x >= columns[0]; x--) cells.push(this.cell(side, edges, y, x, gaps.get(`${y},${x}`)));
    }
    const grid = h("div.map", { role: "group", "aria-label": `Yaw and pitch of ${side.name}`, onkeydown: (event) => step(event, cells, width) }, cells);
    grid.style.gridTemplateColumns = `repeat(${width}, minmax(0, 1fr))`;
    const first = cells.find((cell) => !cell.disabled);
    if (first) first.tabIndex = 0;
    return h("section", h("h3", `${side.name}: ${side.faces - side.unknown} faces`), grid,
      h("div.axis", h("span", `yaw ${edges.yaw[columns[1] + 1]}°`), h("span", `${edges.yaw[columns[0]]}°`)),
      h("div.dim", `pitch ${edges.pitch[rows[0]]}° to ${edges.pitch[rows[1] + 1]}°`));
  }

  cell({ name, place, counts }, edges, y, x, near) {
    const count = counts[y][x];
    const lack = near === undefined ? "" : near ? "; src only beside it" : "; src has none";
    const text = `${name}: yaw ${degrees(edges.yaw, x)}, pitch ${degrees(edges.pitch, y)}: ${count} faces${lack}`;
    const cell = h(`button.cell${lack && ".lacking"}${near ? ".beside-it" : ""}`, {
      tabIndex: -1, title: text, "aria-label": text, disabled: !count, "data-count": count,
      onclick: () => this.view.showPose(place, [y, x], text),
    });
    const most = Math.max(1, ...counts.flat());
    cell.style.setProperty("--share", `${Math.round(18 + 82 * Math.sqrt(count / most))}%`);
    return cell;
  }
}

/** The arrow keys go from cell to cell that has faces; one of them is reached by Tab. */
function step(event, cells, width) {
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.code];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  let at = cells.indexOf(document.activeElement) + by;
  while (cells[at]?.disabled) at += by;
  if (!cells[at]) return;
  for (const cell of cells) cell.tabIndex = -1;
  cells[at].tabIndex = 0;
  cells[at].focus();
}
