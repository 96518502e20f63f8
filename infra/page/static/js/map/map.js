// The map of the accounts: who is near whom, by topic, and who moved.

import { address } from "../address.js";
import { get } from "../api.js";
import { figure, fill, h, icon } from "../dom.js";
import { face } from "../picture.js";
import { complain } from "../toasts.js";
import { Places } from "./places.js";
import { Sheet } from "./sheet.js";

const AGAIN_MS = 60000;
const FOUND = 12;
const NEAR = 12;
const MOVED = 12;
const LEGEND = 24;
/** How close a search goes. */
const CLOSE = 24;
const KEYS = {
  ArrowLeft: (sheet) => sheet.pan(-0.2, 0), ArrowRight: (sheet) => sheet.pan(0.2, 0), ArrowUp: (sheet) => sheet.pan(0, -0.2), ArrowDown: (sheet) => sheet.pan(0, 0.2),
  "+": (sheet) => sheet.zoomBy(1.6), "=": (sheet) => sheet.zoomBy(1.6), "-": (sheet) => sheet.zoomBy(1 / 1.6), 0: (sheet) => sheet.whole(),
};

export class MapPage {
  constructor({ main, viewerId, parameters }) {
    this.title = "Map";
    this.viewerId = viewerId;
    this.wanted = parameters.get("id");
    this.main = main;
    this.canvas = h("canvas", { class: "sheet", tabindex: "0", role: "img", "aria-label": "Map of the accounts", "aria-describedby": "map-keys" });
    this.sheet = new Sheet({ canvas: this.canvas, chosen: (row) => this.#choose(row), moved: () => this.#seen() });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.said = h("p", { class: "quiet", role: "status" });
    this.about = h("p", {}, "Looking …");
    this.field = h("input", { class: "field", type: "search", "aria-label": "Find an account", placeholder: "Find an account", maxlength: "128", autocomplete: "off", oninput: () => this.#search() });
    this.found = h("div", { class: "people" });
    this.chosen = h("div", { class: "stack" });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Topics" });
    this.farthest = h("div", { class: "people" });
    this.lines = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => this.#movement() }, icon("arrow"), "Movement");
    const tool = (label, name, act) => h("button", { type: "button", class: "button", "aria-label": label, onclick: act }, name);
    this.tools = h("div", { class: "row" },
      tool("Closer", "+", () => this.sheet.zoomBy(1.6)), tool("Farther", "−", () => this.sheet.zoomBy(1 / 1.6)), tool("All of it", "All", () => this.sheet.whole()), this.lines);
    this.body = h("div", { class: "atlas" },
      h("div", { class: "stack" }, this.canvas, h("div", { class: "row spread padded" }, this.tools, this.said),
        h("p", { class: "quiet padded", id: "map-keys" }, "Drag or arrows move, wheel or + and − zoom, 0 shows all, Enter takes the account in the middle. All of it can be done in the list beside, too.")),
      h("div", { class: "stack padded" }, this.field, this.found, this.chosen, this.legend, this.farthest));
    fill(main, h("div", { class: "head padded" }, h("div", {}, h("h1", {}, "Map of the accounts"), this.about)), this.body);
    this.body.hidden = true;
    this.#go();
  }

  /** Leave the page. */
  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.sheet.close();
  }

  async #go() {
    if (!document.hidden) {
      try {
        const told = await get("/v1/map");
        if (this.closed) return;
        this.#show(told);
      } catch (error) {
        if (!this.places) fill(this.about, error.message);
      }
    }
    if (!this.closed) this.timer = setTimeout(() => this.#go(), AGAIN_MS);
  }

  #show(told) {
    const before = this.places;
    if (before && JSON.stringify([told.version, told.account_id.length, told.topics]) === this.shown) return;
    this.shown = JSON.stringify([told.version, told.account_id.length, told.topics]);
    this.places = new Places(told);
    const chosen = before && this.sheet.selected >= 0 ? before.ids[this.sheet.selected] : this.wanted;
    this.topics = this.places.topics();
    this.colours = colours(told.topics.length, this.topics);
    this.body.hidden = false;
    fill(this.about, `${figure(this.places.count)} accounts, drawn ${ago(told.made_ms)} of account vectors `, h("span", { class: "id" }, told.ig2vec.slice(0, 12)),
      told.live === told.ig2vec ? ", which are live." : ". They have learned on since.");
    this.canvas.setAttribute("aria-label", `Map of ${figure(this.places.count)} accounts of ${this.topics.length} topics`);
    this.sheet.selected = -1;
    this.sheet.near = [];
    this.sheet.show(this.places, this.colours);
    this.#legend();
    this.#farthest();
    if (chosen) this.#chooseId(chosen, !before);
    this.#seen();
  }

  #legend() {
    const shown = this.topics.slice(0, LEGEND), rest = this.topics.length - shown.length;
    fill(this.legend, h("h2", {}, "Topics"), h("div", { class: "row" }, shown.map((one) => h("button", {
      type: "button", class: "button topic", "aria-pressed": String(this.sheet.only === one.code), onclick: () => this.#only(one),
    }, h("span", { class: "swatch", "aria-hidden": "true", style: { background: `rgb(${this.colours[one.code].join(" ")})` } }), one.name || "none", h("span", { class: "quiet number" }, figure(one.count))))),
      rest > 0 && h("p", { class: "quiet" }, `and ${rest} smaller ones`));
  }

  #only(topic) {
    this.sheet.only = this.sheet.only === topic.code ? null : topic.code;
    this.#legend();
    this.legend.querySelector(".topic[aria-pressed='true']")?.focus();
    this.sheet.draw();
  }

