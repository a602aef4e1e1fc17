// What can be done to the polygons of a face: each change is a state of its history, and is saved.
import { COLORS } from "./xseg_board.js";
import { EXCLUDE, FEWEST, INCLUDE, moved, replaced, rounded, without } from "./xseg_shapes.js";

/** Of the editor, all that concerns the face that is shown; `saver`, `board`, `faces` are there. */
export class Drawing {
  constructor(page) {
    this.page = page;
    this.face = null;
    this.selected = null;
    this.point = -1;
    this.kind = INCLUDE;
    this.color = 1;
    this.view = "face";
    this.overlay = false;
    this.pointMode = this.panning = false;
    this.centered = this.aim = this.hint = this.preview = null;
    this.hovered = -1;
  }

  get editable() {
    return Boolean(this.face && !this.page.readOnly && !this.faces.refusal && this.view === "face");
  }

  get state() {
    return this.face.history.now;
  }

  get polygons() {
    return this.preview ?? this.state.polygons;
  }

  get selectedPoints() {
    return this.selected === null ? null : this.polygons[this.selected].points;
  }

  commit(change) {
    this.face.history.add(change);
    this.saver.keep(this.face);
    this.render();
  }

  inside([x, y]) {
    const { width, height } = this.face;
    return rounded([Math.min(Math.max(x, 0), width - 0.01), Math.min(Math.max(y, 0), height - 0.01)]);
  }

  select(index) {
    this.selected = index;
    this.point = -1;
    this.hint = null;
    if (index !== null) this.kind = this.polygons[index].kind;
    else this.kind = INCLUDE;
    this.render();
  }

  choosePoint(point) {
    this.point = point;
    this.hint = null;
    this.render();
  }

  addPoint(place) {
    const { open } = this.state;
    const points = [...(open?.points ?? []), this.inside(place)];
    this.commit({ open: { kind: open?.kind ?? this.kind, points } });
  }

  close() {
    if (!this.editable) return;
    const { open, polygons } = this.state;
    if (!open || open.points.length < FEWEST) return;
    this.endCentering();
    this.commit({ open: null, polygons: [...polygons, open] });
    this.select(polygons.length);
  }

  giveUp() {
    this.endCentering();
    if (this.view !== "face") this.setView(this.view);
    else if (this.face && this.state.open) this.commit({ open: null });
    else if (this.selected !== null) this.select(null);
  }

  remove() {
    if (!this.editable) return;
    if (this.state.open) {
      this.undo(-1);
    } else if (this.selected !== null) {
      const polygons = without(this.state.polygons, this.selected);
      this.select(null);
      this.commit({ polygons });
    }
  }

  changePoints(points) {
    const polygon = { ...this.state.polygons[this.selected], points };
    this.commit({ polygons: replaced(this.state.polygons, this.selected, polygon) });
  }

  deletePoint(point) {
    if (this.selectedPoints.length <= FEWEST) {
      this.remove();
      return;
    }
    this.point = -1;
    this.changePoints(without(this.selectedPoints, point));
  }

  insertPoint({ index, place }) {
    const points = [...this.selectedPoints];
    points.splice(index + 1, 0, this.inside(place));
    this.changePoints(points);
  }

  dragPoint(point, place) {
    const polygon = this.state.polygons[this.selected];
    const points = replaced(polygon.points, point, this.inside(place));
    this.preview = replaced(this.state.polygons, this.selected, { ...polygon, points });
    this.render();
  }

  dropPoint() {
    const polygons = this.preview;
    this.preview = null;
    if (polygons) this.commit({ polygons });
  }

  nudge(dx, dy) {
    if (!this.editable || this.selected === null || this.state.open) return;
    const points = this.selectedPoints;
    const [x, y] = points[this.point] ?? [];
    this.changePoints(this.point >= 0 ? replaced(points, this.point, this.inside([x + dx, y + dy])) : moved(points, dx, dy));
  }

  undo(step) {
    if (!this.editable) return;
    this.preview = null;
    this.face.history.move(step);
    if (this.selected !== null && !(this.selected < this.state.polygons.length)) this.selected = null;
    if (this.state.open) this.selected = null;
    this.point = -1;
    this.saver.keep(this.face);
    this.render();
  }

