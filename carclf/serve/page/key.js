/** The key that a server may ask for: asked of the user once, kept until the tab is closed. */

import { byId } from "./dom.js";

const PLACE = "carclf.key";
let asking = null; // the dialog that is open: several requests may be refused at once
let isDeclined = false; // the user has no key: not asked again for each of many photos

export const currentKey = () => sessionStorage.getItem(PLACE);

/** The user tries again, and may be asked again. */
export function allowAsking() {
  isDeclined = false;
}

/**
 * Asks for a key that is not the refused one.
 * @param {?string} refused the key that the server did not take; null if none was sent
 * @returns {Promise<boolean>} whether there is another key now
 */
export async function askForKey(refused) {
  if (currentKey() !== refused) return true; // another request has asked already
  if (isDeclined) return false;
  asking ??= open(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function open(refused) {
  const dialog = byId("key-dialog");
  const input = byId("key");
  byId("key-why").textContent = refused ? "The key was not accepted. Give another one." : "Whoever runs it can tell you.";
  input.value = "";
  dialog.returnValue = "";
  byId("key-cancel").onclick = () => dialog.close();
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    const end = () => resolve(keep(dialog.returnValue === "use" && input.value.trim()));
    dialog.addEventListener("close", end, { once: true });
  });
}

function keep(key) {
  byId("key").value = "";
  if (key) sessionStorage.setItem(PLACE, key);
  isDeclined = !key;
  return Boolean(key);
}
