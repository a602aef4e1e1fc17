// Where src and dst look: two maps of yaw and pitch, side by side.
import { button, fill, group, h, row } from "../dom.js";
import { Panel } from "./faces_panel.js";

const degrees = ([low, high]) => `${low}° to ${high}°`;

export class CoverageMaps extends Panel {
  constructor(view) {
    super(view, h("div.coverage", h("p.dim", "…")), () => "coverage");
  }

  show(found) {
    const told = JSON.stringify(found);
    if (told === this.told) return; // the focus stays where it is
    this.told = told;
    const sides = Object.entries(found.sides).map(([name, side]) => ({ name, ...side }));
    if (!sides.length) return fill(this.element, h("p", "There are no aligned faces of src or dst yet."));
    const unknown = sides.filter((side) => side.unknown);
    const measure = () => this.view.measure({ places: unknown.map((side) => side.place), columns: ["yaw", "pitch"] });
    fill(this.element,
      unknown.length > 0 && row(
        h("span", unknown.map((side) => `${side.unknown} of ${side.faces} faces of ${side.name} were not looked at yet.`).join(" ")),
        button("Measure", measure, { class: "write main", disabled: this.page.readOnly })),
      found.rows.length > 0 && [
        h("div.maps", sides.map((side) => this.map(side, found))),
        h("p.dim", "Brighter: more faces. Red: dst looks there and src never does; orange: src does beside it. A click shows the faces."),
      ]);
    this.element.dataset.faces = sides.map((side) => side.faces - side.unknown).join(" ");
  }

  map({ name, place, faces, unknown, counts, lacking }, { rows, columns }) {
    const most = Math.max(1, ...counts.flat());
    const cells = rows.flatMap(([y, ...pitch], i) => columns.map(([x, ...yaw], j) => {
      const [count, near] = [counts[i][j], lacking?.[i][j] ?? null];
      const lack = near === null ? "" : near ? "; src only beside it" : "; src has none";
      const text = `${name}: yaw ${degrees(yaw)}, pitch ${degrees(pitch)}: ${count} faces${lack}`;
      const cell = h(`button.cell${lack && ".lacking"}${near ? ".beside-it" : ""}`, {
        tabIndex: -1, title: text, "aria-label": text, disabled: !count, "data-count": count,
        onclick: () => this.view.showPose(place, [y, x], text),
      });
      cell.style.setProperty("--share", `${Math.round(18 + 82 * Math.sqrt(count / most))}%`);
      return cell;
    }));
    const grid = group(`Yaw and pitch of ${name}`, cells);
    grid.className = "map";
    grid.addEventListener("keydown", (event) => step(event, cells, columns.length));
    grid.style.gridTemplateColumns = `repeat(${columns.length}, minmax(0, 1fr))`;
    const first = cells.find((cell) => !cell.disabled);
    if (first) first.tabIndex = 0;
    return h("section", h("h3", `${name}: ${faces - unknown} faces`), grid,
      h("div.axis", h("span", `yaw ${columns[0][2]}°`), h("span", `${columns.at(-1)[1]}°`)),
      h("div.dim", `pitch ${degrees([rows.at(-1)[1], rows[0][2]])}`));
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
