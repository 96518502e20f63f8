// The page of operations: whether anything is wrong, and what to do about it.

import { get } from "../api.js";
import { figure, fill, h } from "../dom.js";
import { complain } from "../toasts.js";
import { chart } from "./chart.js";
import { Experiment } from "./experiment.js";
import { History } from "./history.js";
import { Letters } from "./letters.js";
import { ago, badge, part, show } from "./parts.js";
import { Versions } from "./versions.js";

const EVERY_MS = 2000;
/** What changes seldom is asked for each so many times. */
const SELDOM = 5;
const UNKNOWN = "not known here";

const mega = (bytes) => bytes / 1e6;
const sum = (list) => list.reduce((all, one) => all + one, 0);

export class OperationsPage {
  constructor({ main }) {
    this.title = "Operations";
    this.history = new History();
    this.turn = 0;
    this.headline = h("p", { class: "headline", role: "status" }, "Looking …");
    this.troubles = h("ul", { class: "rows" });
    this.work = h("ul", { class: "rows", "aria-label": "Under way" });
    this.charts = h("div", { class: "charts" });
    this.roles = h("ul", { class: "rows" });
    this.topics = h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Topics" });
    this.grids = h("dl", { class: "facts" });
    this.sources = h("dl", { class: "shares" });
    this.checks = h("ul", { class: "rows" });
    this.experiment = new Experiment();
    this.versions = new Versions();
    this.letters = new Letters(() => this.#look());
    main.append(h("div", { class: "operations padded" },
      h("div", { class: "head" }, h("div", {}, h("h1", {}, "Operations"), h("p", {}, "Seen from this ranker, looked at every two seconds. Lines begin when this page was opened."))),
      this.headline, this.troubles, this.work, this.charts,
      h("div", { class: "columns" },
        part("Processes", this.roles, h("p", { class: "quiet" }, "Of others this ranker knows what they have committed in Kafka: one that is away shows once something waits for it.")),
        part("Grids", this.grids, h("h3", {}, "Media in grids, by source"), this.sources)),
      part("Topics", this.topics),
      this.versions.node, this.letters.node,
      this.experiment.node, part("What it depends on", this.checks)));
    this.#go();
  }

  /** Leave the page. */
  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }

  async #go() {
    // Nobody looks at a page that is hidden.
    if (!document.hidden) {
      await this.#look();
      if (this.turn % SELDOM === 0) await Promise.all([this.#try(() => this.versions.load()), this.#try(() => this.letters.load()), this.#try(() => this.experiment.load())]);
      this.turn += 1;
    }
    if (!this.closed) this.timer = setTimeout(() => this.#go(), EVERY_MS);
  }

  async #try(load) {
    try {
      await load();
    } catch (error) {
      if (!this.complained) complain(error);
      this.complained = true;
    }
  }

  async #look() {
    let told;
    try {
      told = await get("/v1/operations");
    } catch (error) {
      this.#headline("wrong", error.message);
      return;
    }
    this.history.add(told);
    if (this.waiting !== told.dead_letters) {
      this.waiting = told.dead_letters;
      this.#try(() => this.letters.load());
    }
    this.#headline(told.troubles[0]?.severity ?? "well", told.headline);
    show(this.troubles, told.troubles, (list) => list.map((one) => h("li", { class: "line" }, badge(one.severity === "wrong" ? "bad" : "look", one.severity === "wrong" ? "wrong" : "look"),
      h("span", { class: "grow" }, h("b", {}, one.says), h("small", {}, one.remedy)))));
    show(this.work, told.work, (list) => list.map(underWay));
    this.#charts();
    show(this.roles, told.roles, (list) => list.map((one) => h("li", { class: "line" },
      badge({ up: "good", keeps_up: "good", behind: "bad", unknown: "none" }[one.state], one.state.replace("_", " ")),
      h("span", { class: "grow" }, h("b", {}, one.role), h("small", {}, one.says)))));
    this.#topics(told.log);
    this.#grids(told.grids);
    show(this.checks, told.checks, (list) => list.map((one) => h("li", { class: "line" }, badge(one.ok ? "good" : "bad", one.ok ? "well" : "wrong"),
      h("span", { class: "grow" }, h("b", {}, one.what), h("small", {}, one.says)))));
  }

