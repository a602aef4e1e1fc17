// Polygons of a face, in pixels of its image, and all their earlier states. Nothing here is changed
// in place: a state, once it is there, stays as it is, so undo needs no copies.

export const INCLUDE = 1;
export const EXCLUDE = 0;
export const FEWEST = 3;

/** All states of a face; `open` is the polygon under way. */
export class History {
  constructor(polygons) {
    this.states = [{ polygons, open: null }];
    this.at = 0;
  }

  get now() {
    return this.states[this.at];
  }

  add(change) {
    this.states.splice(this.at + 1, Infinity, { ...this.now, ...change });
    this.at += 1;
  }

  can(step) {
    return this.at + step in this.states;
  }

  move(step) {
    if (this.can(step)) this.at += step;
  }
}

export function samePolygons(a, b) {
  return a !== null && b !== null && JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));
}

/** Include polygons first, as they are stored and painted. */
function ordered(polygons) {
  return polygons.toSorted((a, b) => b.kind - a.kind).map(({ kind, points }) => [kind, points]);
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A hundredth of a pixel is enough, and keeps what is sent short. */
export const rounded = (point) => point.map((value) => Math.round(value * 100) / 100);

/** The index of the place that is nearest to another, within a reach; -1 if there is none. */
export function nearest(places, to, reach) {
  let best = -1;
  places.forEach((place, i) => {
    const far = place ? Math.hypot(place[0] - to[0], place[1] - to[1]) : Infinity;
    if (far <= reach) [best, reach] = [i, far];
  });
  return best;
}

/** The edge nearest to a place, within a reach: the index of its first point and the place on it. */
export function edgeAt(points, place, reach) {
  const places = points.map((a, i) => {
    const b = points[(i + 1) % points.length];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const along = dx || dy ? ((place[0] - a[0]) * dx + (place[1] - a[1]) * dy) / (dx * dx + dy * dy) : 0;
    const part = clamp(along, 0, 1);
    return [a[0] + part * dx, a[1] + part * dy];
  });
  const edge = nearest(places, place, reach);
  return edge < 0 ? null : { edge, place: places[edge] };
}

/** The polygon whose outline is nearest to a place, within a reach; -1 if there is none. */
export function outlineAt(polygons, place, reach) {
  return nearest(polygons.map(({ points }) => edgeAt(points, place, reach)?.place), place, reach);
}
