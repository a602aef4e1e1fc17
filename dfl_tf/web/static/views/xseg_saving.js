// Bringing labels to their files. What is not saved yet lies in this browser's storage, under the
// face and the hash of the file that it was drawn on, and goes out as soon as the server is there.
import { samePolygons } from "./xseg_shapes.js";

const RETRY_MS = 2000;
const PREFIX = `dfl-tf-xseg ${new URL(".", document.baseURI).pathname} `;
const TAB = "dfl-tf-xseg-tab ";

/** Drafts that no open page is working on. */
async function orphans(own) {
  const held = navigator.locks ? (await navigator.locks.query()).held.map((each) => each.name) : [];
  const alive = new Set(held.filter((name) => name.startsWith(TAB)).map((name) => name.slice(TAB.length)));
  const found = [];
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(PREFIX)) continue;
    try {
      const draft = JSON.parse(localStorage.getItem(key));
      if (draft.tab === own || !alive.has(draft.tab)) found.push({ ...draft, key });
    } catch {
      // nothing that we wrote
    }
  }
  return found;
}

export class Saver {
  /** `told(face)` is called when a face has another `status`. */
  constructor(page, told) {
    this.page = page;
    this.told = told;
    this.tab = Math.random().toString(36).slice(2);
    this.busy = new Set(); // faces with unsaved work
    this.release = () => {};
    navigator.locks?.request(TAB + this.tab, () => new Promise((done) => { this.release = done; }));
  }

  /** The view is left: what is unsaved goes out when it is opened again. */
  end() {
    this.ended = true;
    this.release();
  }

  /** What an earlier page left unsaved. */
  drafts() {
    return orphans(this.tab);
  }

  forget(key) {
    localStorage.removeItem(key);
  }

  key(face) {
    return `${PREFIX}${face.side} ${face.id} ${face.hash} ${this.tab}`;
  }

  /** Keep what a face looks like now, and send its polygons if they are not what the file holds. */
  keep(face) {
    const { polygons, open } = face.history.now;
    const unsaved = !samePolygons(polygons, face.stored);
    if (face.draft && face.draft !== this.key(face)) this.forget(face.draft);
    if (!unsaved && !open) {
      if (face.draft) this.forget(face.draft);
      face.draft = null;
    } else {
      face.draft = this.key(face);
      const draft = {
        side: face.side, id: face.id, name: face.name, hash: face.hash, image: face.image,
        tab: this.tab, time: Date.now(), polygons, open,
      };
      try {
        localStorage.setItem(face.draft, JSON.stringify(draft));
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
    if (face.sending || (this.ended && face.timer)) return;
    face.sending = true;
    clearTimeout(face.timer);
    this.say(face, "saving");
    const { polygons } = face.history.now;
    let again = false;
    try {
      const answer = await this.page.post(`label/${face.side}/${face.id}`, { hash: face.hash, image: face.image, polygons });
      face.hash = answer.hash;
      face.stored = polygons;
      face.everSaved = true;
      again = true;
    } catch (error) {
      this.failed(face, error);
    }
    face.sending = false;
    if (again) this.keep(face);
  }

  failed(face, error) {
    if (error.status === 409 || error.status === 404) {
      this.busy.delete(face);
      this.say(face, "refused", error.message);
    } else if (error.status === undefined) { // no answer: nothing is given up
      this.say(face, "unsaved", face.kept ? "no connection; kept in this browser, trying again" : "no connection, and this browser keeps nothing: leave the page open");
      face.timer = setTimeout(() => this.send(face), RETRY_MS);
    } else {
      this.say(face, "failed", error.message);
      if (error.status !== 400) face.timer = setTimeout(() => this.send(face), 5 * RETRY_MS);
    }
  }

  say(face, state, text = "") {
    face.status = { state, text };
    this.told(face);
  }

  /** Put the polygons on the file as it is now: somebody has looked at it and agreed. */
  insist(face, hash) {
    if (face.draft) this.forget(face.draft);
    face.draft = null;
    face.hash = hash;
    face.status = null;
    face.stored = null;
    this.keep(face);
  }

  giveUp(face) {
    clearTimeout(face.timer);
    this.busy.delete(face);
  }

  /** The server is there again. */
  retry() {
    for (const face of this.busy) this.send(face);
  }
}
