// The frame around the views: which one is shown, the stream of events, messages.
import { fill, h } from "./dom.js";
import { address, get, post } from "./server.js";
import { Stream } from "./stream.js";

const [main, nav, workspace, connection, messages] =
  ["main", "views", "workspace", "connection", "messages"].map((id) => document.getElementById(id));
const MESSAGE_MS = 8000;
const AGAIN_MS = 3000;

let about = null;
let stream = null;
let shown = null;

/** Show a message for a while. */
export function say(text, kind = "info") {
  const box = h(`div.message.${kind}`, String(text));
  messages.append(box);
  setTimeout(() => box.remove(), MESSAGE_MS);
}

/** What nobody handles is told. */
addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name !== "AbortError") say(reason?.message ?? reason, "error");
});

function setConnection(state) {
  connection.textContent = state === "live" ? "live" : "connection lost, trying again";
  connection.className = state;
}

/** What a view gets; see dfl_tf/web/__init__.py. All that it was asked for ends with the view. */
class Page {
  constructor(view, rest, element) {
    Object.assign(this, { view, rest, element, about, say, readOnly: about.read_only });
    this.leaving = new AbortController();
    this.timers = new Map();
  }

  get ended() {
    return this.leaving.signal.aborted;
  }

  /** The address of a route of this view; of another one behind a "/", as in "/jobs/list". */
  path(path) {
    return path.startsWith("/") ? `api${path}` : `api/${this.view}/${path}`;
  }

  api(path) {
    return address(this.path(path));
  }

  /** JSON from the server; a view that was left hears no more of it. */
  async get(path, signal = this.leaving.signal) {
    try {
      return await get(this.path(path), signal);
    } catch (error) {
      if (!this.ended || signal !== this.leaving.signal) throw error;
      return new Promise(() => {});
    }
  }

  post(path, body) {
    return post(this.path(path), body);
  }

  go(path) {
    location.hash = `#/${path}`;
  }

  /** Hear events. */
  listen(name, call, target = window) {
    target.addEventListener(name, call, { signal: this.leaving.signal });
  }

  /** Hear topics of the stream, with blanks between them. */
  on(topics, call) {
    for (const topic of topics.split(" ")) this.listen(topic, (event) => call(event.detail), stream);
  }

  /** Call after some milliseconds, once: what waits under the same key is given up. */
  later(key, wait, call) {
    clearTimeout(this.timers.get(key));
    if (!this.ended) this.timers.set(key, setTimeout(call, wait));
  }

  end() {
    this.leaving.abort();
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.made?.end();
  }
}

async function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const view = about.views.find((each) => each.name === name) ?? about.views[0];
  shown?.end();
  for (const link of nav.children) link.ariaCurrent = link.dataset.view === view.name ? "page" : null;
  const element = h(`div.view.${view.name}`);
  const page = shown = new Page(view.name, rest, element);
  fill(main, element);
  document.title = `${view.title} · dfl-tf`;
  try {
    const module = await import(`./views/${view.name}.js`);
    if (module.styles && !document.getElementById(`css-${view.name}`)) {
      document.head.append(h("link", { rel: "stylesheet", href: address(`static/views/${view.name}.css`), id: `css-${view.name}` }));
    }
    if (page.ended) return;
    const made = page.made = new module.default(page);
    await made.begin();
  } catch (error) {
    fill(element, h("p.error", `This view cannot be shown: ${error.message}`));
  }
}

async function begin() {
  try {
    about = await get("api/about");
  } catch (error) {
    fill(main, h("p.error", error.message));
    setConnection("lost");
    setTimeout(begin, AGAIN_MS);
    return;
  }
  workspace.textContent = about.workspace + (about.read_only ? " (read-only)" : "");
  fill(nav, about.views.map((view) => h("a", { href: `#/${view.name}`, "data-view": view.name }, view.title)));
  stream = new Stream();
  stream.addEventListener("hello", () => setConnection("live"));
  stream.addEventListener("lost", () => setConnection("lost"));
  addEventListener("hashchange", show);
  show();
}

begin();
