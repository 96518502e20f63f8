// The arms: what each gives its viewers, and what came of it, with intervals.

import { get } from "../api.js";
import { figure, h } from "../dom.js";
import { ago, badge, part, show } from "./parts.js";

/** Sources, viewers and so on of a report are no rates. */
const isRate = (of) => typeof of?.rate === "number";

export class Experiment {
  constructor() {
    this.arms = h("div", { class: "stack" });
    this.outcomes = h("div", { class: "stack" });
    this.node = part("Experiment", this.arms, h("h3", {}, "What came of the arms"), this.outcomes);
  }

  async load() {
    const [told, outcomes] = await Promise.all([get("/v1/experiments"), get("/v1/experiments/outcomes")]);
    show(this.arms, told, () => [
      told.refused && h("p", { class: "note bad" }, told.refused),
      h("ul", { class: "rows" }, Object.entries(told.experiment.arms).map(([name, arm]) => h("li", { class: "line" }, badge("none", share(arm.share)),
        h("span", { class: "grow" }, h("b", {}, name), h("small", {}, weights(arm.weights)))))),
    ]);
    show(this.outcomes, outcomes, () => this.#outcomes(outcomes));
  }

  #outcomes({ outcomes, reading_since_ms: reading, problem }) {
    const parts = [];
    if (problem) parts.push(h("p", { class: "note bad" }, `The log could not be read: ${problem}`));
    if (reading && !outcomes) parts.push(h("p", { class: "quiet" }, "The log of the last 7 days is being read …"));
    if (!outcomes) return parts;
    const first = Object.keys(outcomes.arms)[0];
    const names = [...new Set(Object.values(outcomes.arms).flatMap((arm) => Object.keys(arm).filter((name) => isRate(arm[name]))))];
    const head = ["Arm", "Viewers", "Shown", ...names.map((name) => name.replaceAll("_", " "))];
    return [...parts,
      h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "What came of the arms" }, h("table", {},
        h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, Object.entries(outcomes.arms).map(([name, arm]) => h("tr", {}, h("th", { scope: "row" }, name),
          h("td", {}, figure(arm.viewers ?? 0)), h("td", {}, figure(arm.impressions ?? 0)),
          names.map((action) => h("td", {}, isRate(arm[action]) ? cell(arm[action], first) : "–"))))))),
      h("p", { class: "quiet" }, `Per item shown, with 95 % intervals; the log of 7 days, read ${ago(outcomes.at_ms)}${reading ? " and being read anew" : ""}. Of one arm beside the first, +/− is the difference.`)];
  }
}

function cell(of, first) {
  const against = of[`against_${first}`];
  const sure = against && (against.low > 0 || against.high < 0);
  return [h("div", { class: "number" }, percent(of.rate)), h("small", { class: "quiet" }, `${percent(of.low)} to ${percent(of.high)}`),
    against && h("div", {}, badge(sure ? (against.low > 0 ? "good" : "bad") : "none", `${signed(against.low)} to ${signed(against.high)}`))];
}

const percent = (value) => `${(100 * value).toFixed(2)} %`;
const signed = (value) => `${value < 0 ? "−" : "+"}${percent(Math.abs(value))}`;
const share = (value) => (typeof value === "number" ? `${figure(100 * value)} %` : "the rest");
const weights = (given) => Object.entries(given ?? {}).filter(([, value]) => typeof value === "number").map(([name, value]) => `${name.replaceAll("_", " ")} ${figure(value)}`).join(", ") || "weights by default";
