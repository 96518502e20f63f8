// Asking the API. What it refuses arrives as an ApiError with its own words.

import { askForKey, credentials } from "./key.js";

/** An answer that is none: `status` of HTTP (0: no answer), `detail` for people, `errors` with their places. */
export class ApiError extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

const LIMIT_MS = 15000;

async function ask(path, options = {}) {
  let answer;
  try {
    const headers = { ...options.headers, ...credentials() };
    answer = await fetch(path, { ...options, headers, signal: options.signal ?? AbortSignal.timeout(LIMIT_MS) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Freshgrid does not answer. Is it still running?");
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok) return body;
  const detail = typeof body?.detail === "string" ? body.detail : `${answer.status} ${answer.statusText}`;
  // The next answer may take as long as a person looks for a key.
  if (answer.status === 401 && (await askForKey(detail))) return ask(path, { ...options, signal: undefined });
  throw new ApiError(answer.status, detail, body?.errors ?? []);
}

/** The body of a GET; `parameters` that are null are left out. */
export function get(path, parameters = {}, options = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  const query = new URLSearchParams(given).toString();
  return ask(query ? `${path}?${query}` : path, options);
}

/** The answer to JSON. */
export function send(method, path, body, options = {}) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { ...options, method, headers, body: JSON.stringify(body) });
}
