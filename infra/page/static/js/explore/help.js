// The keys, and how to read the page.

import { h, icon } from "../dom.js";

const KEYS = [
  ["← ↑ → ↓", "go from tile to tile"], ["Enter", "why is this here?"], ["l", "like"], ["s", "save"],
  ["h", "share"], ["x", "see fewer like this"], ["u", "take back what was done last"], ["Esc", "close the panel"], ["?", "this list"],
];

/** Show the keys. */
export function helpDialog() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = h("dialog", { "aria-labelledby": "help" });
  dialog.append(h("div", {},
    h("div", { class: "row spread" }, h("h2", { id: "help" }, "How to look"),
      h("button", { type: "button", class: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
    h("p", {}, "Pictures are painted from ids: media of one topic speak one visual language, accounts vary it. So like things look alike."),
    h("dl", { class: "keys" }, KEYS.map(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)]))));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
