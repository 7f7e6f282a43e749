/**
 * Reads an indexed PNG: which class every pixel has.
 *
 * The browser's own decoder gives colours, which two classes may share and which colour management may change; class ids
 * must come through exactly, so the few kinds of PNG that hold them are unpacked here.
 */

const SIGNATURE = "137,80,78,71,13,10,26,10";
const GREY = 0;
const INDEXED = 3;
/** What each of PNG's filters expects of a byte from those to its left, above it, and above to its left. */
const FILTERS = [null, (left) => left, (left, up) => up, (left, up) => (left + up) >> 1, paeth];

/**
 * @param {string} base64 a PNG of ids: indexed or grey, 1 to 8 bits, not interlaced
 * @returns {Promise<{width: number, height: number, ids: Uint8Array, palette: number[][]}>} ids row by row
 */
export async function readMask(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  if (bytes.subarray(0, 8).join() !== SIGNATURE) throw new Error("The mask is no PNG.");
  const { header, palette, packed } = readChunks(bytes);
  const width = header.getUint32(0);
  const height = header.getUint32(4);
  const [depth, kind, , , interlaced] = [8, 9, 10, 11, 12].map((place) => header.getUint8(place));
  if ((kind !== INDEXED && kind !== GREY) || depth > 8 || interlaced) throw new Error("The mask is no PNG of class ids.");
  const rows = await inflate(packed);
  const length = Math.ceil((width * depth) / 8);
  unfilter(rows, length, height);
  return { width, height, ids: unpack(rows, width, height, depth), palette };
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer);
  const found = { header: null, palette: [], packed: [] };
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") found.header = new DataView(bytes.buffer, at + 8, length);
    if (kind === "IDAT") found.packed.push(body);
    if (kind === "PLTE") for (let i = 0; i + 2 < length; i += 3) found.palette.push([...body.subarray(i, i + 3)]);
    at += 12 + length;
  }
  if (!found.header) throw new Error("The mask is cut off.");
  return found;
}

async function inflate(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes the filter of every row, in place; a row is its filter's number and `length` bytes, a pixel at most one byte. */
function unfilter(rows, length, height) {
  if (rows.length < (length + 1) * height) throw new Error("The mask is cut off.");
  for (let row = 0; row < height; row++) {
    const start = row * (length + 1) + 1;
    const above = row ? start - length - 1 : -1;
    const expect = FILTERS[rows[start - 1]];
    for (let i = 0; expect && i < length; i++) {
      const left = i ? rows[start + i - 1] : 0;
      const up = above < 0 ? 0 : rows[above + i];
      const corner = i && above >= 0 ? rows[above + i - 1] : 0;
      rows[start + i] += expect(left, up, corner);
    }
  }
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function unpack(rows, width, height, depth) {
  const length = Math.ceil((width * depth) / 8);
  const ids = new Uint8Array(width * height);
  const most = (1 << depth) - 1;
  for (let y = 0; y < height; y++) {
    const start = y * (length + 1) + 1;
    if (depth === 8) {
      ids.set(rows.subarray(start, start + width), y * width);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      ids[y * width + x] = (rows[start + (bit >> 3)] >> (8 - depth - (bit & 7))) & most;
    }
  }
  return ids;
}
