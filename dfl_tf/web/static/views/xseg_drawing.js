// What can be done to the polygons of a face: each change is a state of its history, and is saved.
import { View } from "../view.js";
import { FEWEST, INCLUDE, clamp, rounded } from "./xseg_shapes.js";

/** Of the editor, all that concerns the face that is shown; `saver`, `board`, `pointers`, `faces` are there. */
export class Drawing extends View {
  constructor(page) {
    super(page);
    this.face = null;
    this.color = "Green";
    this.view = "face";
    this.overlay = this.pointMode = this.panning = false;
    this.idle();
  }

  /** Nothing is chosen, and nothing is under way. */
  idle() {
    this.selected = this.preview = this.centered = this.aim = this.hint = null;
    this.point = this.hovered = -1;
    this.kind = INCLUDE;
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
    return rounded([clamp(x, 0, width - 0.01), clamp(y, 0, height - 0.01)]);
  }

  select(index) {
    this.selected = index;
    this.kind = index === null ? INCLUDE : this.polygons[index].kind;
    this.choosePoint(-1);
  }

  choosePoint(point) {
    this.point = point;
    this.hint = null;
    this.render();
  }

  addPoint(place) {
    const { kind = this.kind, points = [] } = this.state.open ?? {};
    this.commit({ open: { kind, points: [...points, this.inside(place)] } });
  }

  close() {
    if (!this.editable) return;
    const { open, polygons } = this.state;
    if (!open || open.points.length < FEWEST) return;
    this.centered = null;
    this.commit({ open: null, polygons: [...polygons, open] });
    this.select(polygons.length);
  }

  giveUp() {
    this.centered = null;
    if (this.view !== "face") this.setView(this.view);
    else if (this.face && this.state.open) this.commit({ open: null });
    else if (this.selected !== null) this.select(null);
  }

  remove() {
    if (!this.editable) return;
    if (this.state.open) {
      this.undo(-1);
    } else if (this.selected !== null) {
      const polygons = this.state.polygons.toSpliced(this.selected, 1);
      this.select(null);
      this.commit({ polygons });
    }
  }

  /** The polygons, with another selected one. */
  changed(change) {
    const { polygons } = this.state;
    return polygons.with(this.selected, { ...polygons[this.selected], ...change });
  }

  changePoints(points) {
    this.commit({ polygons: this.changed({ points }) });
  }

  deletePoint(point) {
    if (this.selectedPoints.length <= FEWEST) {
      this.remove();
      return;
    }
    this.point = -1;
    this.changePoints(this.selectedPoints.toSpliced(point, 1));
  }

  insertPoint({ edge, place }) {
    this.changePoints(this.selectedPoints.toSpliced(edge + 1, 0, this.inside(place)));
  }

  dragPoint(point, place) {
    this.preview = this.changed({ points: this.selectedPoints.with(point, this.inside(place)) });
    this.render();
  }

  dropPoint() {
    const polygons = this.preview;
    this.preview = null;
    if (polygons) this.commit({ polygons });
  }

  nudge(dx, dy) {
    if (!this.editable || this.selected === null || this.state.open) return;
    const move = ([x, y]) => [x + dx, y + dy];
    const points = this.selectedPoints;
    const moved = (i) => points.with(i, this.inside(move(points[i])));
    this.changePoints(this.point >= 0 ? moved(this.point) : points.map((each) => rounded(move(each))));
  }

  undo(step) {
    if (!this.editable) return;
    this.preview = null;
    this.pointers.giveUp();
    this.face.history.move(step);
    const { open, polygons } = this.state;
    if (open || this.selected >= polygons.length) this.selected = null;
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
    const { polygons } = await this.page.get(`outline/${face.side}/${face.id}?hash=${face.hash}`);
    if (face === this.face) this.add(polygons);
  }

  async copyFrom(way) {
    const { face } = this;
    const index = this.faces.next(way, "labeled");
    if (!this.editable) return;
    if (index === undefined) {
      this.tell(`There is no labeled face ${way < 0 ? "before" : "after"} this one.`);
      return;
    }
    const other = await this.page.get(`face/${this.side}/${this.faces.faces[index][0]}`);
    if (face !== this.face) return;
    const [x, y] = [face.width / other.width, face.height / other.height]; // it may be of another size
    this.add(other.polygons.map(({ kind, points }) => ({ kind, points: points.map(([a, b]) => rounded([a * x, b * y])) })));
  }

  add(polygons) {
    this.select(null);
    this.commit({ polygons: [...this.state.polygons, ...polygons] });
    this.tell(polygons.length === 1 ? "1 polygon was added." : `${polygons.length} polygons were added.`);
  }

  setKind(kind) {
    this.kind = kind;
    if (this.editable && this.state.open) this.commit({ open: { ...this.state.open, kind } });
    else if (this.editable && this.selected !== null && this.state.polygons[this.selected].kind !== kind) {
      this.commit({ polygons: this.changed({ kind }) });
    } else this.render();
  }

  /** Look at the face in another way. */
  set(change) {
    Object.assign(this, change);
    this.render();
  }

  setView(view) {
    this.set({ view: this.view === view ? "face" : view, centered: null });
  }

  /** The pointer is somewhere over the board, or has left it (null). */
  hover(event) {
    if (!this.editable) return;
    const { board, pointers } = this;
    let place = event && board.toImage(event);
    const canCenter = event && event.pointerType !== "touch";
    if (this.centered && canCenter) {
      board.look([event.movementX / board.scale, event.movementY / board.scale]);
      place = this.centered = board.middle;
    }
    this.aim = place;
    this.hovered = place && !this.state.open && this.selected === null ? pointers.outline(event, place) : -1;
    this.hint = place && pointers.changesPoints(event) ? pointers.target(event, place) : null;
    if (canCenter && event.shiftKey) this.beginCentering();
    this.render();
  }

  /** While Shift is held during drawing, the pointer stays in the middle. */
  beginCentering() {
    if (!this.face || !this.state.open || !this.aim || this.centered) return;
    const [x, y] = this.board.middle;
    this.board.look([this.aim[0] - x, this.aim[1] - y]);
    this.centered = this.board.middle;
  }
}
