/** The picture of one photo: mask, single damages, zoom. */

import { announce, download, make } from "./dom.js";
import { makeControls } from "./mask_controls.js";
import { readMask } from "./mask_png.js";
import { makeLayers, makePaths, paint, regionAt } from "./paint.js";
import { decode, drawScaled, loadPicture } from "./picture.js";
import { share, stem } from "./words.js";

const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];
const MOST_PIXELS = 16e6;
const NO_MASK = { mask: null, names: [], regions: [] };

/** What stays when the user goes on to the next photo. */
const settings = { on: true, opacity: 0.45, hidden: new Set() };

/**
 * @param {File} file
 * @param {?Object} answer the server's; null while there is none: the photo alone
 * @returns {{element: HTMLElement, close: function(), toggleMask: function(), save: function(): Promise}}
 */
export function makeViewer(file, answer) {
  const canvas = make("canvas", { role: "img", "aria-label": `Photo ${file.name}`, hidden: true });
  const stage = make("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Picture" }, canvas);
  const below = make("div", { class: "below" });
  const element = make("div", { class: "viewer", "aria-busy": "true" }, stage, below);
  const heads = Object.keys(answer?.masks ?? {});
  const viewer = { file, answer, canvas, stage, below, element, head: heads[0], heads, zoom: 1, looked: -1, pinned: -1 };
  viewer.closed = new AbortController();
  window.addEventListener("resize", () => zoomTo(viewer, viewer.zoom), { signal: viewer.closed.signal });
  show(viewer).catch((error) => below.replaceChildren(make("p", { class: "note bad" }, error.message)));
  return {
    element,
    close: () => viewer.closed.abort(),
    toggleMask: () => viewer.controls?.toggle(),
    save: () => save(viewer),
  };
}

async function show(viewer) {
  viewer.picture = await loadPicture(viewer.file, viewer.answer, viewer.head);
  if (viewer.closed.signal.aborted) return;
  viewer.element.removeAttribute("aria-busy");
  if (!viewer.picture) {
    viewer.stage.replaceChildren(make("p", { class: "quiet" }, cannotShow(viewer.answer)));
    return;
  }
  const { image } = viewer.picture;
  Object.assign(viewer.canvas, { width: image.width, height: image.height, hidden: false });
  listen(viewer);
  await showHead(viewer, viewer.head);
}

function cannotShow(answer) {
  return answer
    ? "This browser cannot show this kind of file. The answers are of the photo all the same."
    : "This file cannot be shown here.";
}

async function showHead(viewer, head) {
  const { answer, picture, canvas } = viewer;
  Object.assign(viewer, NO_MASK, { head, looked: -1, pinned: -1 });
  if (head) {
    const said = answer.heads[head];
    viewer.mask = picture.hasMask ? null : await readMask(answer.masks[head]);
    Object.assign(viewer, { names: Object.keys(said.percent), regions: said.regions ?? [] });
  }
  viewer.paths = makePaths(viewer.regions, picture.scale);
  viewer.spots = makeSpots(viewer.regions, picture.scale);
  makeMaskLayers(viewer);
  viewer.controls = makeControls(viewer, settings, {
    onLook: (region) => look(viewer, region),
    onChange: () => redraw(viewer),
    onClasses: () => {
      makeMaskLayers(viewer);
      redraw(viewer);
    },
    onHead: (name) => changeHead(viewer, name),
    onZoom: (step) => zoomBy(viewer, step),
  });
  viewer.below.replaceChildren(viewer.controls.element);
  canvas.setAttribute("aria-label", describe(viewer));
  zoomTo(viewer, viewer.zoom);
}

async function changeHead(viewer, head) {
  if (viewer.picture.hasMask) viewer.picture = await loadPicture(viewer.file, viewer.answer, head);
  await showHead(viewer, head);
}

function makeMaskLayers(viewer) {
  const { mask, names, canvas } = viewer;
  if (!mask) {
    viewer.layers = null;
    return;
  }
  viewer.layers = makeLayers(mask, shownColors(mask, names), canvas.width, canvas.height);
}

/** Class id -> its colour, null for the background and for classes that are switched off. */
function shownColors(mask, names) {
  return [null, ...names.map((name, place) => (settings.hidden.has(name) ? null : mask.palette[place + 1]))];
}

