// Mouse, pen and touch on the board: draw, choose, drag, zoom. A finger that is not on a point moves
// the image, two fingers zoom; a tap is a click.
import { FEWEST, edgeAt, nearest, outlineAt } from "./xseg_shapes.js";

const REACH = { mouse: 8, pen: 10, touch: 22 };
const TAP = 9; // screen pixels that a finger may move during a tap

const where = (event) => [event.clientX, event.clientY];
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

export class Pointers {
  /** `tool` is the editor: its states, and what can be done to them. */
  constructor(board, tool) {
    this.board = board;
    this.tool = tool;
    this.down = new Map(); // where pointers touch the board, by id
    this.drag = null; // what a move does, as a call
    this.tap = null;
    const { surface } = board;
    const calls = {
      pointerdown: this.pressed, pointermove: this.moved, pointerup: this.released, pointercancel: this.cancelled,
      pointerleave: () => tool.hover(null),
    };
    for (const [name, call] of Object.entries(calls)) surface.addEventListener(name, (event) => tool.face && call.call(this, event));
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    surface.addEventListener("wheel", (event) => {
      event.preventDefault();
      board.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event);
    }, { passive: false });
  }

  /** How near to a line or point a pointer has to be, in pixels of the image. */
  reach(event) {
    return (REACH[event.pointerType] ?? REACH.mouse) / this.board.scale;
  }

  outline(event, place) {
    return outlineAt(this.tool.polygons, place, this.reach(event));
  }

  /** What of the selected polygon is under a pointer: a point, or a place on an edge. */
  target(event, place) {
    const points = this.tool.selectedPoints;
    const point = points ? nearest(points, place, this.reach(event)) : -1;
    if (point >= 0) return { point, place: points[point] };
    return points && this.changesPoints(event) ? edgeAt(points, place, this.reach(event)) : null;
  }

  changesPoints(event) {
    return event.ctrlKey || event.metaKey || this.tool.pointMode;
  }

  pressed(event) {
    const { board, tool } = this;
    board.element.focus({ preventScroll: true });
    board.surface.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, where(event));
    event.preventDefault();
    if (this.down.size === 2 && event.pointerType === "touch") {
      this.giveUp();
      this.drag = this.pinch;
    } else if (this.down.size > 1) {
      return;
    } else if (event.button === 1 || tool.panning || !tool.editable) {
      this.drag = this.pan;
    } else if (event.button === 0 && !this.grab(event)) {
      if (event.pointerType === "touch") this.tap = where(event);
      else this.click(event);
    }
  }

  /** Begin to drag a point of the selected polygon; with Ctrl, delete or insert one. */
  grab(event) {
    const { tool } = this;
    const place = this.board.toImage(event);
    const target = this.target(event, place);
    if (!target) return false;
    let { point } = target;
    if (this.changesPoints(event)) {
      if (point >= 0) {
        tool.deletePoint(point);
        return true;
      }
      tool.insertPoint(target);
      point = target.edge + 1;
    }
    tool.choosePoint(point);
    const [x, y] = tool.selectedPoints[point];
    this.drag = (at) => {
      const now = this.board.toImage(at);
      tool.dragPoint(point, [now[0] + x - place[0], now[1] + y - place[1]]);
    };
    return true;
  }

  click(event) {
    const { tool } = this;
    const place = tool.centered ?? this.board.toImage(event);
    const points = tool.state.open?.points;
    if (points) {
      if (points.length >= FEWEST && nearest([points[0]], place, this.reach(event)) === 0) tool.close();
      else tool.addPoint(place);
    } else if (tool.selected !== null) {
      tool.select(null);
    } else {
      const found = this.outline(event, place);
      if (found >= 0) tool.select(found);
      else tool.addPoint(place);
    }
  }

  moved(event) {
    const before = this.down.get(event.pointerId);
    if (before) this.down.set(event.pointerId, where(event));
    if (before && this.drag) {
      this.drag(event, before);
      return;
    }
    if (this.tap && distance(where(event), this.tap) > TAP) { // a finger that moves is no tap
      this.tap = null;
      this.drag = this.pan;
    }
    if (!this.drag) this.tool.hover(event);
  }

  pan(event, before) {
    this.board.pan(event.clientX - before[0], event.clientY - before[1]);
  }

  pinch(event, before) {
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    const now = where(event);
    const far = (at) => Math.max(distance(at, other), 1);
    this.board.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.board.zoomBy(far(now) / far(before), { clientX: (now[0] + other[0]) / 2, clientY: (now[1] + other[1]) / 2 });
  }

  released(event) {
    this.down.delete(event.pointerId);
    if (this.tap) this.click(event);
    const pinched = this.drag === this.pinch && this.down.size;
    this.giveUp();
    if (pinched) this.drag = this.pan;
  }

  cancelled(event) {
    this.down.delete(event.pointerId);
    this.giveUp();
  }

  giveUp() {
    this.tool.dropPoint();
    this.tap = this.drag = null;
  }
}
