// One stream of events per browser: browsers allow six connections to a host, and tabs share them.
// The visible tab that holds a lock reads the stream and tells the others; hidden tabs let go.
import { address } from "./server.js";

const CHANNEL = "dfl-tf-events" + new URL(".", document.baseURI).pathname;
const AGAIN_MS = 3000;

export class Stream extends EventTarget {
  constructor() {
    super();
    this.channel = new BroadcastChannel(CHANNEL);
    this.channel.onmessage = ({ data }) => this.tell(data);
    document.addEventListener("visibilitychange", () => this.decide());
    addEventListener("pagehide", () => this.letGo());
    addEventListener("pageshow", () => this.decide());
    this.decide();
  }

  decide() {
    if (document.visibilityState === "hidden") this.letGo();
    else this.lead();
  }

  async lead() {
    if (this.leading) return;
    this.leading = new AbortController();
    const { signal } = this.leading;
    const hold = () => new Promise((done) => {
      signal.addEventListener("abort", done);
      this.open(signal);
    });
    if (navigator.locks) await navigator.locks.request(CHANNEL, { signal }, hold).catch(() => {}); // given up while waiting
    else hold(); // no secure context: each tab for itself
  }

  letGo() {
    this.leading?.abort();
    this.leading = null;
  }

  open(signal) {
    if (signal.aborted) return;
    const source = new EventSource(address("api/events"));
    signal.addEventListener("abort", () => source.close());
    source.onmessage = ({ data }) => this.share(JSON.parse(data));
    source.onerror = () => {
      this.share({ topic: "lost" });
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.open(signal), AGAIN_MS); // refused for now
    };
  }

  share(message) {
    this.channel.postMessage(message);
    this.tell(message);
  }

  tell({ topic, values }) {
    this.dispatchEvent(new CustomEvent(topic, { detail: values }));
  }
}
