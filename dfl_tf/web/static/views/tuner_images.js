// Images from the server: the newest wish of a lane is fetched, older ones are given up.

const KEPT = 160; // images, most of them reduced ones of a range that is played
const LARGE = 24;
const TAB = Math.random().toString(36).slice(2);
const AT_ONCE = 2;
const RETRY_MS = 1000;

export class Images {
  constructor(place, arrived) {
    this.place = place;
    this.arrived = arrived;
    this.found = new Map();
    this.lanes = new Map();
  }

  key(wish) {
    return JSON.stringify([wish.frame, wish.view, wish.width, wish.view === "before" ? 0 : wish.values]);
  }

  /** {url, milliseconds, asked} or {error}; undefined until it has arrived. */
  find(wish) {
    return this.found.get(this.key(wish));
  }

  /** Fetch an image, unless a newer wish of the lane comes first. */
  want(lane, wish) {
    const state = this.lanes.get(lane) ?? { under: new Set(), wish: null };
    this.lanes.set(lane, state);
    state.wish = wish;
    this.next(lane, state);
  }

  next(lane, state) {
    const { wish } = state;
    if (!wish || this.ended) return;
    const key = this.key(wish);
    const there = this.found.get(key);
    if (there && (there.url || performance.now() - there.at < RETRY_MS)) {
      this.found.set(key, this.take(key)); // used last, so kept longest
      state.wish = null;
      return;
    }
    if (state.under.has(key) || state.under.size >= AT_ONCE) return;
    state.wish = null;
    state.under.add(key);
    this.fetch(lane, wish).then((image) => {
      if (image && !this.ended) this.keep(key, image);
      state.under.delete(key);
      if (!this.ended && image) this.arrived();
      this.next(lane, state);
    });
  }

  take(key) {
    const image = this.found.get(key);
    this.found.delete(key);
    return image;
  }

  keep(key, image) {
    this.drop(this.take(key));
    this.found.set(key, image);
    const large = [...this.found].filter(([, each]) => each.large);
    for (const [old, each] of large.slice(0, Math.max(0, large.length - LARGE))) {
      this.found.delete(old);
      this.drop(each);
    }
    for (const [old, each] of [...this.found].slice(0, Math.max(0, this.found.size - KEPT))) {
      this.found.delete(old);
      this.drop(each);
    }
  }

  drop(image) {
    if (image?.url) setTimeout(() => URL.revokeObjectURL(image.url), 2000); // it may be shown just now
  }

  async fetch(lane, wish) {
    const asked = new URLSearchParams({
      frame: wish.frame - 1, view: wish.view, width: wish.width,
      lane: `${TAB} ${lane}`, settings: JSON.stringify(wish.values),
    });
    try {
      const response = await fetch(`${this.place}?${asked}`, { cache: "no-store" });
      if (response.status === 204) return null;
      if (!response.ok) {
        const told = await response.json().catch(() => ({}));
        return failed(told.error ?? `the server answered ${response.status}`);
      }
      return {
        url: URL.createObjectURL(await response.blob()), large: wish.width === 0,
        milliseconds: response.headers.get("X-Milliseconds"), asked: response.headers.get("X-Asked") === "1",
      };
    } catch {
      return failed("no connection to the server");
    }
  }

  end() {
    this.ended = true;
    for (const image of this.found.values()) this.drop(image);
    this.found.clear();
  }
}

function failed(error) {
  return { error, at: performance.now() };
}
