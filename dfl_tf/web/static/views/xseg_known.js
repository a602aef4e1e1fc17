// The faces that were opened: what their files hold, and what is not saved yet.
import { History, samePolygons } from "./xseg_shapes.js";

const KEPT_FACES = 400; // whose history is kept while others are looked at

export class KnownFaces {
  constructor({ page, saver, sides }) {
    Object.assign(this, { page, saver, sides });
    this.faces = new Map();
  }

  /** What the server says of a face now; asked again if this page wrote the file meanwhile. */
  async ask({ side, id }, signal) {
    for (;;) {
      const face = this.faces.get(`${side} ${id}`);
      const before = face?.writes;
      const info = await this.page.get(`face/${side}/${id}`, signal);
      if (face?.writes === before) return info;
    }
  }

  /** A face as it is in its file, with what is not saved here. */
  async read(side, id, signal) {
    const info = await this.ask({ side, id }, signal);
    let face = this.faces.get(`${side} ${id}`);
    if (face?.image === info.image) {
      this.adopt(face, info);
    } else {
      if (face) this.saver.busy.delete(face);
      face = this.made(side, id, info);
      await this.restore(face, info);
      this.forgetOldest(face);
    }
    return face;
  }

  made(side, id, info) {
    const { refusal } = this.sides.find((each) => each.side === side);
    const face = { side, id, ...info, stored: info.polygons, history: new History(info.polygons), refusal, writes: 0 };
    this.faces.set(`${side} ${id}`, face);
    return face;
  }

  forget({ side, id }) {
    this.faces.delete(`${side} ${id}`);
  }

  forgetOldest(current) {
    for (const face of this.faces.values()) {
      if (this.faces.size <= KEPT_FACES) return;
      if (face !== current && !this.saver.busy.has(face)) this.forget(face);
    }
  }

  /** Take over what the file holds now, where nothing is unsaved. */
  adopt(face, { polygons, masked, hash }) {
    if (face.sending || !samePolygons(face.history.now.polygons, face.stored)) return;
    Object.assign(face, { masked, hash, status: null });
    if (!samePolygons(polygons, face.stored)) {
      face.stored = polygons;
      face.history.add({ polygons });
    }
    this.saver.keep(face);
  }

  /** Use what an earlier page left unsaved of this face; of several, one: the others are listed. */
  async restore(face, info) {
    let taken = false;
    for (const draft of await this.saver.drafts()) {
      if (draft.side !== face.side || draft.id !== face.id || draft.image !== info.image) continue;
      const same = samePolygons(draft.polygons, info.polygons);
      if (!same || draft.open) {
        if (taken) continue;
        taken = true;
        face.history.add({ polygons: draft.polygons, open: draft.open });
        if (!same && draft.hash !== info.hash) {
          face.status = { state: "refused", text: "This browser holds unsaved work, drawn on an earlier state of this file." };
          face.hash = draft.hash;
        }
        this.saver.keep(face);
        if (!face.kept) continue;
      }
      if (draft.key !== face.draft) this.saver.forget(draft.key);
    }
  }

  /** Send what earlier pages left unsaved, of all faces. */
  async bringDrafts() {
    for (const { side, id } of this.page.readOnly ? [] : await this.saver.drafts()) {
      await this.read(side, id).catch(() => null); // it is listed beside the face
    }
  }

  /** The image or the mask of a face. */
  async blob(what, { side, id, image, name }, signal) {
    const response = await fetch(this.page.api(`${what}/${side}/${id}?image=${image}`), { signal, cache: "no-store" });
    if (response.ok) return response.blob();
    throw new Error(`${name}: the ${what} cannot be read now (${response.status}); open the face again.`);
  }
}
