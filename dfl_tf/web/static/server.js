// Requests to the server this page came from.

/** The address of something of this server, wherever it is mounted. */
export function address(path) {
  return new URL(path, new URL(".", document.baseURI)).href;
}

async function answer(response) {
  let value = null;
  try {
    value = await response.json();
  } catch {
    value = { error: response.status === 403 ? "this browser is not logged in any more: open the address with its token" : `the server answered ${response.status}` };
  }
  if (!response.ok) throw Object.assign(new Error(value.error ?? `the server answered ${response.status}`), { status: response.status });
  return value;
}

/** JSON from the server. */
export async function get(path, signal) {
  return answer(await fetch(address(path), { signal, cache: "no-store" }));
}

/** Send JSON to the server; resolves to its answer. */
export async function post(path, body = {}) {
  return answer(await fetch(address(path), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
}
