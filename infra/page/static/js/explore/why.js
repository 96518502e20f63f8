// Why is this media here? Read off /v1/explain: the way it was found, the passes, its value, what was lost.

import { address } from "../address.js";
import { ApiError, get } from "../api.js";
import { accountTopics, mediaCards } from "../cards.js";
import { figure, fill, h, icon } from "../dom.js";
import { face, picture } from "../picture.js";
import { ACTS } from "./tile.js";
import { pathOf } from "./path.js";
import { WhatIf } from "./what_if.js";

const HEAD_WORDS = { like: "Like", save: "Save", see_fewer: "See fewer", long_view: "Long view", share: "Share", comment: "Comment", penalty: "Penalty" };
const headWord = (name) => HEAD_WORDS[name] ?? name.replaceAll("_", " ");

export class WhyPanel {
  /** @param {{viewerId: string, acts: import("./acts.js").Acts, act: Function, closed: () => void}} does */
  constructor(does) {
    this.does = does;
    this.node = null;
  }

  /** Show why a media is in the grid, or is not. */
  async open(item, card) {
    const known = card ?? (await mediaCards([item])).get(item.media_id);
    this.close({ quietly: true });
    this.item = item;
    this.body = h("div", { class: "stack" }, h("p", { class: "quiet" }, "Asking …"));
    const { media_id: media, author_id: author } = item;
    this.node = h("aside", { class: "panel", role: "dialog", "aria-label": `Why ${media}?`, tabindex: "-1" }, h("div", {},
      h("div", { class: "top" },
        picture({ media, account: author, topic: known.topic, address: known.address }, { side: 104 }),
        h("div", {}, h("h2", {}, media),
          author && h("p", {}, "by ", h("a", { href: address("account", { id: author, viewer: this.does.viewerId }) }, author)),
          h("p", { class: "quiet" }, known.topics.length ? `topic ${known.topics.join(", ")}` : "no topic")),
        h("button", { type: "button", class: "shut", "aria-label": "Close", onclick: () => this.close() }, icon("close"))),
      author && this.#acts(item, known), this.body));
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    document.body.append(this.node);
    document.body.classList.add("with-panel");
    this.node.focus({ preventScroll: true });
    await this.#explain(item);
  }

  /** Take the panel away. */
  close({ quietly = false } = {}) {
    if (!this.node) return;
    this.node.remove();
    this.node = null;
    document.body.classList.remove("with-panel");
    if (!quietly) this.does.closed();
  }

  #acts(item, card) {
    const buttons = [...ACTS, { act: "mute", label: "Not interested in this account" }].map(({ act, label }) => {
      const done = () => this.does.acts.find(act, item) !== null;
      const button = h("button", {
        type: "button", class: done() ? "button on" : "button", "aria-pressed": String(done()), "aria-label": label,
        onclick: async () => {
          await this.does.act(act, item, card);
          button.classList.toggle("on", done());
          button.setAttribute("aria-pressed", String(done()));
        },
      }, icon(act), act === "mute" ? label : null);
      return button;
    });
    return h("div", { class: "acts", role: "group", "aria-label": "What to do with it" }, buttons);
  }

  async #explain(item) {
    const mine = this.node;
    const { viewerId } = this.does;
    try {
      const [told, viewer] = await Promise.all([
        get("/v1/explain", { viewer_id: viewerId, media_id: item.media_id }),
        get(`/v1/viewers/${encodeURIComponent(viewerId)}`, { actions: 200 }).catch(() => null),
      ]);
      if (mine !== this.node) return;
      const found = told.media;
      fill(this.body,
        found.drop && this.#drop(found.drop),
        await this.#way(found, viewer),
        found.first_pass && this.#passes(found, told),
        found.value && this.#value(found, told.weights),
        found.value && new WhatIf(viewerId, item, told).node,
        this.#losses(told),
        this.#other(),
        this.#versions(told));
    } catch (error) {
      if (mine === this.node) fill(this.body, h("p", { class: "note bad" }, error instanceof ApiError ? error.message : String(error)));
    }
  }

  #drop(drop) {
    return h("p", { class: "note bad" }, h("b", {}, `Not shown: lost at ${drop.stage.replaceAll("_", " ")}. `), drop.reason);
  }

