/** The page about the model: what its figures in results.json are, and what they mean. */

import { fetchPicture } from "./api.js";
import { figures, intervalChart, reliabilityChart } from "./charts.js";
import { make, makeTableHead } from "./dom.js";
import { against, decisiveMetric, metricMeaning, metricTitle, score, sortMetrics } from "./metric_words.js";
import { makeRisk } from "./risk_view.js";
import { counted, title } from "./words.js";

const PICTURES = {
  accuracy: "how the score changed while training",
  loss: "how the loss changed while training",
  risk_coverage: "error of the rest when the least sure photos are left to people",
  confusion: "which classes were taken for which",
  reliability: "stated probabilities against how often they came true",
  masks: "photos with true and predicted masks",
};
const VERDICTS = {
  better: ["Better than a constant answer", "good"],
  worse: ["Worse than a constant answer: do not rely on it", "bad"],
  unclear: ["Not shown to be better than a constant answer: do not rely on it", "warn"],
};

/** @param {{results: Object, text: string, pictures: string[]}} report what GET /v1/report says */
export function makeModelView(report) {
  const { results, text, pictures } = report;
  const heads = Object.entries(results.heads);
  return [
    makeFacts(results),
    makeMeaning(results),
    heads.map(([name, head]) => makeHead(name, head, pictures.filter((each) => isOf(each, name, heads)))),
    makeMore("The whole of results.txt",
      make("pre", { class: "results", tabindex: "0", role: "region", "aria-label": "results.txt" }, text)),
  ];
}

/** Pictures are called <model>_<head>_<what>.png; one head's name may be the end of another's. */
function isOf(picture, name, heads) {
  const fitting = heads.map(([each]) => each).filter((each) => picture.includes(`_${each}_`));
  return fitting.sort((a, b) => b.length - a.length)[0] === name;
}

function makeFacts({ model, backbone, photos, groups, folds, skipped, carclf_version: version }) {
  const rows = [
    ["Model", model],
    ["Judged on", `${counted(photos, "photo")} of ${counted(groups, "car or scene", "cars or scenes")}, in ${folds} parts`],
    ["Looks through", backbone.source === "none"
      ? "networks trained from scratch"
      : `${backbone.source} backbone, ${backbone.image_size} px`],
    ["Left out", skipped.length ? counted(skipped.length, "photo") : "no photo"],
    ["Made with", `carclf ${version}`],
  ];
  return make("dl", { class: "facts" },
    rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function makeMeaning({ intervals, backbone }) {
  return make("section", { class: "card" },
    make("h2", {}, "What the figures mean"),
    backbone.seen_drawn_cars && make("p", { class: "note warn" },
      "The backbone of this model has learnt from drawn cars only. It is there to try the program out, not for photos."),
    make("ul", {},
      make("li", {}, "Every photo was judged by a model that had not seen it, nor one that is known to show the same car."),
      make("li", {}, "They hold for photos like those of training. Other cameras, places, cars or kinds of damage usually "
        + "score lower: measure it on some of your own (python main.py evaluate) before you rely on them."),
      make("li", {}, "Interval: how far a figure may be off because the photos are no more than a sample "
        + `(${100 * intervals.coverage} %). What training again would change is not in it.`),
      make("li", {}, "Constant answer: what always saying the same would score. A figure near it means that nothing "
        + "was learnt."),
      make("li", {}, "A mask says which pixels look damaged, not what a repair costs. Nothing here replaces an assessor.")));
}

function makeHead(name, head, pictures) {
  const decisive = decisiveMetric(head);
  const [words, tone] = VERDICTS[decisive ? against(decisive, head.metrics[decisive]) : "unclear"];
  const [first, others] = sortMetrics(head);
  return make("section", { class: "card head-report", "data-head": name, "aria-labelledby": `report-${name}` },
    make("h2", { id: `report-${name}` }, title(name)),
    make("p", {}, make("span", { class: `badge ${tone}` }, words),
      ` ${counted(head.photos, "labelled photo")}`,
      decisive ? `; decided by “${metricTitle(decisive)}”.` : "."),
    make("div", { class: "columns" },
      makeMetrics(head, first, `Main figures of ${name}`),
      head.calibration && reliabilityChart(head.calibration.after_temperature, title(name))),
    head.risk_coverage && makeMore("If unsure photos are left to people", makeRisk(title(name), head)),
    makeMore("Class by class", makeClasses(head), head.kind === "categorical" && makeConfusion(head)),
    others.length > 0 && makeMore("All other figures", makeMetrics(head, others, `Other figures of ${name}`)),
    pictures.length > 0 && makePictures(name, pictures));
}

function makeMore(summary, ...content) {
  return make("details", {}, make("summary", {}, summary), content);
}

function scrolling(label, table) {
  return make("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": label }, table);
}

/** The roles are stated, as the narrow page lays the rows out as blocks, which would take them away. */
function makeMetrics(head, metrics, label) {
  const row = (metric) => {
    const [mean, interval, baseline] = figures(head.metrics[metric]);
    return make("tr", { role: "row" },
      make("th", { scope: "row", role: "rowheader" }, metricTitle(metric),
        make("span", { class: "quiet meaning" }, metricMeaning(metric, head))),
      make("td", { role: "cell", class: "figure strong" }, mean),
      make("td", { role: "cell", class: "figure", "data-label": "interval" }, interval),
      make("td", { role: "cell", class: "figure", "data-label": "constant" }, baseline),
      make("td", { role: "cell", class: "chart-cell" }, intervalChart(head.metrics[metric])));
  };
  const figureColumns = ["Mean", "95 % interval", "Constant answer"];
  const columns = ["Figure", ...figureColumns, "0 to 1; dashed: constant"];
  return scrolling(label, make("table", { class: "metrics", role: "table" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
      columns.map((text) => make("th",
        { scope: "col", role: "columnheader", class: figureColumns.includes(text) ? "figure" : null }, text)))),
    make("tbody", { role: "rowgroup" }, metrics.map(row))));
}

