// Requests to the server this page came from.

/** The address of something of this server, wherever it is mounted. */
export function address(path) {
  return new URL(path, new URL(".", document.baseURI)).href;
}

async function answer(response) {
  if (response.ok) return response.json(); // one that broke off is as good as none
  const { error } = await response.json().catch(() => ({}));
  const usual = response.status === 403 ? "this browser is not logged in any more: open the address with its token" : `the server answered ${response.status}`;
  throw Object.assign(new Error(error ?? usual), { status: response.status });
}

/** JSON from the server. */
export async function get(path, signal) {
  return answer(await fetch(address(path), { signal, cache: "no-store" }));
}

/** Send JSON to the server; resolves to its answer. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return answer(await fetch(address(path), { method: "POST", headers, body: JSON.stringify(body) }));
}

/** Questions that replace each other: what was asked last is shown, whatever is answered last. */
export class Newest {
  turn = 0;

  /** Call `use` with an answer, or `failed`; resolves when that was done for the newest one. */
  use(asking, use, failed = (error) => { throw error; }) {
    const turn = ++this.turn;
    const told = (call) => (what) => (turn === this.turn ? call(what) : this.last);
    return this.last = asking.then(told(use), told(failed));
  }
}
