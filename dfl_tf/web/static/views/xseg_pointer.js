// Mouse, pen and touch on the board: draw, choose, drag, zoom. A finger that is not on a point moves
// the image, two fingers zoom; a tap is a click.
import { edgeAt, outlineAt, pointAt } from "./xseg_shapes.js";

const REACH = { mouse: 8, pen: 10, touch: 22 };
const TAP = 9; // screen pixels that a finger may move during a tap

export class Pointers {
  /** `tool` is the editor: its states, and what can be done to them. */
  constructor(board, tool) {
    this.board = board;
    this.tool = tool;
    this.down = new Map(); // pointers that touch the board, by id
    this.drag = null; // {polygon, point} or "pan" or "pinch"
    this.tap = null;
    const { canvas } = board; // not what lies over it
    const listen = (name, call) => canvas.addEventListener(name, (event) => tool.face && call.call(this, event));
    listen("pointerdown", this.pressed);
    listen("pointermove", this.moved);
    listen("pointerup", this.released);
    listen("pointercancel", this.cancelled);
    listen("pointerleave", () => tool.hover(null, 0));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      board.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event);
    }, { passive: false });
  }

  /** How near to a line or point a pointer has to be, in pixels of the image. */
  reach(event) {
    return (REACH[event.pointerType] ?? REACH.mouse) / this.board.scale;
  }

  outline(polygons, place, reach) {
    return outlineAt(polygons, place, reach);
  }

  /** What a click with Ctrl would do: delete a point, or insert one on an edge. */
  hint(points, place, reach) {
    const point = pointAt(points, place, reach);
    if (point >= 0) return { what: "delete", place: points[point] };
    const edge = edgeAt(points, place, reach);
    return edge && { what: "insert", place: edge.place };
  }

  pressed(event) {
    const { board, tool } = this;
    board.element.focus({ preventScroll: true });
    board.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, [event.clientX, event.clientY]);
    event.preventDefault();
    if (this.down.size === 2 && event.pointerType === "touch") {
      this.giveUp();
      this.drag = "pinch";
      return;
    }
    if (this.down.size > 1) return;
    if (event.button === 1 || tool.panning || !tool.editable) {
      this.drag = "pan";
      return;
    }
    if (event.button !== 0) return;
    if (event.pointerType === "touch") {
      if (!this.grab(event)) this.tap = [event.clientX, event.clientY];
      return;
    }
    if (!this.grab(event)) this.click(event);
  }

  /** Begin to drag a point of the selected polygon; with Ctrl, delete or insert one. */
  grab(event) {
    const { tool } = this;
    const points = tool.selectedPoints;
    if (!points) return false;
    const place = this.board.toImage(event);
    const reach = this.reach(event);
    let point = pointAt(points, place, reach);
    if (event.ctrlKey || event.metaKey || tool.pointMode) {
      if (point >= 0) {
        tool.deletePoint(point);
        return true;
      }
      const edge = edgeAt(points, place, reach);
      if (!edge) return false;
      tool.insertPoint(edge);
      point = edge.index + 1;
    }
    if (point < 0) return false;
    tool.choosePoint(point);
    const [x, y] = tool.selectedPoints[point];
    this.drag = { point, offset: [x - place[0], y - place[1]], moved: false };
    return true;
  }

  click(event) {
    const { tool } = this;
    const place = tool.centered ?? this.board.toImage(event);
    const reach = this.reach(event);
    if (tool.state.open) {
      const { points } = tool.state.open;
      if (points.length >= 3 && pointAt([points[0]], place, reach) === 0) tool.close();
      else tool.addPoint(place);
    } else if (tool.selected !== null) {
      tool.select(null);
    } else {
      const found = outlineAt(tool.state.polygons, place, reach);
      if (found >= 0) tool.select(found);
      else tool.addPoint(place);
    }
  }

  moved(event) {
    const { board, tool } = this;
    const before = this.down.get(event.pointerId);
    if (before) this.down.set(event.pointerId, [event.clientX, event.clientY]);
    if (!before || !this.drag) {
      if (this.tap) this.slide(event);
      if (!this.drag) tool.hover(board.toImage(event), this.reach(event), event);
      return;
    }
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    if (this.drag === "pan") board.pan(dx, dy);
    else if (this.drag === "pinch") this.pinch(event, before);
    else {
      const place = board.toImage(event);
      this.drag.moved = true;
      tool.dragPoint(this.drag.point, [place[0] + this.drag.offset[0], place[1] + this.drag.offset[1]]);
    }
  }

  /** A finger that moves is no tap: it moves the image. */
  slide(event) {
    if (Math.hypot(event.clientX - this.tap[0], event.clientY - this.tap[1]) <= TAP) return;
    this.tap = null;
    this.drag = "pan";
  }

  pinch(event, before) {
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    const now = [event.clientX, event.clientY];
    const far = (a) => Math.max(Math.hypot(a[0] - other[0], a[1] - other[1]), 1);
    this.board.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.board.zoomBy(far(now) / far(before), { clientX: (now[0] + other[0]) / 2, clientY: (now[1] + other[1]) / 2 });
  }

  released(event) {
    this.down.delete(event.pointerId);
    if (this.tap) this.click(event);
    this.tap = null;
    if (this.drag?.moved) this.tool.dropPoint();
    if (this.drag === "pinch" && this.down.size) this.drag = "pan";
    else this.drag = null;
  }

  cancelled(event) {
    this.down.delete(event.pointerId);
    this.giveUp();
  }

  giveUp() {
    if (this.drag?.moved) this.tool.dropPoint();
    this.tap = this.drag = null;
  }
}