function makeClasses(head) {
  const columns = head.kind === "segmentation"
    ? { n: "Photos", precision: "Drawn and right", recall: "There and drawn", f1: "Dice", found: "Damages found" }
    : { n: "Photos", precision: "Named and right", recall: "There and named", f1: "F1", threshold: "Named from" };
  const cell = (row, key) => make("td", { class: "figure" }, key === "n" ? row.n : score(row[key]));
  return scrolling("Class by class", make("table", {},
    makeTableHead(["Class", ...Object.values(columns)], Object.values(columns)),
    make("tbody", {}, Object.entries(head.labels).map(([name, row]) =>
      make("tr", {}, make("th", { scope: "row" }, name), Object.keys(columns).map((key) => cell(row, key)))))));
}

/** Rows: what is true; the more of a row's photos, the darker. */
function makeConfusion({ class_names: names, confusion }) {
  const cell = (count, row, isRight) => {
    const depth = Math.ceil((4 * count) / Math.max(1, row.reduce((a, b) => a + b, 0)));
    return make("td", { class: `figure depth-${depth} ${isRight ? "is-right" : ""}` }, count);
  };
  return scrolling("Which class was taken for which", make("table", { class: "confusion" },
    make("caption", {}, "Photos by what they truly show (rows) and what was answered (columns)"),
    make("thead", {}, make("tr", {}, make("td"), names.map((name) => make("th", { scope: "col", class: "figure" }, name)))),
    make("tbody", {}, confusion.map((row, place) => make("tr", {},
      make("th", { scope: "row" }, names[place]), row.map((count, column) => cell(count, row, place === column)))))));
}

/** The pictures of the run, fetched when they are first looked at. */
function makePictures(head, names) {
  const more = makeMore(`Pictures of training (${names.length})`);
  more.addEventListener("toggle", () => names.forEach((name) => showPicture(more, head, name)), { once: true });
  return more;
}

async function showPicture(place, head, name) {
  const what = Object.entries(PICTURES).find(([end]) => name.endsWith(`_${end}.png`))?.[1] ?? name;
  const figure = make("figure", { class: "picture" }, make("figcaption", { class: "quiet" }, `${title(head)}: ${what}`));
  place.append(figure);
  try {
    figure.prepend(make("img", { src: await fetchPicture(name), alt: `${title(head)}: ${what}` }));
  } catch (error) {
    figure.append(make("p", { class: "note bad" }, error.message));
  }
}
