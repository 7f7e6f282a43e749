/** The photos of the page: added, listed, selected, removed. */

import { askAbout, isDone, makePhoto, stateInWords } from "./asking.js";
import { makeDetail } from "./detail.js";
import { announce, byId, downloadJson, make } from "./dom.js";
import { allowAsking } from "./key.js";
import { caseInWords, combine, makeCase, makeCaseDetail, plainAnswer } from "./one_car.js";
import { makeQueue } from "./queue.js";
import { counted, inWords, summary } from "./words.js";

const CAR = "car"; // id of the entry for the whole car
const RING = 6; // pixels around an entry of the list, for the focus ring
const MOST_TOLD = 10; // photos whose answers screen readers are told one by one; of more, when all are done

/** @param {{limits: Object, trust: Object, thresholds: Object}} server filled while the page loads */
export function startPhotos(server) {
  const list = { server, photos: [], car: makeCase(), selected: null, detail: null };
  list.queue = makeQueue((photo) => askAbout(photo, server.limits, (changed) => onChange(list, changed)));
  for (const id of ["choose", "camera"]) {
    byId(id).addEventListener("change", (event) => {
      addFiles(list, [...event.target.files]);
      event.target.value = ""; // the same file may be chosen again
    });
  }
  listenToDrops((files) => addFiles(list, files));
  byId("one-car").addEventListener("change", (event) => setCase(list, event.target.checked));
  byId("remove-all").addEventListener("click", () => removeAll(list));
  byId("download-all").addEventListener("click", () => downloadAll(list));
  byId("tabs").addEventListener("keydown", (event) => onKey(list, event));
  refresh(list);
}

function listenToDrops(add) {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => document.body.classList.toggle("is-dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!holdsFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) add([...event.clipboardData.files]);
  });
}

function addFiles(list, files) {
  location.hash = "#photos";
  allowAsking();
  const same = (a, b) => a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;
  const known = (file) => list.photos.find((photo) => same(photo.file, file));
  const fresh = files.filter((file) => !known(file));
  if (fresh.length < files.length) announce(`${counted(files.length - fresh.length, "photo")} had been added before.`);
  for (const file of fresh) {
    const photo = makePhoto(file);
    list.photos.push(photo);
    byId("tabs").append(makeTab(list, photo.id));
    refreshTab(list, photo);
    list.queue.add(photo);
  }
  if (fresh.length) announce(`${counted(fresh.length, "photo")} added.`);
  refresh(list);
  if (!list.selected && list.photos.length) select(list, list.photos[0].id);
  if (files.length && !fresh.length) select(list, known(files[0]).id); // seen to be there already
  updateCase(list);
}

function onChange(list, photo) {
  refreshTab(list, photo);
  if (isDone(photo)) {
    tell(list, photo);
    if (list.selected === photo.id) select(list, photo.id);
  } else if (list.selected === photo.id) {
    list.detail?.update();
  }
  refresh(list);
  updateCase(list);
}

function tell({ photos }, { file, answer, error }) {
  if (photos.length <= MOST_TOLD) announce(`${file.name}: ${answer ? summary(answer.heads) : error.message}`);
  else if (photos.every(isDone)) announce(inAll(photos));
}

/** "3 of 4 answered · 1 problem". */
function inAll(photos) {
  const [answered, failed] = ["answer", "error"].map((what) => photos.filter((photo) => photo[what]).length);
  return `${answered} of ${photos.length} answered${failed ? ` · ${counted(failed, "problem")}` : ""}`;
}

// -- the list

function makeTab(list, id) {
  return make("button", {
    type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "detail", "aria-selected": "false", tabindex: "-1",
    onclick: () => select(list, id),
  }, make("span", { class: "thumbnail" }), make("span", { class: "tab-text" }));
}

function refreshTab(list, photo) {
  const tab = byId(`tab-${photo.id}`);
  const old = tab.querySelector(".thumbnail");
  if (photo.thumbnail && old !== photo.thumbnail) old.replaceWith(photo.thumbnail);
  tab.dataset.state = photo.state;
  const heads = Object.values(photo.answer?.heads ?? {});
  const state = stateInWords(photo)?.replace(`${photo.file.name}: `, ""); // errors begin with the name, which is there
  const told = photo.answer ? heads.map(inWords).join(" · ") : state;
  tab.querySelector(".tab-text").replaceChildren(
    make("span", { class: "tab-name" }, photo.file.name), make("span", { class: "tab-told" }, told));
}

/** What does not belong to a single photo. */
function refresh({ photos, car }) {
  byId("view-photos").classList.toggle("is-empty", !photos.length);
  byId("overall").max = photos.length || 1;
  byId("overall").value = photos.filter(isDone).length;
  byId("overall-text").textContent = inAll(photos);
  byId("download-all").disabled = !photos.some((photo) => photo.answer);
  const tab = byId(`tab-${CAR}`);
  if (tab) {
    tab.dataset.state = car.state;
    tab.querySelector(".tab-text").replaceChildren(
      make("span", { class: "tab-name" }, `This car (${counted(photos.filter((photo) => !photo.error).length, "photo")})`),
      make("span", { class: "tab-told" }, caseInWords(car)));
  }
}

