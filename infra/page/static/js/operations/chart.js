// Small line charts, drawn from points that the page has seen since it was opened.

import { figure, h } from "../dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 70;

function svg(tag, fields) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(fields)) node.setAttribute(name, value);
  return node;
}

/**
 * Lines over time, with their newest figures in words.
 *
 * @param {string} title
 * @param {{name: string, points: (number|null)[]}[]} lines up to two; null where it was not known
 * @param {string} unit
 */
export function chart(title, lines, unit) {
  const most = Math.max(...lines.flatMap(({ points }) => points.map((one) => one ?? 0)), 1e-9);
  const told = lines.map(({ name, points }) => {
    const last = points.at(-1) ?? null;
    return { name, known: last !== null, text: last === null ? "none lately" : `${figure(last)} ${unit}` };
  });
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "chart" });
  drawn.setAttribute("aria-label", `${title}: ${told.map(({ name, text }) => `${name} ${text}`).join(", ")}`);
  for (const [at, { points }] of lines.entries()) {
    for (const d of paths(points, most)) drawn.append(svg("path", { d, class: `way way-${at}`, "vector-effect": "non-scaling-stroke" }));
  }
  return h("figure", { class: "card figure" }, h("figcaption", {}, h("h3", {}, title),
    told.map(({ name, known, text }, at) => h("span", { class: `told told-${at}` }, lines.length > 1 && h("small", {}, name), known ? h("b", { class: "number" }, text) : h("span", { class: "quiet" }, text)))), drawn);
}

/** The ways of a line; it is broken where nothing was known. */
export function paths(points, most) {
  const found = [];
  let way = "";
  const step = WIDTH / Math.max(points.length - 1, 1);
  for (const [at, value] of [...points, null].entries()) {
    if (value === null) {
      if (way) found.push(way);
      way = "";
      continue;
    }
    const place = `${(at * step).toFixed(1)} ${(HEIGHT - 4 - (value / most) * (HEIGHT - 8)).toFixed(1)}`;
    // A point alone is a short line.
    way += way ? ` L${place}` : `M${place} h0.1`;
  }
  return found;
}
