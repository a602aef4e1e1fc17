// One stream of events per browser: browsers allow six connections to a host, and tabs share them.
// The visible tab that holds a lock reads the stream and tells the others; hidden tabs let go.
import { address } from "./server.js";

const CHANNEL = "dfl-tf-events" + new URL(".", document.baseURI).pathname;

export class Stream extends EventTarget {
  constructor(topics) {
    super();
    this.topics = new Set(["hello", "resync", ...topics]);
    this.source = null;
    this.release = null;
    this.leading = false;
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(CHANNEL) : null;
    this.channel?.addEventListener("message", (event) => this.tell(event.data));
    document.addEventListener("visibilitychange", () => this.decide());
    addEventListener("pagehide", () => this.letGo());
    addEventListener("pageshow", () => this.decide());
    this.decide();
  }

  /** Listen to a topic that may be new. */
  want(topic) {
    if (this.topics.has(topic)) return;
    this.topics.add(topic);
    this.source?.addEventListener(topic, (event) => this.heard(topic, event));
  }

  decide() {
    if (document.visibilityState === "hidden") this.letGo();
    else this.lead();
  }

  async lead() {
    if (this.leading) return;
    this.leading = true;
    if (!navigator.locks || !this.channel) { // no secure context: each tab for itself
      this.open();
      this.release = () => {};
      return;
    }
    const waiting = new AbortController();
    this.release = () => waiting.abort();
    try {
      await navigator.locks.request(CHANNEL, { signal: waiting.signal }, () => new Promise((done) => {
        this.release = done;
        this.open();
      }));
    } catch {
      // given up while waiting
    }
  }

  letGo() {
    this.leading = false;
    this.source?.close();
    this.source = null;
    this.release?.();
    this.release = null;
  }

  open() {
    const source = new EventSource(address("api/events"));
    this.source = source;
    source.addEventListener("error", () => {
      this.share({ topic: "lost", values: {} });
      if (source.readyState === EventSource.CLOSED && this.source === source) {
        setTimeout(() => this.source === source && this.open(), 3000); // refused for now
      }
    });
    for (const topic of this.topics) source.addEventListener(topic, (event) => this.heard(topic, event));
  }

  heard(topic, event) {
    this.share({ topic, values: JSON.parse(event.data) });
  }

  share(message) {
    this.channel?.postMessage(message);
    this.tell(message);
  }

  tell(message) {
    this.dispatchEvent(new CustomEvent(message.topic, { detail: message.values }));
  }
}
