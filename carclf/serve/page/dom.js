/** Makes elements. Text goes in as text and never as HTML: file names and answers come from outside. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Object} attributes names as in HTML; a function under "onclick" and the like listens; false, null: left out
 * @param {...(Node|string|Array)} children nested lists are flattened; null and false are left out
 */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** The head of a table; titles of columns of figures end where the figures end. */
export function makeTableHead(texts, figures = []) {
  return make("thead", {}, make("tr", {}, texts.map((text) =>
    make("th", { scope: "col", class: figures.includes(text) ? "figure" : null }, text))));
}

export const byId = (id) => document.getElementById(id);

/** Lengths of bars and colours of swatches: through CSSOM, as the page's CSP allows no style attributes. */
export function withStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

/** Tells screen readers what happened, one after the other. */
export function announce(text) {
  const log = byId("log");
  log.append(make("p", {}, text));
  while (log.children.length > 20) log.firstChild.remove();
}

/** Hands a file to the user. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // some browsers begin to read a while after the click
}

export function downloadJson(tree, name) {
  download(new Blob([JSON.stringify(tree, null, 2) + "\n"], { type: "application/json" }), name);
}