function select(list, id) {
  list.selected = id;
  for (const tab of byId("tabs").children) {
    const isSelected = tab.id === `tab-${id}`;
    tab.setAttribute("aria-selected", String(isSelected));
    tab.tabIndex = isSelected ? 0 : -1;
    if (isSelected) scrollTo(tab);
  }
  list.detail?.close?.();
  const panel = byId("detail");
  panel.hidden = !id;
  panel.setAttribute("aria-labelledby", `tab-${id}`);
  const photo = list.photos.find((each) => each.id === id);
  const hadFocus = panel.contains(document.activeElement);
  list.detail = photo ? makeDetail(photo, list.server, actions(list)) : null;
  const parts = photo ? list.detail.parts : id ? makeCaseDetail(list.car, list.photos, caseActions(list)) : [];
  panel.replaceChildren(...parts.filter(Boolean));
  if (hadFocus) panel.focus();
}

/** Within the list alone: scrollIntoView would scroll the page as well. */
function scrollTo(tab) {
  const [inner, outer] = [tab.getBoundingClientRect(), tab.parentElement.getBoundingClientRect()];
  const beyond = (low, high, least, most) => Math.min(0, low - RING - least) || Math.max(0, high + RING - most);
  tab.parentElement.scrollBy(
    beyond(inner.left, inner.right, outer.left, outer.right), beyond(inner.top, inner.bottom, outer.top, outer.bottom));
}

function goTo(list, id) {
  select(list, id);
  byId(`tab-${id}`)?.focus();
}

function actions(list) {
  return {
    remove: (photo) => remove(list, photo),
    retry(photo) {
      allowAsking();
      Object.assign(photo, { state: "waiting", error: null });
      onChange(list, photo);
      select(list, photo.id);
      list.queue.add(photo);
    },
  };
}

function caseActions(list) {
  return {
    select: (photo) => goTo(list, photo.id),
    retry() {
      allowAsking();
      list.car.of = "";
      updateCase(list);
    },
  };
}

function onKey(list, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tabs = [...byId("tabs").children];
  const place = tabs.findIndex((tab) => tab.id === `tab-${list.selected}`);
  const next = {
    ArrowDown: place + 1, ArrowRight: place + 1, ArrowUp: place - 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1,
  }[event.key];
  if (next != null) {
    event.preventDefault();
    const tab = tabs[Math.min(Math.max(next, 0), tabs.length - 1)];
    goTo(list, tab.id.replace("tab-", ""));
  } else if (event.key === "m") {
    list.detail?.toggleMask();
  } else if (event.key === "Delete") {
    const photo = list.photos.find((each) => each.id === list.selected);
    if (photo) remove(list, photo);
  }
}

function remove(list, photo) {
  photo.removed.abort();
  const place = list.photos.indexOf(photo);
  list.photos.splice(place, 1);
  byId(`tab-${photo.id}`).remove();
  announce(`${photo.file.name} removed.`);
  if (!list.photos.length) return removeAll(list);
  refresh(list);
  updateCase(list);
  return goTo(list, list.photos[Math.min(place, list.photos.length - 1)].id);
}

function removeAll(list) {
  for (const photo of list.photos) photo.removed.abort();
  list.car.changed.abort();
  list.photos = [];
  list.car = makeCase();
  byId("one-car").checked = false;
  byId("tabs").replaceChildren();
  select(list, null);
  refresh(list);
  byId("choose").focus();
}

// -- the whole car

function setCase(list, isOn) {
  list.car.isOn = isOn;
  byId(`tab-${CAR}`)?.remove();
  if (isOn) {
    byId("tabs").prepend(makeTab(list, CAR));
    byId(`tab-${CAR}`).querySelector(".thumbnail").classList.add("is-car");
    refresh(list);
    select(list, CAR);
    updateCase(list);
  } else if (list.selected === CAR) {
    select(list, list.photos[0]?.id ?? null);
  }
}

function updateCase(list) {
  combine(list.car, list.photos, list.server.limits, () => {
    refresh(list);
    if (list.selected === CAR) select(list, CAR);
  });
}

function downloadAll({ photos, car }) {
  const answered = photos.filter((photo) => photo.answer).map((photo) => plainAnswer(photo.answer));
  const failed = photos.filter((photo) => photo.error);
  const errors = failed.map(({ file, error }) => ({ photo: file.name, error: error.message }));
  const all = { photos: [...answered, ...errors] };
  downloadJson(car.isOn && car.heads ? { ...all, case: { heads: car.heads } } : all, "answers.json");
}
