// The workbench: a query, what it finds for the viewer beside what another one finds, and its plan.

import { ApiError, get, send } from "../api.js";
import { mediaCards } from "../cards.js";
import { figure, fill, h } from "../dom.js";
import { picture } from "../picture.js";
import { complain } from "../toasts.js";
import { Editor } from "./editor.js";
import { mistakes } from "./mistakes.js";
import { planTree } from "./plan.js";

const WAIT_MS = 350;
const SHOWN = 48;
const KEPT = "freshgrid.query";
const FIRST = "user\n  .liked(max_num_to_retrieve=30)\n  .account_nn(embedding_config=default)\n  .posted_media(max_media_per_account=10)\n  .exclude_seen()\n  .take(500)\n";

export class WorkbenchPage {
  constructor({ main, viewerId }) {
    this.title = "Workbench";
    this.viewerId = viewerId;
    this.others = new Map();
    this.editor = new Editor({ text: sessionStorage.getItem(KEPT) ?? FIRST, changed: () => this.#soon() });
    this.said = h("div", { class: "said", id: "mistakes", role: "status" });
    this.plan = h("div", { class: "planned" });
    this.mine = h("div", { class: "found", role: "img" });
    this.theirs = h("div", { class: "found", role: "img" });
    this.count = h("p", { class: "quiet", role: "status" });
    this.choice = h("select", { class: "field", "aria-label": "Compare with", onchange: () => this.#compare() });
    this.keep = h("button", { type: "button", class: "button", onclick: () => this.#keep() }, "Keep to compare");
    main.append(h("div", { class: "workbench padded" },
      h("div", { class: "head" }, h("div", {}, h("h1", {}, "Workbench"),
        h("p", {}, `What a query of candidates finds for ${viewerId}. Nothing that serves is changed.`)),
      h("div", { class: "row" }, this.keep)),
      h("div", { class: "bench" },
        h("section", { class: "stack" }, this.editor.node, this.said),
        h("section", { class: "stack" }, h("h2", {}, "Plan"), this.plan)),
      this.count,
      h("div", { class: "bench" },
        h("section", { class: "stack" }, h("div", { class: "row over" }, h("h2", {}, "This query")), this.mine),
        h("section", { class: "stack" }, h("div", { class: "row spread over" }, h("h2", {}, "Beside it"), this.choice), this.theirs))));
    this.#start();
  }

  /** Leave the page. */
  close() {
    clearTimeout(this.timer);
    this.running?.abort();
  }

  async #start() {
    try {
      const told = await get("/v1/igql");
      this.editor.operators = new Map(told.operators.map((one) => [one.name, one]));
      for (const [name, text] of Object.entries(told.queries)) this.others.set(`live: ${name}`, text);
    } catch (error) {
      complain(error);
    }
    this.#choices();
    await this.#run();
    await this.#compare();
  }

  #choices(chosen = this.choice.value) {
    fill(this.choice, [...this.others.keys()].map((name) => h("option", { value: name }, name)));
    if (this.others.has(chosen)) this.choice.value = chosen;
  }

  #keep() {
    const name = `kept ${this.others.size}`;
    this.others.set(name, this.editor.text);
    this.#choices(name);
    this.#compare();
  }

  #soon() {
    sessionStorage.setItem(KEPT, this.editor.text);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#run(), WAIT_MS);
  }

  async #run() {
    this.running?.abort();
    this.running = new AbortController();
    const { text } = this.editor;
    try {
      const told = await this.#ask(text, this.running.signal);
      this.editor.show([]);
      this.#stale(false);
      fill(this.said, h("p", { class: "note right" }, `Right: ${figure(told.candidates.length)} candidates in ${figure(Math.round(told.plan.microseconds))} µs.`));
      fill(this.plan, planTree(told.plan));
      this.found = told.candidates;
      await this.#show();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      const found = error.status === 400 ? mistakes(error.message, text) : [];
      this.editor.show(found);
      this.#stale(true);
      fill(this.said, found.length
        ? h("ul", { class: "mistakes" }, found.map((one) => h("li", {}, h("button", { type: "button", onclick: () => this.editor.goTo(one) },
          h("span", { class: "id" }, `${one.line}:${one.column}`), " ", one.message))))
        : h("p", { class: "note bad" }, error.message));
    }
  }

  /** What is shown is of the last text that was right. */
  #stale(stale) {
    for (const node of [this.plan, this.mine]) node.classList.toggle("stale", stale);
  }

  async #compare() {
    const text = this.others.get(this.choice.value);
    if (text === undefined) return;
    try {
      this.other = (await this.#ask(text)).candidates;
      await this.#show();
    } catch (error) {
      complain(error);
    }
  }

  #ask(query, signal) {
    return send("POST", "/v1/query", { viewer_id: this.viewerId, query }, signal ? { signal } : {});
  }

  async #show() {
    const mine = this.found ?? [], theirs = this.other ?? [];
    const inMine = new Map(mine.map((one, at) => [one.media_id, at])), inTheirs = new Map(theirs.map((one, at) => [one.media_id, at]));
    await Promise.all([this.#tiles(this.mine, mine, inTheirs, "This query"), this.#tiles(this.theirs, theirs, inMine, "The other query")]);
    if (!this.found || !this.other) return;
    const both = mine.filter((one) => inTheirs.has(one.media_id)).length;
    fill(this.count, `${figure(both)} in both · ${figure(mine.length - both)} only in this query · ${figure(theirs.length - both)} only in the other. Framed: the other one does not have it.`);
  }

  async #tiles(node, found, others, name) {
    const shown = found.slice(0, SHOWN);
    const cards = await mediaCards(shown);
    node.setAttribute("aria-label", `${name}: ${shown.map((one) => one.media_id).join(", ") || "nothing"}`);
    fill(node, shown.map((one) => {
      const card = cards.get(one.media_id);
      const seed = one.seed ? `, seed ${one.seed}` : "";
      return h("div", { class: others.has(one.media_id) ? "" : "only", title: `${one.media_id} by ${one.author_id}: ${one.source}${seed}, score ${figure(one.score)}` },
        picture({ media: one.media_id, account: one.author_id, topic: card.topic, address: card.address }, { side: 72 }));
    }), !shown.length && h("p", { class: "quiet" }, "Nothing."));
  }
}
