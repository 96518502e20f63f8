// What if actions were worth something else? Sorts this viewer's grid anew without touching anything.

import { send } from "../api.js";
import { mediaCards } from "../cards.js";
import { figure, fill, h } from "../dom.js";
import { picture } from "../picture.js";
import { complain, toast } from "../toasts.js";

const WAIT_MS = 120;
const SHOWN = 16;

export class WhatIf {
  /** @param {{weights: object, versions: object}} told by /v1/explain */
  constructor(viewerId, item, told) {
    this.viewerId = viewerId;
    this.item = item;
    this.arm = told.versions.arm ?? "";
    const { form, ...weights } = told.weights;
    this.first = weights;
    this.weights = { ...weights };
    this.grid = h("div", { class: "whatif" });
    this.said = h("p", { class: "quiet", role: "status" }, "Move a weight and see the grid it would make. Nobody else does.");
    this.apply = h("button", { type: "button", class: "button", disabled: true, onclick: () => this.#apply() }, "Apply for everyone");
    this.reset = h("button", { type: "button", class: "button", disabled: true, onclick: () => this.#reset() }, "Reset");
    this.sliders = h("div", { class: "sliders" });
    this.node = h("details", { class: "whether" }, h("summary", {}, "What if actions were worth something else?"),
      h("div", { class: "stack" }, this.said, this.sliders, this.grid, h("div", { class: "row" }, this.reset, this.apply)));
    this.#draw();
    this.node.addEventListener("toggle", () => this.node.open && !this.asked && this.#rank().catch(complain));
  }

  #draw() {
    fill(this.sliders, Object.entries(this.weights).map(([name, weight]) => {
      const shown = h("output", {}, figure(weight));
      const id = `weight-${name}`;
      const most = Math.max(10, 2 * this.first[name]);
      const slider = h("input", { id, type: "range", min: "0", max: String(most), step: "0.1", value: weight });
      slider.addEventListener("input", () => {
        this.weights[name] = Number(slider.value);
        shown.textContent = figure(this.weights[name]);
        this.#soon();
      });
      return [h("label", { for: id }, name.replaceAll("_", " ")), slider, shown];
    }));
  }

  #soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#rank().catch(complain), WAIT_MS);
  }

  async #rank() {
    this.running?.abort();
    this.running = new AbortController();
    let told;
    try {
      told = await send("POST", "/v1/rerank", { viewer_id: this.viewerId, weights: this.weights }, { signal: this.running.signal });
    } catch (error) {
      if (error.name === "AbortError") return;
      throw error;
    }
    const changed = Object.keys(this.first).some((name) => this.first[name] !== this.weights[name]);
    this.apply.disabled = this.reset.disabled = !changed;
    const items = told.items.slice(0, SHOWN);
    const cards = await mediaCards(items);
    const here = told.items.find((one) => one.media_id === this.item.media_id);
    this.asked = true;
    fill(this.grid, items.map((one, at) => {
      const was = one.before;
      const moved = was === null ? "new" : was === at ? "" : was > at ? `↑${was - at}` : `↓${at - was}`;
      const card = cards.get(one.media_id);
      return h("div", { class: one.media_id === this.item.media_id ? "here" : "", title: one.media_id },
        picture({ media: one.media_id, account: one.author_id, topic: card.topic, address: card.address }, { side: 44 }),
        changed && moved && h("small", {}, moved));
    }));
    const name = (at) => (at === null || at === undefined ? "not shown" : `place ${at + 1}`);
    const came = told.items.filter((one) => one.before === null).length;
    // Where a media that would go stood, the answer does not say.
    const from = here ? name(here.before) : told.left.includes(this.item.media_id) ? "shown" : "not shown";
    fill(this.said, changed ? `This media: ${from} → ${name(here?.position)}; ${came} others would come. Nothing is changed yet.` : "Move a weight and see the grid it would make. Nobody else does.");
    this.grid.setAttribute("role", "img");
    this.grid.setAttribute("aria-label", `The first ${items.length} of that grid: ${items.map((one) => one.media_id).join(", ")}`);
  }

  #reset() {
    this.weights = { ...this.first };
    this.#draw();
    this.#soon();
  }

  async #apply() {
    const weights = Object.fromEntries(Object.entries(this.weights).filter(([name, value]) => value !== this.first[name]));
    const back = Object.fromEntries(Object.keys(weights).map((name) => [name, this.first[name]]));
    const put = (values) => send("PUT", "/v1/weights", { weights: values, arm: this.arm, who: "page" });
    try {
      await put(weights);
      this.first = { ...this.weights };
      this.apply.disabled = this.reset.disabled = true;
      toast(["The weights are live: every grid follows."], { label: "Undo", action: () => put(back).catch(complain) });
    } catch (error) {
      complain(error);
    }
  }
}