  async fromMask() {
    const { face } = this;
    if (!this.editable) return;
    if (!face.masked) {
      this.tell("This face has no applied mask.");
      return;
    }
    try {
      const { polygons } = await this.page.get(`outline/${face.side}/${face.id}?hash=${face.hash}`);
      if (face === this.face) this.add(polygons);
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  async copyFrom(way) {
    const { face } = this;
    const index = this.faces.neighbor(way);
    if (!this.editable) return;
    if (index === null) {
      this.tell(`There is no labeled face ${way < 0 ? "before" : "after"} this one.`);
      return;
    }
    try {
      const other = await this.page.get(`face/${this.side}/${this.faces.faces[index][0]}`);
      if (face === this.face) this.add(this.fitted(other.polygons, other));
    } catch (error) {
      this.page.say(error.message, "error");
    }
  }

  /** Polygons of a face of another size. */
  fitted(polygons, from) {
    const [x, y] = [this.face.width / from.width, this.face.height / from.height];
    return polygons.map(({ kind, points }) => ({ kind, points: points.map(([a, b]) => rounded([a * x, b * y])) }));
  }

  add(polygons) {
    this.select(null);
    this.commit({ polygons: [...this.state.polygons, ...polygons] });
    this.tell(polygons.length === 1 ? "1 polygon was added." : `${polygons.length} polygons were added.`);
  }

  // -- how it looks ------------------------------------------------------------------------------
  setKind(kind) {
    this.kind = kind;
    if (this.editable && this.state.open) this.commit({ open: { ...this.state.open, kind } });
    else if (this.editable && this.selected !== null) {
      const polygon = this.state.polygons[this.selected];
      if (polygon.kind !== kind) this.commit({ polygons: replaced(this.state.polygons, this.selected, { ...polygon, kind }) });
    }
    this.render();
  }

  setColor(color) {
    this.color = color;
    this.view = "face";
    this.render();
  }

  setView(view) {
    this.view = this.view === view ? "face" : view;
    this.endCentering();
    this.render();
  }

  setOverlay() {
    this.overlay = !this.overlay;
    this.render();
  }

  setPointMode() {
    this.pointMode = !this.pointMode;
    this.render();
  }

  /** The pointer is somewhere over the board. */
  hover(place, reach, event = null) {
    if (!this.editable) return;
    if (this.centered && event && event.pointerType !== "touch") {
      this.board.look([event.movementX / this.board.scale, event.movementY / this.board.scale]);
      this.centered = this.board.placeAt(this.board.width / 2, this.board.height / 2);
      place = this.centered;
    }
    this.aim = place;
    const idle = !this.state.open && this.selected === null;
    this.hovered = place && idle ? this.pointers.outline(this.polygons, place, reach) : -1;
    const points = event && (event.ctrlKey || event.metaKey || this.pointMode) ? this.selectedPoints : null;
    this.hint = place && points ? this.pointers.hint(points, place, reach) : null;
    if (event?.shiftKey && this.state.open && !this.centered && event.pointerType !== "touch") this.beginCentering();
    this.render();
  }

  beginCentering() {
    if (!this.aim || this.centered) return;
    const middle = this.board.placeAt(this.board.width / 2, this.board.height / 2);
    this.board.look([this.aim[0] - middle[0], this.aim[1] - middle[1]]);
    this.centered = this.board.placeAt(this.board.width / 2, this.board.height / 2);
  }

  endCentering() {
    this.centered = null;
  }

  render() {
    const { face } = this;
    for (const [name, on] of Object.entries({
      include: this.kind === INCLUDE, exclude: this.kind === EXCLUDE, points: this.pointMode,
      color0: this.color === 0, color1: this.color === 1, color2: this.color === 2,
      baked: this.view === "baked", mask: this.view === "mask", overlay: this.overlay,
    })) this.pressable[name].setAttribute("aria-pressed", String(on));
    const can = this.editable;
    this.undoing.disabled = !can || !face.history.canUndo;
    this.redoing.disabled = !can || !face.history.canRedo;
    this.removing.disabled = !can || (this.selected === null && !this.state.open);
    const { element } = this.board;
    element.dataset.mode = !face ? "" : this.state.open ? "draw" : this.selected !== null ? "edit" : "idle";
    element.dataset.polygons = face ? String(this.polygons.length) : "";
    element.classList.toggle("centered", Boolean(this.centered));
    this.board.show({
      face, polygons: face ? this.polygons : [], open: face ? this.state.open : null, selected: this.selected,
      point: this.point, hover: this.hovered, hint: this.hint, aim: this.aim, centered: this.centered,
      view: this.view, overlay: this.overlay, color: COLORS[this.color],
    });
  }
}
