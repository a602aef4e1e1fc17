// Images from the server: the newest wish of a lane is fetched, older ones are given up.

const KEPT = 192 << 20; // bytes of images that may be looked at again
const TAB = Math.random().toString(36).slice(2);
const AT_ONCE = 2;
const RETRY_MS = 1000;
const SHOWN_MS = 2000; // an image that is dropped may just be on its way to the screen

export class Images {
  constructor(arrived) {
    this.arrived = arrived;
    this.found = new Map(); // by address; what was wanted last is last
    this.lanes = new Map();
    this.bytes = 0;
  }

  /** {url, milliseconds, asked} or {error}; undefined until it has arrived. */
  find(address) {
    return this.found.get(address);
  }

  /** Fetch an image, unless a newer wish of the lane comes first. */
  want(lane, address) {
    const state = this.lanes.get(lane) ?? { under: new Set() };
    this.lanes.set(lane, state);
    state.wish = address;
    this.next(lane, state);
  }

  async next(lane, state) {
    const { wish: address, under } = state;
    if (!address || this.ended) return;
    const there = this.found.get(address);
    if (there?.url || performance.now() - there?.at < RETRY_MS) {
      this.found.delete(address);
      this.found.set(address, there);
      state.wish = null;
    } else if (!under.has(address) && under.size < AT_ONCE) {
      state.wish = null;
      under.add(address);
      const image = await this.fetch(lane, address);
      under.delete(address);
      if (image) this.keep(address, image);
      if (this.ended) this.end();
      else if (image) this.arrived();
      this.next(lane, state);
    }
  }

  keep(address, image) {
    this.drop(address);
    this.found.set(address, image);
    this.bytes += image.size;
    for (const old of this.found.keys()) {
      if (old === address || this.bytes <= KEPT) break;
      this.drop(old);
    }
  }

  drop(address) {
    const image = this.found.get(address);
    if (!this.found.delete(address)) return;
    this.bytes -= image.size;
    if (image.url) setTimeout(() => URL.revokeObjectURL(image.url), SHOWN_MS);
  }

  async fetch(lane, address) {
    const failed = (error) => ({ error, size: 1000, at: performance.now() });
    try {
      const asked = new URL(address);
      asked.searchParams.set("lane", `${TAB} ${lane}`);
      const response = await fetch(asked, { cache: "no-store" });
      if (response.status === 204) return null;
      if (!response.ok) {
        const told = await response.json().catch(() => ({}));
        return failed(told.error ?? `the server answered ${response.status}`);
      }
      const [blob, { headers }] = [await response.blob(), response];
      return {
        url: URL.createObjectURL(blob), size: blob.size,
        milliseconds: headers.get("X-Milliseconds"), asked: headers.get("X-Asked") === "1",
      };
    } catch {
      return failed("no connection to the server");
    }
  }

  end() {
    this.ended = true;
    for (const address of this.found.keys()) this.drop(address);
  }
}
