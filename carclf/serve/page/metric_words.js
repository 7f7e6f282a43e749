/** What the figures of results.json mean, in plain words. */

/** metric -> [title, what it says]. The order is that of the page; others follow under their own names. */
const WORDS = {
  accuracy: ["Right answers", "share of all photos that get the right class"],
  accuracy_damaged: [
    "Right answers on damaged cars", "telling damaged from whole is easy, so this is the one to look at",
  ],
  macro_f1: [
    "F1, mean over classes", "found and right at once; rare classes count as much as frequent ones; 1 is perfect",
  ],
  mean_ap: [
    "Average precision, mean over classes", "how well photos with a class are ranked before those without; 1 is perfect",
  ],
  binary_accuracy: ["Right yes or no per class", "rare classes make it high without any merit, so look at F1"],
  dice_damaged: [
    "Overlap on damaged photos (Dice)",
    "drawn area against true area, all photos with damage together; 1 is the same area",
  ],
  dice_per_photo: ["Overlap per damaged photo (Dice)", "the same for each photo by itself, then the mean"],
  dice: ["Overlap on all photos (Dice)", "false alarms on undamaged photos count, too"],
  iou_damaged: ["Overlap on damaged photos (IoU)", "shared area over joint area, a stricter measure"],
  iou: ["Overlap on all photos (IoU)", "shared area over joint area"],
  precision: ["Drawn area that is damaged", "share of the pixels drawn as damage"],
  recall: ["Damaged area that is drawn", "share of the pixels that are damaged"],
  region_recall: ["Single damages found", "with at least half the area in common"],
  region_precision: ["Listed damages that are real", "with at least half the area in common"],
  false_alarm: ["False alarms", "share of undamaged photos in which damage is drawn"],
  boundary_f1: ["Outlines", "how often outlines lie where they should; 1 is always"],
  ap50: ["Average precision of single damages (AP50)", "COCO's, at half the area in common"],
  ap: ["Average precision of single damages (AP)", "COCO's, the mean over stricter and stricter overlaps"],
  produced_rate: ["Something was drawn", "share of photos with damage, wherever it was drawn"],
  calibration_error: ["Stated against true chance", "by how much the stated probabilities are off"],
  calibration_error_raw: ["The same before correction", "as the head says it by itself"],
  log_loss: ["Log loss", "punishes being sure and wrong; 0 is perfect"],
  brier: ["Brier score", "squared distance of the probabilities from the truth; 0 is perfect"],
  categorical_crossentropy: ["Cross entropy per pixel", "counts the background, as published projects report it"],
  dice_coef_multiclass: [
    "Dice with the background", "as published projects report it; drawing nothing scores almost as much",
  ],
};
const LOWER_IS_BETTER = new Set([
  "log_loss", "brier", "calibration_error", "calibration_error_raw", "false_alarm", "categorical_crossentropy",
]);
const HEADLINES = {
  categorical: ["accuracy", "accuracy_damaged", "macro_f1", "calibration_error"],
  multi_label: ["macro_f1", "mean_ap", "binary_accuracy", "calibration_error"],
  segmentation: ["dice_damaged", "dice_per_photo", "region_recall", "region_precision", "false_alarm"],
};
/** The metrics that say whether a head has learnt anything; the first that the photos define. */
const DECISIVE = {
  categorical: ["accuracy_damaged", "accuracy"],
  multi_label: ["macro_f1"],
  segmentation: ["dice_damaged", "dice"],
};

export function metricTitle(metric) {
  return WORDS[metric]?.[0] ?? metric.replaceAll("_", " ");
}

export function metricMeaning(metric, head) {
  const chance = metric === "calibration_error" ? head.calibration?.by_chance?.mean : null;
  const luck = chance == null ? "" : `; with so few photos, ${score(chance)} by luck alone`;
  const meaning = (WORDS[metric]?.[1] ?? "") + luck;
  return LOWER_IS_BETTER.has(metric) ? `${meaning}${meaning && "; "}lower is better` : meaning;
}

/** @returns {[string[], string[]]} the metrics of a head that count most, and the others; those without a value left out */
export function sortMetrics(head) {
  const known = Object.keys(head.metrics).filter((name) => head.metrics[name].mean != null);
  const order = Object.keys(WORDS);
  const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  const first = HEADLINES[head.kind].filter((name) => known.includes(name));
  return [first, known.filter((name) => !first.includes(name)).sort((a, b) => place(a) - place(b))];
}

export function decisiveMetric(head) {
  return DECISIVE[head.kind].find((name) => head.metrics[name]?.mean != null);
}

/** Whether a head beats the best constant answer: "better", "worse", or "unclear" where the interval holds both. */
export function against(metric, { interval, baseline }) {
  const [low, high] = interval;
  if (low == null || baseline == null) return "unclear";
  if (low > baseline) return LOWER_IS_BETTER.has(metric) ? "worse" : "better";
  if (high < baseline) return LOWER_IS_BETTER.has(metric) ? "better" : "worse";
  return "unclear";
}

export const score = (value) => (value == null ? "–" : value.toFixed(3));
const hundred = (value) => Math.round(100 * value);

/** One sentence about a head, for beside its answers; "" if there is nothing to tell. */
export function inTests(head) {
  const metric = decisiveMetric(head);
  if (!metric) return "";
  const { mean, baseline } = head.metrics[metric];
  const told = {
    accuracy: `right for ${hundred(mean)} of 100 photos (a constant answer: ${hundred(baseline)}).`,
    accuracy_damaged: `right for ${hundred(mean)} of 100 damaged cars (a constant answer: ${hundred(baseline)}).`,
    macro_f1: `F1 ${mean.toFixed(2)} (a constant answer: ${baseline?.toFixed(2)}).`,
    dice_damaged: `overlap with the true damage ${mean.toFixed(2)} of 1 (a constant mask: ${baseline?.toFixed(2)}).`,
  };
  return told[metric] ? `In tests ${told[metric]}` : "";
}
