// Short messages at the lower edge, which are read out as well.

import { h } from "./dom.js";

const STAYS_MS = 6000;

/**
 * Show a message.
 *
 * @param {Array<Node|string>} text
 * @param {{label?: string, action?: () => void, bad?: boolean}} [more] a button that does something about it
 * @returns {{say: (...text: (Node|string)[]) => void, close: () => void}}
 */
export function toast(text, { label, action, bad = false } = {}) {
  const words = h("span", {}, ...text);
  const close = () => node.remove();
  const button = label && h("button", { type: "button", onclick: () => { close(); action(); } }, label);
  const node = h("div", { class: bad ? "toast bad" : "toast" }, words, button);
  const room = document.getElementById("toasts");
  room.append(node);
  while (room.children.length > 2) room.firstElementChild.remove();
  setTimeout(close, bad ? 2 * STAYS_MS : STAYS_MS);
  return { say: (...said) => words.replaceChildren(...said), close };
}

/** Tell what went wrong, in the API's own words. */
export const complain = (error) => toast([error.message], { bad: true });
