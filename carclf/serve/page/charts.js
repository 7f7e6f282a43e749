/** Small charts: an interval on a line from 0 to 1, and how often answers came true. */

import { make, makeSvg } from "./dom.js";
import { score } from "./metric_words.js";
import { counted, percent } from "./words.js";

const LINE = { width: 160, height: 18, margin: 6 };
const SQUARE = { side: 230, margin: 38, free: 12 };

/** The 95 % interval, the mean as a dot, the constant answer as a tick; null where a value is outside of [0, 1]. */
export function intervalChart({ mean, interval: [low, high], baseline }) {
  const values = [mean, low, high, baseline].filter((value) => value != null);
  if (values.some((value) => value < 0 || value > 1)) return null;
  const { width, height, margin } = LINE;
  const at = (value) => margin + value * (width - 2 * margin);
  const middle = height / 2;
  return makeSvg("svg", { class: "interval", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    makeSvg("line", { class: "axis", x1: at(0), x2: at(1), y1: middle, y2: middle }),
    low != null && makeSvg("line", { class: "range", x1: at(low), x2: at(high), y1: middle, y2: middle }),
    baseline != null && makeSvg("line", { class: "baseline", x1: at(baseline), x2: at(baseline), y1: 2, y2: height - 2 }),
    makeSvg("circle", { class: "mean", cx: at(mean), cy: middle, r: 4 }),
  );
}

/**
 * Stated probability against how often it came true.
 * @param {{n: number, confidence: number, came_true: number}[]} bins
 */
export function reliabilityChart(bins, name) {
  const { side, margin, free } = SQUARE;
  const span = side - margin - free;
  const x = (value) => margin + value * span;
  const y = (value) => free + (1 - value) * span;
  const most = Math.max(...bins.map((bin) => bin.n));
  const ticks = [0, 0.5, 1].flatMap((value) => [
    makeSvg("text", { x: x(value), y: side - margin + 15, "text-anchor": "middle" }, 100 * value),
    makeSvg("text", { x: margin - 6, y: y(value) + 4, "text-anchor": "end" }, 100 * value),
  ]);
  const svg = makeSvg("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": inWords(bins, name) },
    makeSvg("rect", { class: "frame", x: x(0), y: y(1), width: span, height: span }),
    makeSvg("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    makeSvg("polyline", { class: "curve", points: bins.map((bin) => `${x(bin.confidence)},${y(bin.came_true)}`).join(" ") }),
    bins.map((bin) => makeSvg("circle", {
      class: "bin", cx: x(bin.confidence), cy: y(bin.came_true), r: 2 + 3 * Math.sqrt(bin.n / most),
    }, makeSvg("title", {}, binInWords(bin)))),
    ticks,
    makeSvg("text", { x: x(0.5), y: side - 6, "text-anchor": "middle" }, "it says, %"),
    makeSvg("text", { x: 10, y: y(0.5), "text-anchor": "middle", transform: `rotate(-90 10 ${y(0.5)})` }, "came true, %"),
  );
  return make("figure", { class: "chart" }, svg, make("figcaption", { class: "quiet" },
    "A point on the dashed line: of answers given with that probability, as many came true."));
}

function inWords(bins, name) {
  return `${name}: stated probability and how often it came true: ${bins.map(binInWords).join("; ")}`;
}

function binInWords({ n, confidence, came_true: came }) {
  return `${percent(confidence)} stated, ${percent(came)} came true, ${counted(n, "answer")}`;
}

/** A row of a table: the metric's value, interval and constant answer as text. */
export function figures({ mean, interval: [low, high], baseline }) {
  return [score(mean), low == null ? "–" : `${score(low)} to ${score(high)}`, score(baseline)];
}