  #movement() {
    this.sheet.movement = !this.sheet.movement;
    this.lines.setAttribute("aria-pressed", String(this.sheet.movement));
    this.lines.classList.toggle("on", this.sheet.movement);
    this.sheet.draw();
  }

  #farthest() {
    const { before_ms: since } = this.places.told;
    this.lines.hidden = since === null;
    const rows = since === null ? [] : this.places.farthest(MOVED);
    fill(this.farthest, since === null ? h("p", { class: "quiet" }, "Movement shows once a second map was drawn.")
      : [h("h2", {}, `Moved the most since ${clock(since)}`), rows.map((at) => this.#person(at, `by ${share(this.places.moved[at])}`))]);
  }

  #person(at, told) {
    const { ids, topic } = this.places, name = this.places.told.topics[topic[at]];
    return h("button", { type: "button", onclick: () => this.#choose(at, true) },
      face(ids[at], name, 34), h("span", {}, ids[at], h("small", {}, [name && `topic ${name}`, told].filter(Boolean).join(" · "))));
  }

  #search() {
    const text = this.field.value.trim();
    const rows = text ? this.places.search(text, FOUND) : [];
    fill(this.found, rows.map((at) => this.#person(at)), text && !rows.length && h("p", { class: "note" }, "No account on the map has that in its id."));
  }

  #chooseId(id, fly) {
    const row = this.places.rows.get(id);
    if (row !== undefined) this.#choose(row, fly);
    else fill(this.chosen, h("p", { class: "note" }, `${id} is not on the map: too few sessions hold it, or it is hidden.`));
  }

  async #choose(row, fly = false) {
    const { sheet, places } = this, id = places.ids[row], topic = places.told.topics[places.topic[row]];
    Object.assign(sheet, { selected: row, near: [] });
    if (fly) sheet.fly(places.x[row], places.y[row], Math.max(sheet.zoom, 3, CLOSE * Math.sqrt(places.count / 3000)));
    sheet.draw();
    const near = h("div", { class: "people" }, h("p", { class: "quiet" }, "Looking for the nearest …"));
    const go = address("account", { id, viewer: this.viewerId });
    fill(this.chosen, h("div", { class: "card stack" }, h("div", { class: "row" }, face(id, topic, 60), h("div", {}, h("h2", { tabindex: "-1" }, id), h("p", { class: "quiet" }, topic ? `topic ${topic}` : "no topic",
      places.moved[row] > 0 ? ` · moved by ${share(places.moved[row])}` : ""))), h("a", { class: "button", href: go }, icon("arrow"), "Its posts"), h("h3", {}, "Nearest accounts"), near));
    try {
      const told = await get(`/v1/accounts/${encodeURIComponent(id)}`, { posts: 0, neighbours: NEAR });
      if (sheet.selected !== row || this.places !== places) return;
      const known = told.neighbours.map(({ account, score }) => [places.rows.get(account.account_id), score]).filter(([at]) => at !== undefined);
      sheet.near = known.map(([at]) => at);
      sheet.draw();
      fill(near, known.length ? known.map(([at, score]) => this.#person(at, `${Math.round(100 * score)} % alike`)) : h("p", { class: "quiet" }, "No other account is near."));
    } catch (error) {
      complain(error);
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.places) return;
    if (event.key === "Enter") {
      const row = this.sheet.nearestToMiddle();
      if (row >= 0) this.#choose(row);
    } else if (event.key in KEYS) KEYS[event.key](this.sheet);
    else return;
    event.preventDefault();
  }

  #seen() {
    clearTimeout(this.saying);
    // Said once it rests.
    this.saying = setTimeout(() => !this.closed && this.places && fill(this.said, `${figure(this.sheet.seen ?? this.places.count)} in sight`), 250);
  }
}

/** Three numbers for each topic: hues far apart for those with the most accounts, grey for none. */
function colours(count, topics) {
  const light = matchMedia("(prefers-color-scheme: dark)").matches ? 0.66 : 0.44;
  const found = Array.from({ length: count }, () => [140, 136, 148]);
  topics.filter((one) => one.name).forEach((one, at) => {
    found[one.code] = rgb((at * 137.508 + 340) % 360, at % 3 === 2 ? 0.42 : 0.78, light + (at % 2 ? 0.06 : -0.03));
  });
  return found;
}

function rgb(hue, rich, light) {
  const reach = rich * Math.min(light, 1 - light);
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

const share = (steps) => `${((100 * steps) / 65535).toFixed(1)} % of the map`;
const clock = (ms) => new Date(ms).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });

function ago(ms) {
  const minutes = Math.max(0, Math.round((Date.now() - ms) / 60000));
  if (minutes < 2) return "just now";
  return minutes < 120 ? `${minutes} minutes ago` : `${Math.round(minutes / 60)} hours ago`;
}
