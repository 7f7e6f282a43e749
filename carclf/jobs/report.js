"use strict";
(() => {
  const list = document.getElementById("cards");
  const cards = Array.from(list.children);
  const filters = Array.from(document.querySelectorAll("select[data-filter]"));
  const unsure = document.getElementById("open");
  const search = document.getElementById("search");
  const order = document.getElementById("order");
  const masks = document.getElementById("masks");
  const found = document.getElementById("found");

  const fits = (card) =>
    filters.every((each, place) => each.value === "" || card.dataset.groups.split(" ")[place] === each.value) &&
    (!unsure.checked || card.dataset.open === "1") &&
    card.dataset.name.toLowerCase().includes(search.value.trim().toLowerCase());

  const filter = () => {
    let count = 0;
    for (const card of cards) {
      card.hidden = !fits(card);
      count += card.hidden ? 0 : 1;
    }
    found.textContent = count + " of " + cards.length + (cards.length === 1 ? " photo" : " photos");
  };

  const sort = () => {
    const by = {
      given: () => 0,
      most: (one, other) => other.dataset.damaged - one.dataset.damaged,
      least: (one, other) => one.dataset.damaged - other.dataset.damaged,
      name: (one, other) => one.dataset.name.localeCompare(other.dataset.name),
    }[order.value];
    list.append(...cards.slice().sort(by));
  };

  for (const each of [...filters, unsure]) each.addEventListener("change", filter);
  search.addEventListener("input", filter);
  order.addEventListener("change", sort);
  if (masks) masks.addEventListener("change", () => { list.dataset.masks = masks.value; });
  document.getElementById("controls").hidden = false;
  filter();
})();
