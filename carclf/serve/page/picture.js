/** Photos as pictures: decoded by the browser, or drawn by the server where the browser cannot show such a file. */

import { make } from "./dom.js";

const MOST_SIDE = 2048; // pixels of a canvas' longer side: sharp when zoomed in, and 16 MB at most
const LEAST_SIDE = 1280; // smaller photos are enlarged, so that outlines are finer than their pixels
const THUMBNAIL = [96, 72];

/**
 * Decodes a photo, held upright as its EXIF orientation says.
 * @param {Blob} blob
 * @returns {Promise<?ImageBitmap>} null if the browser cannot show it
 */
export async function decode(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}

/** Whether the file can be read at all: a folder that was dropped, or a file that has gone, cannot. */
export async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

export function pngBlob(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

/** By how much a photo is scaled to be worked on. */
export function workingScale(width, height) {
  const side = Math.max(width, height);
  return side >= LEAST_SIDE ? Math.min(1, MOST_SIDE / side) : Math.ceil(LEAST_SIDE / side);
}

/** @returns {HTMLCanvasElement} the picture, scaled */
export function drawScaled(bitmap, scale) {
  const canvas = make("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @returns {HTMLCanvasElement} the middle of the picture, small */
export function drawThumbnail(bitmap) {
  const [width, height] = THUMBNAIL;
  const canvas = make("canvas", { width, height, class: "thumbnail", "aria-hidden": "true" });
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const size = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  return canvas;
}

/**
 * The picture of a photo as large as it is worked on.
 * @param {File} file
 * @param {?Object} answer the server's, if there is one
 * @param {string} [head] whose mask is shown
 * @returns {Promise<?{image: HTMLCanvasElement, scale: number, hasMask: boolean}>} hasMask: the server drew it, with the
 *   mask on it; null: nobody can show it
 */
export async function loadPicture(file, answer, head) {
  const bitmap = await decode(file);
  if (bitmap && isUpright(bitmap, answer)) return asPicture(bitmap, false);
  bitmap?.close();
  const drawn = answer?.overlays?.[head];
  const overlay = drawn && (await decode(drawn));
  return overlay ? asPicture(overlay, true) : null;
}

/** Whether the browser holds the photo as the server does; some browsers ignore the orientation of some files. */
export function isUpright(bitmap, answer) {
  return !answer?.size || (bitmap.width === answer.size[0] && bitmap.height === answer.size[1]);
}

function asPicture(bitmap, hasMask) {
  const scale = workingScale(bitmap.width, bitmap.height);
  const image = drawScaled(bitmap, scale);
  bitmap.close();
  return { image, scale, hasMask };
}
