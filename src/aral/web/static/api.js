// Requests to the server. Every failure is a RequestError, which says whether trying again can help.

export class RequestError extends Error {
  /** `status` is 0 when the server could not be reached. */
  constructor(problem, hint, status) {
    super(problem);
    this.problem = problem;
    this.hint = hint;
    this.status = status;
  }

  /** Whether the same request may succeed later: no connection, or the server's own failure. */
  get temporary() {
    return this.status === 0 || this.status >= 500 || this.status === 429;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new RequestError("The server cannot be reached.", "Is `aral label` still running?", 0);
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new RequestError("The server's response was incomplete.", "", 0);
  }
  if (!response.ok) throw new RequestError(body.problem ?? "The server refused.", body.hint ?? "", response.status);
  return body;
}

/** GET with query parameters. */
export function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return request(query ? `${path}?${query}` : path, {});
}

/** POST a JSON body; `seconds` bounds the wait, so that a server that hangs does not block the queue. */
export function post(path, body, seconds = 20) {
  return request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(seconds * 1000),
  });
}

/** A random key for an answer: the server saves each key once, however often it is sent. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
