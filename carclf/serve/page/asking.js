/** One photo's way to its answer: read, small enough, sent, answered. */

import { predict, ServerError } from "./api.js";
import { decode, drawThumbnail, isReadable, pngBlob } from "./picture.js";
import { patiently } from "./queue.js";
import { counted, fileSize } from "./words.js";

const WRAPPING = 1000; // bytes around a photo in the body of a request, its name among them
let photos = 0;

/** What a photo takes of the bytes that a request may have. */
export const bodySize = (file) => file.size + WRAPPING;

/** A photo before anything is done with it. `state`: waiting, sending, looking, busy, answered or failed. */
export function makePhoto(file) {
  return {
    id: `photo-${++photos}`, file, state: "waiting", sent: 0, wait: 0,
    size: null, // [width, height] if the browser can show it
    thumbnail: null, answer: null, error: null, removed: new AbortController(),
  };
}

export const isDone = (photo) => photo.state === "answered" || photo.state === "failed";

/** What the photo is waiting for, for people. */
export function stateInWords({ state, sent, wait, error }) {
  if (state === "sending") return `sending, ${Math.round(100 * sent)}\u00a0%`;
  if (state === "busy") return `the server is busy; again in ${wait}\u00a0s`;
  return { waiting: "waiting", looking: "being looked at", answered: "answered", failed: error?.message }[state];
}

/**
 * Takes a photo all the way; never throws.
 * @param {Object} photo changed in place
 * @param {{bytes?: number, pixels?: number}} limits of the server
 * @param {function(Object)} changed called with the photo whenever it has changed
 */
export async function askAbout(photo, limits, changed) {
  const become = (changes) => {
    if (!photo.removed.signal.aborted) changed(Object.assign(photo, changes));
  };
  try {
    await look(photo, limits);
    photo.removed.signal.throwIfAborted(); // removed while it waited
    become({ state: "sending", sent: 0 });
    let answer = await send(photo, !photo.size, become);
    if (photo.size && photo.size.join() !== answer.size.join()) answer = await send(photo, true, become);
    if (!photo.size) photo.thumbnail = await overlayThumbnail(answer);
    become({ state: "answered", answer });
  } catch (error) {
    become({ state: "failed", error });
    if (!(error instanceof ServerError) && error.name !== "AbortError") throw error; // a bug keeps its trace
  }
}

/** What can be told before a photo is sent. */
async function look(photo, { bytes = Infinity, pixels = Infinity }) {
  const { file } = photo;
  if (!(await isReadable(file))) {
    throw new ServerError(`${file.name} cannot be read. If it is a folder, choose the photos in it.`);
  }
  if (bodySize(file) > bytes) throw tooLarge(file, fileSize(file.size), fileSize(bytes));
  const bitmap = await decode(file);
  if (!bitmap) return;
  photo.size = [bitmap.width, bitmap.height];
  photo.thumbnail = drawThumbnail(bitmap);
  bitmap.close();
  const count = photo.size[0] * photo.size[1];
  if (count > pixels) throw tooLarge(file, counted(count, "pixel"), pixels.toLocaleString("en"));
}

function tooLarge(file, size, most) {
  return new ServerError(`${file.name} has ${size}; this server takes up to ${most}. Make it smaller.`);
}

async function send(photo, overlays, become) {
  const { signal } = photo.removed;
  const onProgress = (sent) => become(sent < 1 ? { state: "sending", sent } : { state: "looking" });
  const ask = () => predict([photo.file], { masks: "png", overlays }, { onProgress, signal });
  const answer = await patiently(ask, (wait) => become({ state: "busy", wait }), signal);
  const [first] = answer.photos;
  if (first.error) throw new ServerError(first.error);
  const drawn = Object.entries(first.overlays ?? {}).map(([head, data]) => [head, pngBlob(data)]);
  return { ...first, overlays: Object.fromEntries(drawn), model: first.model ?? answer.model };
}

async function overlayThumbnail(answer) {
  const [drawn] = Object.values(answer.overlays ?? {});
  const bitmap = drawn && (await decode(drawn));
  return bitmap ? drawThumbnail(bitmap) : null;
}