/** Where the numbers of regions go. */
function makeSpots(regions, scale) {
  return regions.map(({ box: [x, y, width, height] }) => [(x + width / 2) * scale, (y + height / 2) * scale]);
}

function describe({ file, head, answer, picture, regions }) {
  if (!head) return `Photo ${file.name}`;
  const damaged = answer.heads[head].damaged_percent;
  const found = `${regions.length} single ${regions.length === 1 ? "damage" : "damages"}`;
  const drawn = picture.hasMask ? "drawn by the server, with the mask" : "with the mask over it";
  return `Photo ${file.name} ${drawn}: ${damaged == null ? "share not known" : `${share(damaged)} damaged`}, ${found}`;
}

function redraw(viewer) {
  const { canvas, picture, layers, paths, spots, looked } = viewer;
  const dot = canvas.width / (canvas.getBoundingClientRect().width || canvas.width);
  const shown = settings.on || picture.hasMask;
  paint(canvas, {
    image: picture.image,
    layers: shown ? layers : null,
    opacity: settings.opacity,
    paths,
    spots: shown ? spots : [],
    looked,
    dot,
  });
}

/** Looks at one region; -1: back to the one that was chosen, if any. */
function look(viewer, region) {
  viewer.looked = region < 0 ? viewer.pinned : region;
  viewer.controls.mark(viewer.looked, viewer.pinned);
  redraw(viewer);
}

function listen(viewer) {
  const { canvas, stage } = viewer;
  const at = (event) => {
    const place = canvas.getBoundingClientRect();
    const dot = canvas.width / place.width;
    return regionAt(canvas, viewer.paths, (event.clientX - place.left) * dot, (event.clientY - place.top) * dot);
  };
  canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && look(viewer, at(event)));
  canvas.addEventListener("pointerleave", () => look(viewer, -1));
  canvas.addEventListener("click", (event) => viewer.controls.choose(at(event)));
  stage.addEventListener("keydown", (event) => {
    const zoom = { "+": 1, "=": 1, "-": -1, 0: -ZOOMS.length }[event.key];
    if (zoom && !event.ctrlKey && !event.metaKey) zoomBy(viewer, zoom);
    else if (event.key === "m") viewer.controls.toggle();
  });
}

function zoomBy(viewer, step) {
  const place = Math.min(Math.max(ZOOMS.indexOf(viewer.zoom) + step, 0), ZOOMS.length - 1);
  zoomTo(viewer, ZOOMS[place]);
  announce(viewer.zoom === 1 ? "The whole picture" : `Zoom ${viewer.zoom}`);
}

/** At 1 the style sheet makes the picture fit; above, it is that many times wider and scrolls within its stage. */
function zoomTo(viewer, zoom) {
  const { canvas, stage, picture } = viewer;
  if (!picture) return;
  const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
  const ratio = zoom / viewer.zoom;
  canvas.style.removeProperty("width");
  canvas.classList.remove("is-zoomed");
  const fitting = canvas.getBoundingClientRect().width;
  if (zoom > 1) {
    canvas.classList.add("is-zoomed");
    canvas.style.setProperty("width", `${fitting * zoom}px`);
    stage.scrollTo(middle[0] * ratio - stage.clientWidth / 2, middle[1] * ratio - stage.clientHeight / 2);
  }
  viewer.zoom = zoom;
  redraw(viewer);
}

/** The photo at its own size (16 megapixels at most, which all browsers can do) with its mask as it is shown now. */
async function save(viewer) {
  const { file, answer, picture, mask, names, regions } = viewer;
  if (!picture) return;
  const name = `${stem(file.name)}_mask`;
  if (picture.hasMask) {
    download(answer.overlays[viewer.head], `${name}.png`);
    return;
  }
  const bitmap = await decode(file);
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const image = drawScaled(bitmap, scale);
  bitmap.close();
  const canvas = make("canvas", { width: image.width, height: image.height });
  const layers = settings.on && mask ? makeLayers(mask, shownColors(mask, names), canvas.width, canvas.height) : null;
  const spots = layers ? makeSpots(regions, scale) : [];
  const dot = Math.max(canvas.width, canvas.height) / 1000;
  paint(canvas, { image, layers, opacity: settings.opacity, paths: [], spots, looked: -1, dot });
  canvas.toBlob((blob) => download(blob, `${name}.jpg`), "image/jpeg", 0.92);
}
