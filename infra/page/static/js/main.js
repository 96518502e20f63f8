// Where the page begins: which view stands there, by the part of the address behind #.

import { address } from "./address.js";
import { h, icon, fill } from "./dom.js";
import { lastViewer, remember, showChip } from "./viewer.js";
import { ExplorePage } from "./explore/explore.js";

/** Views by name; those that are seldom looked at are fetched when they are. */
const VIEWS = {
  explore: async () => ExplorePage,
  account: async () => (await import("./account.js")).AccountPage,
  map: async () => (await import("./map/map.js")).MapPage,
  workbench: async () => (await import("./workbench/workbench.js")).WorkbenchPage,
  operations: async () => (await import("./operations/operations.js")).OperationsPage,
};
const PLACES = [["explore", "Explore"], ["map", "Map"], ["workbench", "Workbench"], ["operations", "Operations"]];

let view = null;
let turn = 0;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parameters = new URLSearchParams(query ?? "");
  return { name: path in VIEWS ? path : "explore", parameters };
}

async function show() {
  const { name, parameters } = route();
  const viewerId = parameters.get("viewer") || lastViewer();
  const mine = ++turn;
  const View = await VIEWS[name]();
  // Another address was gone to meanwhile.
  if (mine !== turn) return;
  view?.close();
  remember(viewerId);
  showChip(viewerId, (next) => {
    const kept = Object.fromEntries(parameters);
    location.hash = address(name, { ...kept, viewer: next });
  });
  const places = document.getElementById("places");
  fill(places, PLACES.map(([to, label]) => h("a", {
    href: address(to, { viewer: viewerId }), "aria-current": to === name ? "page" : null,
  }, icon(to), label)));
  document.querySelector(".brand").href = address("explore", { viewer: viewerId });
  const main = document.getElementById("main");
  main.replaceChildren();
  document.body.classList.remove("with-panel");
  view = new View({ main, viewerId, parameters });
  document.title = `${view.title} · Freshgrid`;
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  // The part behind # is the view's.
  event.preventDefault();
  document.getElementById("main").focus();
});
window.addEventListener("hashchange", () => {
  window.scrollTo(0, 0);
  show();
});
show();
