// A box with 68 points that is moved, scaled and turned as one shape, or point by point.

const STEPS = 200;

export class Shape {
  constructor({ box, points, face = null }) {
    this.box = [...box];
    this.points = points.map((point) => [...point]);
    this.face = face; // which face of the frame it replaces
    this.chosen = null; // a point
    this.before = [];
  }

  get plain() {
    return { box: this.box, points: this.points, face: this.face };
  }

  /** Remember how it is; what follows is undone as one step. */
  step() {
    this.before.push(JSON.stringify([this.box, this.points]));
    if (this.before.length > STEPS) this.before.shift();
  }

  undo() {
    if (!this.before.length) return false;
    [this.box, this.points] = JSON.parse(this.before.pop());
    return true;
  }

  take(points) {
    this.points = points.map((point) => [...point]);
  }

  get center() {
    const [left, top, right, bottom] = this.box;
    return [(left + right) / 2, (top + bottom) / 2];
  }

  move(dx, dy) {
    if (this.chosen !== null) {
      this.points[this.chosen] = plus(this.points[this.chosen], dx, dy);
      return;
    }
    this.points = this.points.map((point) => plus(point, dx, dy));
    this.box = this.box.map((side, i) => side + (i % 2 ? dy : dx));
  }

  scale(factor, [x, y] = this.center) {
    const at = ([px, py]) => [x + (px - x) * factor, y + (py - y) * factor];
    this.points = this.points.map(at);
    const [left, top, right, bottom] = this.box;
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

function plus([x, y], dx, dy) {
  return [x + dx, y + dy];
}
