// What several parts of the page of operations use: lists that are made anew only if they changed, asking first.

import { fill, h, icon } from "../dom.js";

const shown = new WeakMap();

/** Fill `node` by `make(told)`, unless it shows the same already: whoever stands in it with the keyboard stays. */
export function show(node, told, make) {
  const text = JSON.stringify(told);
  if (shown.get(node) === text) return;
  shown.set(node, text);
  fill(node, make(told));
}

/** A section with a heading. */
export function part(title, ...children) {
  const id = `part-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "part", "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

/** A dialogue with a heading; it goes when it is closed. */
export function dialogue(title, ...children) {
  const dialog = h("dialog", { "aria-labelledby": "asked", class: "wide" });
  dialog.append(h("div", {}, h("div", { class: "row spread" }, h("h2", { id: "asked" }, title),
    h("button", { type: "button", class: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))), ...children));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that everybody will see. */
export function confirm(title, text, label, action) {
  const go = h("button", { type: "button", class: "button main" }, label);
  const dialog = dialogue(title, h("p", {}, text), h("div", { class: "row" }, go));
  go.onclick = () => {
    dialog.close();
    action();
  };
  go.focus();
}

/** A time for people: how long ago. */
export function ago(ms, now = Date.now()) {
  const seconds = Math.max(Math.round((now - ms) / 1000), 0);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(ms).toISOString().slice(0, 10);
}

/** A word with a colour and a sign, so that the colour says nothing alone. */
export function badge(kind, text) {
  const sign = { good: "✓", bad: "!", look: "?", none: "·" }[kind];
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, `${sign} `), text);
}
