/** All photos as one case: one car, one combined answer. */

import { predict } from "./api.js";
import { makeAnswers, makeVerdict } from "./answers.js";
import { bodySize, isDone } from "./asking.js";
import { announce, downloadJson, make, makeTableHead } from "./dom.js";
import { patiently } from "./queue.js";
import { counted, fileSize, inWords, percent, share, summary, sureness, title } from "./words.js";

/**
 * A case before it is asked about. `state`: waiting, asking, answered or failed; `of`: the photos that it is of;
 * `changed`: ends a request about other photos; `isWorthRetrying`: the request failed, not the photos.
 */
export function makeCase() {
  return { isOn: false, of: "", ...makeQuestion(0) };
}

function makeQuestion(count) {
  return { state: "waiting", count, heads: null, error: "", isWorthRetrying: false, changed: new AbortController() };
}

/**
 * Asks for the combined answer once all photos have theirs, and again when photos come or go.
 * @param {Object} car changed in place
 * @param {Object[]} photos
 * @param {{photos?: number}} limits of the server
 * @param {function()} changed called whenever the case has changed
 */
export async function combine(car, photos, limits, changed) {
  const good = photos.filter((photo) => photo.answer);
  const of = photos.every(isDone) ? `of ${good.map((photo) => photo.id)}` : "";
  if (!car.isOn || of === car.of) return;
  car.changed.abort();
  const fresh = makeQuestion(good.length);
  Object.assign(car, fresh, { of });
  const files = good.map((photo) => photo.file);
  const error = of ? tooMuch(files, limits) : "";
  if (of) Object.assign(car, error ? { state: "failed", error } : { state: "asking" });
  changed();
  if (car.state !== "asking") return;
  const result = await ask(files, fresh.changed.signal);
  if (fresh.changed.signal.aborted) return; // photos came or went in the meantime
  Object.assign(car, result);
  announce(car.heads ? `This car: ${summary(car.heads)}` : `This car: ${car.error}`);
  changed();
}

/** Why the photos cannot be asked about in one request; "" if they can. */
function tooMuch(files, { photos: most = Infinity, bytes = Infinity }) {
  if (!files.length) return "No photo of this car has an answer.";
  if (files.length > most) {
    return `This server combines up to ${counted(most, "photo")}. Remove ${files.length - most}.`;
  }
  const size = files.reduce((sum, file) => sum + bodySize(file), 0);
  if (size <= bytes) return "";
  return `The photos have ${fileSize(size)} together; this server combines up to ${fileSize(bytes)}. Remove some, or `
    + "add smaller ones.";
}

async function ask(files, signal) {
  try {
    const answer = await patiently(() => predict(files, { case: true }, { signal }), () => {}, signal);
    return { state: "answered", heads: answer.case.heads };
  } catch (error) {
    return { state: "failed", error: error.message, isWorthRetrying: true };
  }
}

export function caseInWords(car) {
  const { state, error, count, heads } = car;
  if (state === "answered") return Object.values(heads).map(inWords).join(" · ");
  return { waiting: "waiting for the photos", asking: `${counted(count, "photo")} being combined`, failed: error }[state];
}

/**
 * The combined answer, and below it what each photo says.
 * @param {{select: function(Object), retry: function()}} act select: called with the photo that the user wants to see
 */
export function makeCaseDetail(car, photos, { select, retry }) {
  const good = photos.filter((photo) => photo.answer);
  return [
    make("header", { class: "detail-head" },
      make("h2", {}, "This car"),
      make("p", { class: "quiet" },
        car.heads ? `combined from ${counted(car.count, "photo")}` : car.state !== "failed" && caseInWords(car)),
      car.heads && makeVerdict(car.heads),
      car.heads && make("div", { class: "actions" },
        make("button", { type: "button", "aria-label": "Download JSON", onclick: () => downloadCase(car, good) }, "↓ JSON"))),
    car.state === "failed" && make("div", { class: "note bad" }, make("p", {}, car.error),
      car.isWorthRetrying && make("button", { type: "button", onclick: retry }, "Try again")),
    car.heads && make("div", { class: "case-answers" },
      makeAnswers(car.heads, { trust: {}, thresholds: {} }, "of the photo with the most damage")),
    car.heads && make("p", { class: "quiet" },
      "How often answers are right was tested photo by photo, not for combined answers."),
    good.length > 0 && makeTable(good, select),
    car.heads && makeDamages(car.heads, good, select),
  ];
}

/** The single damages of all photos, each leading to its photo. */
function makeDamages(heads, photos, select) {
  const found = Object.values(heads).flatMap((head) => head.regions ?? []);
  if (!found.length) return null;
  const row = ({ class: name, probability, percent: size, photo, photo_index: place }) => make("tr", {},
    make("th", { scope: "row" }, name),
    make("td", {}, `${sureness(probability).word}, ${percent(probability)}`),
    make("td", { class: "figure" }, share(size)),
    make("td", {}, photos[place]
      ? make("button", { type: "button", class: "link", onclick: () => select(photos[place]) }, photo)
      : photo));
  return make("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": "Single damages" },
    make("table", {},
      make("caption", {}, "Single damages in all photos; one that two photos show is listed twice"),
      makeTableHead(["Damage", "Sure", "Share", "Photo"], ["Share"]),
      make("tbody", {}, found.map(row))));
}

function downloadCase(car, photos) {
  downloadJson({ case: { heads: car.heads }, photos: photos.map((photo) => plainAnswer(photo.answer)) }, "car.json");
}

/** The answer without its pictures: what `predict` prints. */
export function plainAnswer({ masks: _masks, overlays: _overlays, ...fields }) {
  return fields;
}

function makeTable(photos, select) {
  const heads = Object.keys(photos[0].answer.heads);
  return make("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": "Photo by photo" },
    make("table", { class: "by-photo" },
      make("caption", {}, "Photo by photo"),
      makeTableHead(["Photo", ...heads.map(title)]),
      make("tbody", {}, photos.map((photo) => make("tr", {},
        make("th", { scope: "row" },
          make("button", { type: "button", class: "link", onclick: () => select(photo) }, photo.file.name)),
        heads.map((head) => make("td", {}, inWords(photo.answer.heads[head]))))))));
}
