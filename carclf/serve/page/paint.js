/** Paints a mask and the outlines of single damages over a photo. */

import { make } from "./dom.js";

const EDGE = 2; // canvas pixels that an outline of the mask is wide
const VEIL = "rgb(8 14 18 / 62%)"; // over everything but the damage that is looked at

/**
 * The mask as two layers of a canvas' size: areas, and their outlines, which stay visible when the areas are faint.
 * @param {{width: number, height: number, ids: Uint8Array}} mask
 * @param {number[][]} colors class id -> [r, g, b]; null: that class is not shown
 * @param {number} width of the canvas
 * @param {number} height of the canvas
 * @returns {{areas: HTMLCanvasElement, edges: HTMLCanvasElement}}
 */
export function makeLayers(mask, colors, width, height) {
  const ids = scaleIds(mask, width, height);
  const tones = Uint32Array.from({ length: 256 }, (_, id) => (colors[id] ? toPixel(colors[id]) : 0));
  const [areas, edges] = [new Uint32Array(ids.length), new Uint32Array(ids.length)];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const id = ids[at];
      if (!tones[id]) continue;
      areas[at] = tones[id];
      const inside =
        (x < EDGE || ids[at - EDGE] === id) &&
        (x >= width - EDGE || ids[at + EDGE] === id) &&
        (y < EDGE || ids[at - EDGE * width] === id) &&
        (y >= height - EDGE || ids[at + EDGE * width] === id);
      if (!inside) edges[at] = tones[id];
    }
  }
  return { areas: asCanvas(areas, width, height), edges: asCanvas(edges, width, height) };
}

/** Nearest neighbour: ids cannot be mixed. */
function scaleIds(mask, width, height) {
  const columns = Uint32Array.from({ length: width }, (_, x) => ((x + 0.5) * mask.width) / width);
  const ids = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / height) * mask.width;
    for (let x = 0; x < width; x++, at++) ids[at] = mask.ids[row + columns[x]];
  }
  return ids;
}

/** RGBA in the order of bytes that canvases have. */
function toPixel([red, green, blue]) {
  return new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
}

function asCanvas(pixels, width, height) {
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  return canvas;
}

/** The outlines of regions as paths of the canvas; rings are [x, y, x, y, …] in pixels of the photo. */
export function makePaths(regions, scale) {
  return regions.map(({ polygon }) => {
    const path = new Path2D();
    for (const ring of polygon) {
      for (let i = 0; i + 1 < ring.length; i += 2) path[i ? "lineTo" : "moveTo"](ring[i] * scale, ring[i + 1] * scale);
      path.closePath();
    }
    return path;
  });
}

/** Which region is at a point of the canvas; -1: none. The last one lies on top. */
export function regionAt(canvas, paths, x, y) {
  return paths.findLastIndex((path) => canvas.getContext("2d").isPointInPath(path, x, y, "evenodd"));
}

/**
 * Paints everything.
 * @param {HTMLCanvasElement} canvas
 * @param {Object} scene image; layers or null; opacity 0 to 1; paths; boxes: where numbers go; looked: index of the
 *   region that is looked at, -1: none; dot: canvas pixels per pixel of the screen
 */
export function paint(canvas, { image, layers, opacity, paths, spots, looked, dot }) {
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (layers) {
    context.globalAlpha = opacity;
    context.drawImage(layers.areas, 0, 0);
    context.globalAlpha = 1;
    context.drawImage(layers.edges, 0, 0);
  }
  if (paths[looked]) spotlight(context, paths[looked], dot);
  spots.forEach((spot, number) => badge(context, spot, number + 1, dot, number === looked));
}

function spotlight(context, path, dot) {
  const { width, height } = context.canvas;
  const around = new Path2D();
  around.rect(0, 0, width, height);
  around.addPath(path);
  context.fillStyle = VEIL;
  context.fill(around, "evenodd");
  for (const [color, wide] of [["#0b0f12", 4.5], ["#fff", 2]]) { // seen on light and dark cars
    context.strokeStyle = color;
    context.lineWidth = wide * dot;
    context.stroke(path);
  }
}

function badge(context, [x, y], number, dot, isLooked) {
  const radius = 9 * dot;
  const at = [clamp(x, radius, context.canvas.width), clamp(y, radius, context.canvas.height)];
  context.beginPath();
  context.arc(...at, radius, 0, 2 * Math.PI);
  context.fillStyle = isLooked ? "#fff" : "#0b0f12";
  context.fill();
  context.strokeStyle = isLooked ? "#0b0f12" : "#fff";
  context.lineWidth = 1.5 * dot;
  context.stroke();
  context.fillStyle = context.strokeStyle;
  context.font = `600 ${11 * dot}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(number), at[0], at[1] + dot / 2);
}

function clamp(value, margin, most) {
  return Math.min(Math.max(value, margin), most - margin);
}
