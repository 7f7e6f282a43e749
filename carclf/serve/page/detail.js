/** One photo large: its picture, and what is said of it. */

import { makeAnswers, makeVerdict } from "./answers.js";
import { stateInWords } from "./asking.js";
import { downloadJson, make } from "./dom.js";
import { plainAnswer } from "./one_car.js";
import { makeViewer } from "./viewer.js";
import { fileSize, stem } from "./words.js";

/**
 * @param {Object} photo
 * @param {{trust: Object, thresholds: Object}} server what is known of how good the answers are
 * @param {{remove: function(Object), retry: function(Object)}} act
 * @returns {{parts: Node[], close: function(), toggleMask: function(), update: function()}} update: after a change of
 *   the state in words alone
 */
export function makeDetail(photo, server, act) {
  const { file, answer, error } = photo;
  const viewer = makeViewer(file, answer);
  const status = make("p", { class: "status" }, stateInWords(photo));
  const parts = [
    makeHeader(photo, viewer, act),
    make("div", { class: "detail-body" }, viewer.element,
      make("div", { class: "answers" },
        answer && makeAnswers(answer.heads, server, "of the photo's area"),
        answer && makeSource(answer),
        error && makeError(error, () => act.retry(photo)),
        !answer && !error && status)),
  ];
  return {
    parts,
    close: viewer.close,
    toggleMask: viewer.toggleMask,
    update: () => {
      status.textContent = stateInWords(photo);
    },
  };
}

function makeHeader(photo, viewer, act) {
  const { file, answer } = photo;
  const size = answer?.size ?? photo.size;
  const facts = [size && `${size[0]} × ${size[1]} px`, fileSize(file.size)].filter(Boolean).join(" · ");
  const button = (text, onclick, label = text) => make("button", { type: "button", onclick, "aria-label": label }, text);
  return make("header", { class: "detail-head" },
    make("h2", {}, file.name),
    make("p", { class: "quiet" }, facts),
    answer && makeVerdict(answer.heads),
    make("div", { class: "actions" },
      answer && button("↓ JSON", () => downloadJson(plainAnswer(answer), `${stem(file.name)}.json`), "Download JSON"),
      answer && button("↓ Picture", viewer.save, "Download Picture"),
      button("Remove", () => act.remove(photo))));
}

function makeSource(answer) {
  return make("details", { class: "source" },
    make("summary", {}, "Where this answer comes from"),
    make("dl", {}, [["Model", answer.model], ["Model sha256", answer.model_sha256], ["Photo sha256", answer.photo_sha256]]
      .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
}

function makeError(error, retry) {
  return make("div", { class: "note bad" },
    make("p", {}, make("strong", {}, "No answer for this photo. "), error.message),
    error.requestId && make("p", { class: "quiet" }, `Request ${error.requestId}`),
    make("button", { type: "button", onclick: retry }, "Try again"));
}
