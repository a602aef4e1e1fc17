// A box with 68 points that is moved, scaled and turned as one shape, or point by point.

const STEPS = 200;

export class Shape {
  chosen = null; // a point
  before = [];

  /** `face`: which face of the frame it replaces. */
  constructor({ box, points, face = null }) {
    Object.assign(this, { box, points, face });
  }

  get plain() {
    return { box: this.box, points: this.points, face: this.face };
  }

  /** Remember how it is (arrays are replaced, never changed); what follows is undone as one step. */
  step() {
    this.before = [...this.before.slice(1 - STEPS), [this.box, this.points]];
  }

  undo() {
    const before = this.before.pop();
    if (before) [this.box, this.points] = before;
    return Boolean(before);
  }

  get center() {
    const [left, top, right, bottom] = this.box;
    return [(left + right) / 2, (top + bottom) / 2];
  }

  /** Move the chosen point, or the whole. */
  move(dx, dy) {
    const { chosen } = this;
    const whole = chosen === null;
    this.points = this.points.map(([x, y], i) => (whole || i === chosen ? [x + dx, y + dy] : [x, y]));
    if (whole) this.box = this.box.map((side, i) => side + (i % 2 ? dy : dx));
  }

  scale(factor, [x, y] = this.center) {
    const at = ([px, py]) => [x + (px - x) * factor, y + (py - y) * factor];
    const [left, top, right, bottom] = this.box;
    this.points = this.points.map(at);
    this.box = [...at([left, top]), ...at([right, bottom])];
  }

  /** Turn by an angle in radians; the box stays upright, as boxes of faces are. */
  turn(angle, [x, y] = this.center) {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    this.points = this.points.map(([px, py]) => [
      x + (px - x) * cos - (py - y) * sin, y + (px - x) * sin + (py - y) * cos,
    ]);
  }
}

/** The box between two corners, whichever they are. */
export function boxBetween([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}