  #headline(kind, text) {
    this.headline.className = `headline ${kind}`;
    if (this.headline.textContent !== text) fill(this.headline, text);
  }

  #charts() {
    const { history } = this;
    const spread = (name) => history.points((one) => one.grids.event_to_grid?.[name] ?? null);
    const last = history.kept.at(-1);
    const limit = last.memory?.limit_bytes;
    fill(this.charts,
      chart("Events", [{ name: "events", points: history.rate((topic) => topic.startsWith("events.")) }], "/s"),
      chart("Lag", [{ name: "records", points: history.points((one) => one.log && sum(one.log.lag.map((of) => of.records))) }], "records"),
      chart("Event → grid", [{ name: "half within", points: spread("p50_ms") }, { name: "99 in 100 within", points: spread("p99_ms") }], "ms"),
      chart(limit ? `Redis memory, of ${figure(mega(limit))} MB` : "Redis memory, no limit set", [{ name: "used", points: history.points((one) => one.memory && mega(one.memory.used_bytes)) }], "MB"));
  }

  #topics(log) {
    const rates = this.history.rates();
    show(this.topics, [log, rates && [...rates]], () => {
      if (!log) return h("p", { class: "note" }, `Kafka does not tell: ${UNKNOWN}.`);
      const lag = new Map();
      for (const one of log.lag) lag.set(one.topic, [...(lag.get(one.topic) ?? []), one]);
      return h("table", {}, h("thead", {}, h("tr", {}, ["Topic", "Records", "a second", "Behind, by group"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, log.topics.map((one) => h("tr", {}, h("th", { scope: "row", class: "id" }, one.topic), h("td", {}, figure(one.records)),
          h("td", {}, rates ? figure(rates.get(one.topic)) : "…"),
          h("td", {}, (lag.get(one.topic) ?? []).map((of) => h("div", {}, `${of.role} `, h("span", { class: "id quiet" }, of.group), ` ${figure(of.records)}`)))))));
    });
  }

  #grids(grids) {
    const spread = (of) => (of ? `half within ${figure(of.p50_ms)} ms, 99 in 100 within ${figure(of.p99_ms)} ms (${figure(of.count)} in the last minute)` : "none in the last minute");
    const lost = Object.entries(grids.funnel.lost).map(([name, count]) => `${name} pass ${(100 * count / Math.max(grids.funnel.best, 1)).toFixed(1)} %`).join(", ");
    const facts = [
      ["From event to grid", spread(grids.event_to_grid)],
      ["To make one", spread(grids.making)],
      ["Made since the start", figure(grids.made)],
      ["Waiting", figure(grids.waiting)],
      ["Could not be made", figure(grids.failed)],
      ["Best media cut early", grids.funnel.best ? lost : "no grid audited yet"],
      ["Stale reads", grids.stale_reads === null ? UNKNOWN : figure(grids.stale_reads)],
      ["Age of events when stored", `${UNKNOWN}: each worker's /metrics has it`],
    ];
    show(this.grids, facts, () => facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
    const all = sum(Object.values(grids.by_source));
    show(this.sources, grids.by_source, () => (all ? Object.entries(grids.by_source).map(([source, count]) => [h("dt", {}, source.replaceAll("_", " ")),
      h("dd", {}, h("span", { class: "share", style: { width: `${(100 * count) / all}%` } }), h("span", { class: "number" }, `${((100 * count) / all).toFixed(1)} %`))])
      : [h("dt", {}, "none"), h("dd", {}, "no grid made yet")]));
  }
}

function underWay({ what, done, total, began_ms: began }) {
  const share = total ? Math.min(done / total, 1) : null;
  return h("li", { class: "line" }, badge("none", what),
    h("span", { class: "grow" },
      h("progress", { max: "1", value: share ?? undefined, "aria-label": `${what}: how far` }),
      h("small", {}, `${share === null ? "begun" : `${figure(done)} of ${figure(total)} records`}, since ${ago(began)}`)));
}
