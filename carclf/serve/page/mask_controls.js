/** What stands below a picture: mask on or off, opacity, classes, single damages, zoom. */

import { make, withStyle } from "./dom.js";
import { percent, share, sureness, title } from "./words.js";

/**
 * @param {Object} viewer read: heads, head, answer, mask, names, regions, picture
 * @param {{on: boolean, opacity: number, hidden: Set<string>}} settings changed in place
 * @param {Object} tell onLook(region), onChange(), onClasses(), onHead(name), onZoom(step)
 * @returns {{element: HTMLElement, mark: function(number, number), choose: function(number), toggle: function()}}
 */
export function makeControls(viewer, settings, tell) {
  const rows = viewer.regions.map((region, place) => makeRegion(region, place, viewer, tell));
  const mask = viewer.mask ? makeSwitch(settings, tell) : [];
  const element = make("div", { class: "controls" },
    make("div", { class: "toolbar" }, mask, makeHeads(viewer, tell), makeZoom(tell)),
    viewer.picture.hasMask && make("p", { class: "quiet" }, "This browser cannot show this kind of file: the server "
      + "drew it with the mask on it, which cannot be taken off here."),
    viewer.mask && makeClasses(viewer, settings, tell),
    viewer.head && makeRegions(viewer, rows),
  );
  return {
    element,
    mark: (looked, pinned) => rows.forEach((row, place) => {
      row.classList.toggle("is-looked", place === looked);
      row.setAttribute("aria-pressed", String(place === pinned));
    }),
    choose(region) {
      viewer.pinned = region === viewer.pinned ? -1 : region;
      tell.onLook(viewer.pinned);
    },
    toggle: () => element.querySelector(".mask-on")?.click(),
  };
}

function makeSwitch(settings, tell) {
  const shown = make("output", { for: "opacity" }, percent(settings.opacity));
  return [
    make("label", { class: "check" },
      make("input", {
        type: "checkbox", role: "switch", class: "mask-on", checked: settings.on,
        onchange: (event) => {
          settings.on = event.target.checked;
          tell.onChange();
        },
      }), " Mask"),
    make("label", { class: "slider", for: "opacity" }, "Opacity "),
    make("input", {
      type: "range", id: "opacity", min: 0, max: 100, step: 5, value: 100 * settings.opacity,
      oninput: (event) => {
        settings.opacity = event.target.value / 100;
        shown.value = percent(settings.opacity);
        tell.onChange();
      },
    }),
    shown,
  ];
}

function makeHeads({ heads, head }, tell) {
  if (heads.length < 2) return null;
  return make("label", {}, "Mask of ",
    make("select", { onchange: (event) => tell.onHead(event.target.value) },
      heads.map((name) => make("option", { value: name, selected: name === head }, title(name)))));
}

function makeZoom(tell) {
  const button = (text, label, step) =>
    make("button", { type: "button", "aria-label": label, title: label, onclick: () => tell.onZoom(step) }, text);
  return make("span", { class: "zoom" },
    button("−", "Zoom out", -1), button("Fit", "Fit the whole picture", -99), button("+", "Zoom in", 1));
}

function makeClasses({ mask, names, answer, head }, settings, tell) {
  const shares = answer.heads[head].percent;
  return make("fieldset", { class: "classes" },
    make("legend", {}, title(head)),
    names.map((name, place) => make("label", { class: "check" },
      make("input", {
        type: "checkbox", checked: !settings.hidden.has(name), value: name,
        onchange: (event) => {
          settings.hidden[event.target.checked ? "delete" : "add"](name);
          tell.onClasses();
        },
      }),
      withStyle(make("span", { class: "swatch", "aria-hidden": "true" }),
        { "background-color": `rgb(${mask.palette[place + 1].join(" ")})` }),
      name, make("span", { class: "figure" }, share(shares[name])))));
}

function makeRegions({ answer, head, regions }, rows) {
  const leftOut = answer.heads[head].regions_left_out;
  return make("section", { class: "regions" },
    make("h3", {}, regions.length ? "Single damages" : `No single damage ${leftOut ? "is sure enough to be listed" : "found"}`),
    regions.length > 0 && make("ol", {}, rows.map((row) => make("li", {}, row))),
    leftOut > 0 && make("p", { class: "quiet" }, `${leftOut} less sure ${leftOut === 1 ? "one is" : "ones are"} left out.`));
}

function makeRegion(region, place, viewer, tell) {
  const sure = sureness(region.probability);
  return make("button", {
    type: "button", class: "region", "aria-pressed": "false",
    "aria-label": `${place + 1}: ${region.class}, ${sure.word}, ${percent(region.probability)}, `
      + `${share(region.percent)} of the photo`,
    onclick: () => viewer.controls.choose(place),
    onpointerenter: (event) => event.pointerType === "mouse" && tell.onLook(place),
    onpointerleave: () => tell.onLook(-1),
    onfocus: () => tell.onLook(place),
    onblur: () => tell.onLook(-1),
  },
    make("span", { class: "number", "aria-hidden": "true" }, place + 1),
    make("span", {}, region.class),
    make("span", { class: `sure level-${sure.level}` }, sure.word),
    make("span", { class: "figure" }, percent(region.probability)),
    make("span", { class: "figure" }, `${share(region.percent)}`),
  );
}
