// Versions of what was learned: which is live, what its gate said, going on and back.

import { get, send } from "../api.js";
import { figure, h } from "../dom.js";
import { complain, toast } from "../toasts.js";
import { ago, badge, confirm, part, show } from "./parts.js";

const KINDS = { ig2vec: "Account vectors", rankers: "Rankers", items: "Item weights" };
/** Of each kind; the live one is there whatever its age. */
const SHOWN = 5;

export class Versions {
  constructor() {
    this.list = h("div", { class: "stack" });
    this.node = part("Versions", this.list);
  }

  async load() {
    const told = await get("/v1/versions");
    show(this.list, told, () => Object.entries(KINDS).map(([kind, name]) => this.#kind(kind, name, told)));
  }

  #kind(kind, name, told) {
    const rows = told.versions.filter((one) => one.kind === kind).sort((a, b) => b.created_ms - a.created_ms);
    const live = rows.find((one) => one.live);
    const shown = rows.filter((one, at) => at < SHOWN || one.live);
    const back = live?.previous ? h("button", {
      type: "button", class: "button", onclick: () => confirm(`Go back from ${live.version}?`,
        `${live.previous} will be live again. Every ranker follows within seconds.`, "Roll back",
        () => this.#change(`/v1/versions/${kind}/rollback`, {})),
    }, "Roll back") : null;
    return h("div", { class: "card stack" }, h("div", { class: "row spread" }, h("h3", {}, name), back),
      rows.length === 0 && h("p", { class: "quiet" }, "Nothing is learned yet."),
      h("ul", { class: "rows" }, shown.map((one) => this.#row(one))));
  }

  #row(one) {
    const figures = Object.entries(one.figures).map(([name, value]) => `${name.replaceAll("_", " ")} ${figure(value)}`).join(" · ");
    const refused = one.decision !== null && !one.decision.promote;
    const state = one.live ? badge("good", "live") : refused ? badge("bad", "refused") : badge("none", "stored");
    return h("li", { class: "line" }, state,
      h("span", { class: "grow" }, h("b", { class: "id" }, one.version),
        h("small", {}, `made ${ago(one.created_ms)}${figures && ` · ${figures}`}`),
        h("small", {}, one.decision?.reason ?? one.reason ?? "no gate")),
      !one.live && h("button", {
        type: "button", class: "button", "aria-label": `Promote ${one.version}`, onclick: () => confirm(`Make ${one.version} live?`,
          refused ? "Its gate refused it. Every ranker follows within seconds." : "Every ranker follows within seconds.", "Promote",
          () => this.#change(`/v1/versions/${one.kind}/${encodeURIComponent(one.version)}/promote`, { why: "promoted on the page" })),
      }, "Promote"));
  }

  async #change(path, body) {
    try {
      const told = await send("POST", path, body);
      toast([`${told.version} is live.`]);
      await this.load();
    } catch (error) {
      complain(error);
    }
  }
}
