// What the page asks the server for. Addresses are relative to the page's, which holds the token.

async function answer(response) {
  const content = response.headers.get("content-type")?.startsWith("application/json") ? await response.json() : {};
  if (response.ok) return content;
  const error = new Error(content.error ?? `the server answered ${response.status}`);
  error.status = response.status;
  error.content = content;
  throw error;
}

async function reach(path, options) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Error("the server does not answer; was it stopped? Start it again and open its new address");
  }
}

export async function get(path) {
  return answer(await reach(path));
}

export async function post(path, content) {
  const headers = { "Content-Type": "application/json" };
  return answer(await reach(path, { method: "POST", headers, body: JSON.stringify(content) }));
}
