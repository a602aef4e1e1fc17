// Bringing labels to their files. What is not saved yet lies in this browser's storage, under the
// face and the hash of the file that it was drawn on, and goes out as soon as the server is there.
import { samePolygons } from "./xseg_shapes.js";

const RETRY_MS = 2000;
const PREFIX = `dfl-tf-xseg ${new URL(".", document.baseURI).pathname} `;
const TAB = "dfl-tf-xseg-tab ";

export class Saver {
  /** `view.saved(face)` is called when a face has another `status`. */
  constructor(view) {
    this.view = view;
    this.page = view.page;
    this.tab = Math.random().toString(36).slice(2);
    this.busy = new Set(); // faces with unsaved work
    this.release = () => {}; // what is unsaved goes out when the view is opened again
    navigator.locks?.request(TAB + this.tab, () => new Promise((done) => { this.release = done; }));
  }

  /** Drafts that no other open page is working on. */
  async drafts() {
    const held = navigator.locks ? (await navigator.locks.query()).held : [];
    const others = new Set(held.map(({ name }) => name).filter((name) => name !== TAB + this.tab));
    const found = [];
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(PREFIX)) continue;
      try {
        const draft = JSON.parse(localStorage.getItem(key));
        if (!others.has(TAB + draft.tab)) found.push({ ...draft, key });
      } catch {
        // nothing that we wrote
      }
    }
    return found;
  }

  forget(key) {
    localStorage.removeItem(key);
  }

  /** Keep what a face looks like now, and send its polygons if they are not what the file holds. */
  keep(face) {
    const { polygons, open } = face.history.now;
    const unsaved = !samePolygons(polygons, face.stored);
    const draft = unsaved || open ? `${PREFIX}${face.side} ${face.id} ${face.hash} ${this.tab}` : null;
    if (face.draft && face.draft !== draft) this.forget(face.draft);
    face.draft = draft;
    if (draft) {
      const { side, id, name, hash, image } = face;
      try {
        localStorage.setItem(draft, JSON.stringify({ side, id, name, hash, image, tab: this.tab, time: Date.now(), polygons, open }));
        face.kept = true;
      } catch {
        face.kept = false; // no room, or none is allowed
      }
    }
    if (!unsaved) {
      this.busy.delete(face);
      if (!face.sending) this.say(face, face.everSaved ? "saved" : "");
    } else if (this.page.readOnly || face.refusal) {
      this.say(face, "failed", face.refusal || "read-only: changes are not kept");
    } else if (face.status?.state !== "refused") {
      this.busy.add(face);
      this.send(face);
    }
  }

  async send(face) {
    if (face.sending || !this.busy.has(face)) return;
    face.sending = true;
    face.writes += 1; // what was asked before may tell of the file before
    this.say(face, "saving");
    const { polygons } = face.history.now;
    let error = null;
    try {
      const { hash } = await this.page.post(`label/${face.side}/${face.id}`, { hash: face.hash, image: face.image, polygons });
      Object.assign(face, { hash, stored: polygons, everSaved: true });
    } catch (why) {
      error = why;
      this.failed(face, error);
    }
    face.sending = false;
    face.writes += 1;
    if (!error) this.keep(face);
  }

  failed(face, { status, message }) {
    const again = (wait) => {
      this.busy.add(face);
      this.page.later(face, wait, () => this.send(face));
    };
    if (status === 409 || status === 404) {
      this.busy.delete(face);
      this.say(face, "refused", message);
    } else if (status === undefined) { // no answer: nothing is given up
      this.say(face, "unsaved", face.kept ? "no connection; kept in this browser, trying again" : "no connection, and this browser keeps nothing: leave the page open");
      again(RETRY_MS);
    } else {
      this.say(face, "failed", message);
      if (status !== 400) again(5 * RETRY_MS);
    }
  }

  say(face, state, text = "") {
    face.status = { state, text };
    this.view.saved(face);
  }

  /** Put the polygons on the file as it is now: somebody has looked at it and agreed. */
  insist(face, hash) {
    if (face.draft) this.forget(face.draft);
    Object.assign(face, { draft: null, hash, status: null, stored: null });
    this.keep(face);
  }

  /** The server is there again. */
  retry() {
    for (const face of this.busy) this.send(face);
  }
}
