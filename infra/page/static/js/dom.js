// Making elements. Whatever text comes in stays text: ids are chosen by strangers.

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Object<string, any>} [fields] `onclick` and so on are listeners, `data` and `style` are objects,
 *   names of properties are set as such, anything else is an attribute; null and false are left out
 * @param {...(Node|string|number|null|false|Array)} children
 */
export function h(tag, fields = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else if (name === "class") node.className = value;
    else if (name === "value" || name === "checked" || name === "disabled" || name === "tabIndex" || name === "width" || name === "height") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false).map(textOrNode));
  return node;
}

const textOrNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

const PATHS = {
  like: "M12 20.5C5 15.6 2.5 12.2 2.5 8.6A4.9 4.9 0 0 1 12 6.9a4.9 4.9 0 0 1 9.5 1.7c0 3.6-2.5 7-9.5 11.9z",
  save: "M6 3h12v18l-6-4.6L6 21z",
  share: "M21 3 3 10.5l7 3 3 7zM21 3 10 13.5",
  see_fewer: "M3 3l18 18M10.6 5.2A9.8 9.8 0 0 1 12 5c6 0 9.5 7 9.5 7a16 16 0 0 1-2.9 3.8M6.3 6.7A16 16 0 0 0 2.5 12S6 19 12 19a9.6 9.6 0 0 0 4.7-1.2M9.9 9.9a3 3 0 0 0 4.2 4.2",
  undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M5 5l14 14M19 5 5 19",
  why: "M12 17.5v.1M9 9a3 3 0 1 1 4.6 2.6c-1 .6-1.6 1.3-1.6 2.6M12 22a10 10 0 1 0 0-20 10 10 0 0 0 0 20z",
  mute: "M15 8a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM3 21a8 8 0 0 1 12-6.9M16 17l5 5M21 17l-5 5",
  arrow: "M4 12h15M13 6l6 6-6 6",
  plus: "M12 4v16M4 12h16",
  explore: "M3 3h11v11H3zM17 3h4v4h-4zM17 10h4v4h-4zM3 17h4v4H3zM10 17h11v4H10z",
  map: "M5 8a2 2 0 1 0 0-.1M14 5a2 2 0 1 0 0-.1M11 13a2 2 0 1 0 0-.1M19 12a2 2 0 1 0 0-.1M6 19a2 2 0 1 0 0-.1M17 20a2 2 0 1 0 0-.1",
  operations: "M3 12h4l3 8 4-16 3 8h4",
  workbench: "M8 6 2.5 12 8 18M16 6l5.5 6-5.5 6M13.5 4l-3 16",
};

/** A drawn sign of 24 × 24, without meaning for who listens. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Put `children` in the place of all that is in `node`. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false).map(textOrNode));
  return node;
}

/** A number for people: 1,234 or 0.00034. */
export function figure(value) {
  if (value === 0 || Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return size >= 0.01 ? value.toFixed(size >= 10 ? 1 : 3).replace(/\.?0+$/, "") : value.toPrecision(2);
}