  async #way(found, viewer) {
    const steps = pathOf(found, viewer);
    if (!steps.length) return null;
    const media = steps.filter((step) => step.media).map((step) => ({ media_id: step.media }));
    const accounts = steps.filter((step) => step.account).map((step) => step.account);
    const [cards, topics] = await Promise.all([mediaCards(media), accountTopics(accounts)]);
    return h("section", {}, h("h3", {}, "How it was found"), h("ol", { class: "path" }, steps.map((step) => {
      const shown = step.media
        ? picture({ media: step.media, account: step.author, topic: cards.get(step.media).topic, address: cards.get(step.media).address }, { side: 54 })
        : face(step.account ?? this.does.viewerId, step.account ? topics.get(step.account) : `viewer ${this.does.viewerId}`, 54);
      const name = step.account
        ? h("a", { href: address("account", { id: step.account, viewer: this.does.viewerId }) }, step.name) : step.name;
      return h("li", {}, shown, h("div", {}, h("b", {}, name), h("small", {}, step.told)));
    })));
  }

  #passes(found, told) {
    const [first, second, shown] = told.kept;
    const pass = (name, rank, of, kept, score) => rank === null || rank === undefined ? null
      : h("li", { class: rank < kept ? "" : "out" },
        h("div", { class: "label" }, h("span", {}, name), h("span", { class: "quiet number" }, `${rank + 1} of ${of}${score === null ? "" : ` · ${figure(score)}`}`)),
        h("div", { class: "track", "aria-hidden": "true" },
          h("span", { class: "kept", style: { width: `${(100 * kept) / Math.max(of, 1)}%` } }),
          h("span", { class: "dot", style: { left: `${(100 * (rank + 0.5)) / Math.max(of, 1)}%` } })));
    return h("section", {}, h("h3", {}, "Its rank, pass by pass"), h("ul", { class: "passes" },
      pass(`Found by ${found.source.replaceAll("_", " ")}`, found.candidate_rank, told.candidates, told.candidates, found.source_score),
      pass("First pass", found.first_pass?.rank, told.candidates, first, found.first_pass?.score ?? null),
      pass("Second pass", found.second_pass?.rank, first, second, found.second_pass?.score ?? null),
      pass("Final pass, by value", found.value?.rank, second, shown, found.value?.value ?? null),
      found.position !== null && pass("Place in the grid", found.position, shown, shown, null)),
    found.propensity !== null && found.propensity < 1 && h("p", { class: "note" }, `Drawn, with a chance of ${figure(found.propensity)} to be shown: a new media, or a grid in random order.`),
    found.demoted && h("p", { class: "note" }, "Put behind the others: you asked to see fewer of its account."));
  }

  #value(found, weights) {
    const { penalty, value, rank, same_author_before: author, same_seed_before: seed, ...terms } = found.value;
    const rows = Object.entries({ ...terms, penalty: -penalty }).filter(([name, term]) => name !== "penalty" || term);
    const values = rows.map(([, term]) => term);
    const high = Math.max(...values, 1e-9), low = Math.min(...values, -0.06 * high), range = high - low;
    // In percent, from the left: where 0 is, and how long a bar is.
    const zero = (-100 * low) / range, long = (term) => (100 * Math.abs(term)) / range;
    const bar = (term) => h("span", { class: "bar", "aria-hidden": "true", style: { "--zero": `${zero}%` } }, h("i", {
      class: term < 0 ? "minus" : "",
      style: { width: `${long(term)}%`, left: `${term < 0 ? zero - long(term) : zero}%` },
    }));
    return h("section", {}, h("h3", {}, "What it is worth"),
      h("p", { class: "quiet" }, "Each bar is what an action is expected to bring, times its weight."),
      h("dl", { class: "bars" }, rows.map(([name, term]) => {
        const chance = found.probabilities?.[name];
        const how = chance === undefined ? "" : `predicted chance ${figure(chance)}, weight ${figure(weights[name])}`;
        return [h("dt", { title: how }, headWord(name)), h("dd", { title: how }, bar(term), h("span", {}, figure(term)))];
      }), h("dt", { class: "sum" }, "Value"), h("dd", { class: "sum" }, h("span", { class: "sum" }), h("span", { class: "sum" }, figure(value)))),
      (author > 0 || seed > 0) && h("p", { class: "quiet" }, `Before it stand ${author} of its account and ${seed} of its seed, so variety costs it places.`));
  }

  #losses(told) {
    const [first, second, shown] = told.kept;
    const rows = [
      ...Object.entries(told.dropped).map(([name, count]) => [`taken out by ${name}`, count]),
      ["candidates", told.candidates], ["kept by the first pass", first], ["kept by the second pass", second], ["shown", shown],
    ];
    return h("section", {}, h("h3", {}, "What was left out, and where"),
      h("ul", { class: "losses" }, rows.map(([name, count]) => h("li", {}, h("span", {}, name), h("b", {}, figure(count))))));
  }

  #other() {
    const named = h("input", { class: "field", "aria-label": "Id of a media", placeholder: "Why is another media not here? Its id", maxlength: "128", autocomplete: "off" });
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const id = named.value.trim();
        if (!id) return;
        const known = await get("/v1/media", { media_id: id }).catch(() => null);
        this.open({ media_id: id, author_id: known?.media[0]?.author_id ?? "" });
      },
    }, named);
  }

  #versions(told) {
    return h("details", { class: "made" }, h("summary", {}, "Versions that made this grid"),
      h("dl", { class: "versions" }, Object.entries(told.versions).map(([name, version]) => [h("dt", {}, name), h("dd", {}, h("code", {}, version || "none"))])));
  }
}
