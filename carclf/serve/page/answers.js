/** What the heads say, as cards: the answer, how sure it is, a bar for every class. */

import { make, withStyle } from "./dom.js";
import { chosen, counted, isOpen, listed, percent, share, sureness, title } from "./words.js";

/**
 * @param {Object} heads of an answer, or of a case
 * @param {{trust: Object, thresholds: Object}} known trust: head -> a sentence that says how good it was in tests;
 *   thresholds: head -> class -> probability from which on the class is named
 * @param {string} shareOf what the damaged share is a share of
 */
export function makeAnswers(heads, { trust, thresholds }, shareOf) {
  return Object.entries(heads).map(([name, head]) =>
    make("section", { class: "card head", "data-head": name },
      make("h3", {}, title(name)),
      head.kind === "segmentation" ? sayShare(head, shareOf) : sayLabels(head),
      head.kind !== "segmentation" && makeBars(head, thresholds[name] ?? {}),
      trust[name] && make("p", { class: "quiet trust" }, `${trust[name]} `, make("a", { href: "#model" }, "More"))));
}

function sayLabels(head) {
  if (isOpen(head)) return cannotSay(head);
  const names = chosen(head);
  if (!names.length) return answer("None of these", sureBadge(head.confidence ?? 0));
  return names.map((name) => answer(name, sureBadge(head.probabilities[name])));
}

function sayShare(head, shareOf) {
  if (isOpen(head)) return cannotSay(head);
  const found = head.regions ?? [];
  const count = found.length ? counted(found.length, "single damage") : null;
  const classes = Object.entries(head.percent ?? {}).filter(([, value]) => value > 0);
  const parts = classes.length > 1 ? listed(classes.map(([name, value]) => `${name} ${share(value)}`)) : null;
  return [
    answer(`${share(head.damaged_percent)} damaged`, head.confidence == null ? null : sureBadge(head.confidence)),
    make("p", { class: "quiet" }, [shareOf, count, parts].filter(Boolean).join(" · ")),
  ];
}

function cannotSay(head) {
  return [
    make("p", { class: "answer is-open" }, make("strong", {}, "Cannot say")),
    make("p", { class: "reason" }, `${capital(head.reason ?? "not sure enough")}. Please look at it yourself.`),
  ];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function answer(text, badge) {
  return make("p", { class: "answer" }, make("strong", {}, text), " ", badge);
}

export function sureBadge(probability) {
  const { word, level } = sureness(probability);
  return make("span", { class: `sure level-${level}` }, word);
}

/** A row per class in the order of the label file, so that each is always in the same place. */
function makeBars(head, thresholds) {
  const named = chosen(head);
  return make("ul", { class: "bars" }, Object.entries(head.probabilities).map(([name, probability]) =>
    make("li", { class: named.includes(name) ? "is-named" : "" },
      make("span", { class: "name" }, name, named.includes(name) && make("span", { class: "unseen" }, " (named)")),
      makeBar(probability, thresholds[name]),
      make("span", { class: "figure" }, percent(probability)))));
}

function makeBar(probability, threshold) {
  const tick = threshold != null && make("span", { class: "tick", title: `named from ${percent(threshold)} on` });
  if (tick) withStyle(tick, { left: `${100 * threshold}%` });
  return make("span", { class: "bar", "aria-hidden": "true" },
    withStyle(make("span", { class: "filled" }), { width: `${100 * probability}%` }), tick);
}

/** The answers in one line, as chips. */
export function makeVerdict(heads) {
  const chips = Object.values(heads).flatMap((head) => {
    if (isOpen(head)) return [];
    if (head.kind === "segmentation") return [chip(`${share(head.damaged_percent)} damaged`)];
    return chosen(head).map((name) => chip(name, sureness(head.probabilities[name]).level));
  });
  const open = Object.entries(heads).filter(([, head]) => isOpen(head)).map(([name]) => name.replaceAll("_", " "));
  if (open.length) chips.push(chip(`${listed(open)}: cannot say`, 1));
  return make("p", { class: "verdict" }, chips);
}

function chip(text, level = 4) {
  return make("span", { class: `chip level-${level}` }, text);
}
