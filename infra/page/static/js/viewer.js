// Who looks: the viewer of the page, and the dialogue that changes it.

import { get } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { face } from "./picture.js";

const KEPT = "freshgrid.viewers";
const MOST_KEPT = 8;

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
};

/** The viewer of the last visit, or one who is not known yet. */
export const lastViewer = () => kept()[0] ?? newViewer();

/** An id that nobody has. */
export const newViewer = () => `guest-${Math.random().toString(36).slice(2, 8)}`;

/** Remember a viewer as the last one looked at. */
export function remember(viewerId) {
  try {
    localStorage.setItem(KEPT, JSON.stringify([viewerId, ...kept().filter((one) => one !== viewerId)].slice(0, MOST_KEPT)));
  } catch {
    // Without storage the next visit begins anew.
  }
}

/** The button in the bar that names the viewer. */
export function showChip(viewerId, onSwitch) {
  const chip = document.getElementById("viewer");
  fill(chip, face(viewerId, `viewer ${viewerId}`, 30), h("span", {}, viewerId));
  chip.setAttribute("aria-label", `Viewer ${viewerId}. Change who looks`);
  chip.onclick = () => choose(viewerId, onSwitch);
}

/** Ask who is to look. */
function choose(current, onSwitch) {
  const dialog = h("dialog", { "aria-labelledby": "who" });
  const people = h("div", { class: "people" });
  const pick = (viewerId) => {
    dialog.close();
    onSwitch(viewerId);
  };
  const person = (viewerId, told) => h("button", {
    type: "button", "aria-current": viewerId === current ? "true" : null, onclick: () => pick(viewerId),
  }, face(viewerId, `viewer ${viewerId}`, 34), h("span", {}, viewerId, h("small", {}, told)));
  const named = h("input", { class: "field", "aria-label": "Id of a viewer", placeholder: "Id of any viewer", maxlength: "128", autocomplete: "off" });
  const form = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      if (named.value.trim()) pick(named.value.trim());
    },
  }, named);
  dialog.append(h("div", {},
    h("div", { class: "row spread" }, h("h2", { id: "who" }, "Who is looking?"),
      h("button", { type: "button", class: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
    h("button", { type: "button", class: "button main", onclick: () => pick(newViewer()) }, icon("plus"), "New viewer, never seen before"),
    people, form));
  const list = (active) => {
    const told = new Map(active.map((one) => [one.viewer_id, `${one.history.actions} likes and other acts, ${one.history.views} views`]));
    const ids = [...new Set([current, ...kept(), ...told.keys()])];
    fill(people, ids.map((id) => person(id, told.get(id) ?? (id.startsWith("guest-") ? "made here" : "seen here before"))));
  };
  list([]);
  get("/v1/viewers", { limit: 12 }).then((body) => list(body.viewers)).catch(() => {});
  dialog.addEventListener("close", () => dialog.remove());
  // A click beside it closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
