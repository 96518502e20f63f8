// The key that the API may ask for: kept for this tab alone, asked for when the API does.

import { h } from "./dom.js";

const KEPT = "freshgrid.key";
let asking = null;

/** Headers that say who asks; none while nobody asked for a key. */
export function credentials() {
  let key = null;
  try {
    key = sessionStorage.getItem(KEPT);
  } catch {
    // Without storage it is asked for again.
  }
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Ask for a key, once for all who need one.
 *
 * @param {string} why what the API said
 * @returns {Promise<boolean>} whether there is another one now
 */
export function askForKey(why) {
  asking ??= new Promise((done) => {
    const dialog = h("dialog", { "aria-labelledby": "key-title", "aria-describedby": "key-why" });
    const field = h("input", {
      class: "field", id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    });
    let given = false;
    const form = h("form", {
      class: "key-form",
      onsubmit: (event) => {
        event.preventDefault();
        try {
          sessionStorage.setItem(KEPT, field.value.trim());
          given = true;
        } catch {
          given = false;
        }
        dialog.close();
      },
    }, h("label", { for: "key" }, "Key"), field, h("button", { type: "submit", class: "button" }, "Continue"));
    dialog.append(h("div", {},
      h("h2", { id: "key-title" }, "This Freshgrid asks for a key"),
      h("p", { id: "key-why" }, `${why}. It is kept until this tab is closed.`), form));
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      done(given);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
