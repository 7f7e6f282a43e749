/** What leaving the least sure photos to people is worth: how wrong the rest is then. */

import { make, makeSvg, makeTableHead } from "./dom.js";
import { score } from "./metric_words.js";
import { counted, percent } from "./words.js";

const ERRORS = {
  categorical: "Error: the label is wrong.",
  multi_label: "Error: any of the labels is wrong.",
  segmentation: "Error: 1 − overlap (Dice) of a photo's mask.",
};
const CHART = { width: 260, height: 180, left: 38, bottom: 34, free: 12 };

/** @param {Object} head of results.json; null for runs that have not measured it */
export function makeRisk(name, { kind, risk_coverage: risk }) {
  if (!risk) return null;
  return make("div", { class: "columns" },
    make("div", {},
      make("p", {}, "The photos that the head is least sure of can be left to people. ", ERRORS[kind]),
      makeTable(risk.left_to_people),
      risk.told && make("p", {}, tell(risk.told))),
    riskChart(risk.curve, name));
}

function makeTable(lines) {
  const row = ({ percent: left, answered, error, interval: [low, high] }) => make("tr", {},
    make("th", { scope: "row" }, `${left}\u00a0%`),
    make("td", { class: "figure" }, answered),
    make("td", { class: "figure strong" }, score(error)),
    make("td", { class: "figure" }, low == null ? "–" : `${score(low)} to ${score(high)}`));
  const figures = ["Photos answered", "Mean error of these", "95 % interval"];
  return make("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": "Photos left to people" },
    make("table", {},
      makeTableHead(["Left to people", ...figures], figures),
      make("tbody", {}, lines.map(row))));
}

/** What the model as it runs leaves to people. */
function tell({ left, precision, unmet }) {
  const told = `As it is set now, it says “cannot say” of ${percent(left.value)} of the photos`;
  const rest = precision.value == null ? "." : `; of the rest, ${percent(precision.value)} are right (mean quality).`;
  return `${told}${rest}${unmet.length ? ` The wanted precision was not met in ${counted(unmet.length, "part")}.` : ""}`;
}

function riskChart({ coverage, error, low, high }, name) {
  const { width, height, left, bottom, free } = CHART;
  const points = coverage.map((share, i) => [share, error[i], low[i], high[i]]).filter((point) => !point.includes(null));
  if (!points.length) return null;
  const most = Math.max(0.1, ...points.map((point) => point[3]));
  const x = (share) => left + ((100 - share) / 100) * (width - left - free);
  const y = (value) => free + (1 - value / most) * (height - bottom - free);
  const line = (column) => points.map((point) => `${x(point[0])},${y(point[column])}`);
  const text = (place, words) => makeSvg("text", place, words);
  const told = [100, 75, 50, 25].map((share) => points.find((point) => point[0] === share)).filter(Boolean)
    .map(([share, value]) => `${100 - share} % left: ${score(value)}`);
  return make("figure", { class: "chart" },
    makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${name}, mean error: ${told.join("; ")}` },
      makeSvg("polygon", { class: "band", points: [...line(2), ...line(3).reverse()].join(" ") }),
      makeSvg("polyline", { class: "curve", points: line(1).join(" ") }),
      makeSvg("line", { class: "frame", x1: left, y1: y(0), x2: width - free, y2: y(0) }),
      makeSvg("line", { class: "frame", x1: left, y1: y(0), x2: left, y2: free }),
      [0, most].map((value) => text({ x: left - 5, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2))),
      [100, 50, 0].map((share) => text({ x: x(share), y: height - bottom + 15, "text-anchor": "middle" }, 100 - share)),
      text({ x: (left + width - free) / 2, y: height - 5, "text-anchor": "middle" }, "left to people, %")),
    make("figcaption", { class: "quiet" }, "Mean error of the rest, with its 95 % interval."));
}
