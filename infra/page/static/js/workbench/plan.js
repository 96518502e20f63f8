// The plan of a query as a tree: what runs last on top, with rows and microseconds.

import { figure, h } from "../dom.js";

/** @param {{steps: object[], microseconds: number}} plan as /v1/query tells it */
export function planTree(plan) {
  const steps = new Map(plan.steps.map((step) => [step.step, step]));
  const read = new Set(plan.steps.flatMap((step) => step.inputs));
  const most = Math.max(...plan.steps.map((step) => step.microseconds), 1);
  const told = new Set();
  const branch = (step) => {
    const again = told.has(step.step);
    told.add(step.step);
    const share = Math.max(2, (100 * step.microseconds) / most);
    const losses = Object.entries(step.dropped).map(([name, count]) => h("span", { class: "loss" }, `− ${figure(count)} by ${name}`));
    const below = again ? [] : step.inputs.map((number) => steps.get(number)).filter(Boolean);
    return h("li", {},
      h("div", { class: step.failed ? "step failed" : "step" },
        h("code", {}, again ? `${step.what} (as above)` : step.what),
        h("span", { class: "rows number" }, `${figure(step.rows_in)} → ${figure(step.rows_out)}`),
        h("span", { class: "micros number" }, h("i", { style: { width: `${share}%` } }), `${figure(Math.round(step.microseconds))} µs`)),
      losses.length > 0 && h("div", { class: "lost" }, losses),
      step.notes.map((note) => h("p", { class: "note" }, note)),
      below.length > 0 && h("ul", {}, below.map(branch)));
  };
  const roots = plan.steps.filter((step) => !read.has(step.step));
  return h("ul", { class: "plan" }, roots.map(branch));
}
