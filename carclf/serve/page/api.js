/** Talks to the server that this page came from; addresses are relative, so that it may stand behind a prefix. */

import { askForKey, currentKey } from "./key.js";

const ROOT = new URL("../", import.meta.url);

/** What went wrong, as a sentence; `status` 0: there was no answer at all. */
export class ServerError extends Error {
  constructor(sentence, { status = 0, requestId = "", waitSeconds = 0 } = {}) {
    super(sentence);
    Object.assign(this, { status, requestId, waitSeconds });
  }
}

export const fetchModels = () => request("GET", "v1/models");
export const fetchReport = () => request("GET", "v1/report");

/** A picture of the report as an address for <img>; fetched by hand, as <img> cannot send the key. */
export async function fetchPicture(name) {
  const answer = await request("GET", `v1/report/pictures/${encodeURIComponent(name)}`, { as: "blob" });
  return URL.createObjectURL(answer);
}

/**
 * Asks about photos.
 * @param {File[]} files
 * @param {{masks?: string, overlays?: boolean, case?: boolean}} wanted
 * @param {{onProgress?: function(number), signal?: AbortSignal}} options onProgress: the share that is sent
 */
export function predict(files, wanted, options = {}) {
  const body = new FormData();
  for (const file of files) body.append("photos", file, file.name);
  return request("POST", `v1/predict?${new URLSearchParams(wanted)}`, { ...options, body });
}

async function request(method, path, options = {}) {
  for (;;) {
    options.signal?.throwIfAborted(); // removed while the key was asked for
    const key = currentKey();
    const answer = await send(method, path, { ...options, key });
    if (answer.status === 200) return answer.body;
    if (answer.status === 401 && (await askForKey(key))) continue;
    throw await asError(answer);
  }
}

/** XMLHttpRequest, as fetch does not tell how much of a photo is sent. */
function send(method, path, { body = null, key = null, as = "json", onProgress = null, signal = null }) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, new URL(path, ROOT));
    if (key) call.setRequestHeader("X-API-Key", key);
    call.responseType = as;
    if (onProgress) call.upload.onprogress = (event) => onProgress(event.loaded / (event.total || 1));
    call.onload = () =>
      resolve({ status: call.status, body: call.response, wait: call.getResponseHeader("Retry-After") });
    call.onerror = () => reject(new ServerError("The server cannot be reached. Is it still running? Try again."));
    call.onabort = () => reject(new DOMException("Removed.", "AbortError"));
    const abort = () => call.abort();
    signal?.addEventListener("abort", abort);
    call.onloadend = () => signal?.removeEventListener("abort", abort); // else the signal would keep the whole answer
    call.send(body);
  });
}

async function asError({ status, body, wait }) {
  const tree = body instanceof Blob ? await body.text().then(JSON.parse).catch(() => null) : body;
  const sentence = tree?.error ?? `The server answered with ${status} and gave no reason.`;
  return new ServerError(sentence, { status, requestId: tree?.request_id ?? "", waitSeconds: secondsOf(wait) });
}

/** Retry-After is a number of seconds or a date. */
function secondsOf(wait) {
  if (!wait) return 0;
  const seconds = /^\d+$/.test(wait) ? Number(wait) : (Date.parse(wait) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}
