/** Starts the page: asks what the server can do, and shows one of the two views. */

import { fetchModels, fetchReport } from "./api.js";
import { byId, make } from "./dom.js";
import { allowAsking } from "./key.js";
import { inTests } from "./metric_words.js";
import { makeModelView } from "./model_view.js";
import { startPhotos } from "./photos.js";
import { fileSize, title } from "./words.js";

const VIEWS = ["photos", "model"];
const server = { limits: {}, trust: {}, thresholds: {} };

function showView() {
  const asked = location.hash.slice(1);
  if (asked && !VIEWS.includes(asked)) return; // a link within a view
  const shown = asked || VIEWS[0];
  for (const view of VIEWS) {
    byId(`view-${view}`).hidden = view !== shown;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
  document.title = `carclf: ${shown === "model" ? "how far to trust the model" : "damage in photos of cars"}`;
}

async function loadModels() {
  const { models, limits } = await fetchModels();
  Object.assign(server.limits, limits);
  const [model] = models;
  byId("running").replaceChildren("Model ", make("b", {}, model.name));
  byId("limits").textContent = limits?.bytes
    ? `JPEG, PNG, WebP, TIFF and others, up to ${fileSize(limits.bytes)} each.`
    : "JPEG, PNG, WebP, TIFF and others.";
  byId("welcome").replaceChildren(
    make("h2", {}, "What is said of every photo"),
    make("dl", {}, Object.entries(model.heads).map(([name, head]) => make("div", {},
      make("dt", {}, title(name)),
      make("dd", {}, head.kind === "segmentation" ? `which pixels: ${head.classes.join(", ")}` : head.classes.join(", "))))),
    make("p", { class: "quiet" },
      `Photos go to this server, ${location.host}, and nowhere else. Answers are estimates: `,
      make("a", { href: "#model" }, "how far to trust them"), "."));
}

async function loadReport() {
  const report = await fetchReport();
  for (const [name, head] of Object.entries(report.results.heads)) {
    server.trust[name] = inTests(head);
    server.thresholds[name] = Object.fromEntries(
      Object.entries(head.labels).filter(([, row]) => row.threshold != null).map(([label, row]) => [label, row.threshold]));
  }
  byId("model-body").replaceChildren(...makeModelView(report).flat());
  if (report.results.backbone.seen_drawn_cars) {
    notice("warn", "This model has learnt from drawn cars only: it is there to try the program out, not for photos.");
  }
}

function notice(tone, text, retry) {
  const element = make("div", { class: `note ${tone}`, role: tone === "bad" ? "alert" : null }, make("p", {}, text),
    make("button", {
      type: "button",
      onclick() {
        element.remove();
        retry?.();
      },
    }, retry ? "Try again" : "Understood"));
  byId("notices").append(element);
}

async function load(what, loadIt) {
  try {
    await loadIt();
  } catch (error) {
    if (what === "report") byId("model-body").replaceChildren(make("p", { class: "note bad" }, error.message));
    else notice("bad", error.message, () => retry(what, loadIt));
    if (error.status === undefined) throw error; // a bug keeps its trace
  }
}

function retry(what, loadIt) {
  allowAsking();
  load(what, loadIt);
}

window.addEventListener("hashchange", showView);
showView();
startPhotos(server);
await load("models", loadModels);
await load("report", loadReport);
document.documentElement.dataset.ready = "true"; // for whoever drives the page by program
