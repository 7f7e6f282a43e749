/** What the page says of numbers: how sure an answer is, shares, names. */

const SURENESS = [
  [0.95, "almost certain"],
  [0.8, "likely"],
  [0.6, "rather likely"],
  [-Infinity, "unsure"],
];

/** @returns {{word: string, level: number}} level from 4, almost certain, to 1, unsure */
export function sureness(probability) {
  const place = SURENESS.findIndex(([least]) => probability >= least);
  return { word: SURENESS[place][1], level: SURENESS.length - place };
}

/** 0.123 -> "12 %"; never 0 or 100 where it is not exactly that. */
export function percent(probability) {
  const rounded = Math.round(100 * probability);
  if (rounded === 0 && probability > 0) return "< 1\u00a0%";
  if (rounded === 100 && probability < 1) return "> 99\u00a0%";
  return `${rounded}\u00a0%`;
}

/** A share of the photo, given in per cent: 3.14 -> "3.1 %". */
export function share(percentage) {
  if (percentage > 0 && percentage < 0.1) return "< 0.1\u00a0%";
  if (percentage === 0) return "0\u00a0%";
  return `${percentage >= 10 ? percentage.toFixed(0) : percentage.toFixed(1)}\u00a0%`;
}

/** "damage_type" -> "Damage type". */
export function title(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

export function counted(number, thing, things = `${thing}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? thing : things}`;
}

export function fileSize(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))}\u00a0kB` : `${(bytes / 1e6).toFixed(1)}\u00a0MB`;
}

/** "a/b.photo.jpg" -> "b.photo". */
export function stem(name) {
  return name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "") || "photo";
}

/** Whether a head leaves its answer to people; then it says why in `reason`. */
export function isOpen(head) {
  const answer = { categorical: head.label, multi_label: head.labels, segmentation: head.damaged_percent }[head.kind];
  return answer == null;
}

/** The classes that a classification head names. */
export function chosen(head) {
  if (isOpen(head)) return [];
  return head.kind === "categorical" ? [head.label] : head.labels;
}

/** One head's answer in a few words: "minor, likely"; "cannot say". */
export function inWords(head) {
  if (isOpen(head)) return "cannot say";
  if (head.kind === "segmentation") return `${share(head.damaged_percent)} damaged`;
  const names = chosen(head);
  const sure = sureness(head.kind === "categorical" ? head.probabilities[head.label] : head.confidence ?? 0).word;
  if (!names.length) return `none, ${sure}`;
  return head.kind === "categorical" ? `${names[0]}, ${sure}` : listed(names);
}

/** All of an answer in one line, for screen readers: "severity: minor, likely; damage mask: 3.1 % damaged". */
export function summary(heads) {
  return Object.entries(heads).map(([name, head]) => `${name.replaceAll("_", " ")}: ${inWords(head)}`).join("; ");
}
