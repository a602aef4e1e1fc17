// Polygons of a face, in pixels of its image, and all their earlier states. Nothing here is changed
// in place: a state, once it is there, stays as it is, so undo needs no copies.

export const INCLUDE = 1;
export const EXCLUDE = 0;
export const FEWEST = 3;

const EMPTY = Object.freeze({ polygons: Object.freeze([]), open: null });

/** All states of a face; `open` is the polygon under way. */
export class History {
  constructor(polygons = [], open = null) {
    this.states = [{ ...EMPTY, polygons, open }];
    this.at = 0;
  }

  get now() {
    return this.states[this.at];
  }

  add(change) {
    this.states.splice(this.at + 1);
    this.states.push({ ...this.now, ...change });
    this.at = this.states.length - 1;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.states.length - 1;
  }

  move(step) {
    this.at = Math.min(Math.max(this.at + step, 0), this.states.length - 1);
  }
}

export function samePolygons(a, b) {
  return a !== null && b !== null && JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));
}

/** Include polygons first, as they are stored and painted. */
function ordered(polygons) {
  return [...polygons].sort((a, b) => b.kind - a.kind).map(({ kind, points }) => [kind, points]);
}

export function replaced(list, index, value) {
  return list.map((each, i) => (i === index ? value : each));
}

export function without(list, index) {
  return list.filter((_, i) => i !== index);
}

/** A hundredth of a pixel is enough, and keeps what is sent short. */
export function rounded([x, y]) {
  return [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
}

export function moved(points, dx, dy) {
  return points.map(([x, y]) => rounded([x + dx, y + dy]));
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

/** The point nearest to a place, within a reach; -1 if there is none. */
export function pointAt(points, place, reach) {
  let best = -1;
  let least = reach;
  points.forEach((point, i) => {
    const far = distance(point, place);
    if (far <= least) [best, least] = [i, far];
  });
  return best;
}

/** The edge nearest to a place, within a reach: the index of its first point and the place on it. */
export function edgeAt(points, place, reach) {
  let best = null;
  let least = reach;
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const along = dx || dy ? ((place[0] - a[0]) * dx + (place[1] - a[1]) * dy) / (dx * dx + dy * dy) : 0;
    const t = Math.min(Math.max(along, 0), 1);
    const on = [a[0] + t * dx, a[1] + t * dy];
    const far = distance(on, place);
    if (far <= least) [best, least] = [{ index: i, place: on }, far];
  });
  return best;
}

/** The polygon whose outline is nearest to a place, within a reach; -1 if there is none. */
export function outlineAt(polygons, place, reach) {
  let best = -1;
  let least = reach;
  polygons.forEach(({ points }, i) => {
    const edge = edgeAt(points, place, least);
    if (edge) [best, least] = [i, distance(edge.place, place)];
  });
  return best;
}
