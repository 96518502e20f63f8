// One media in the mosaic: its picture, whose it is, and what can be done with it.

import { h, icon } from "../dom.js";
import { picture, sharpen } from "../picture.js";

/** What can be done with a tile, in the order of its buttons. */
export const ACTS = [
  { act: "like", label: "Like", key: "l" },
  { act: "save", label: "Save", key: "s" },
  { act: "share", label: "Share", key: "h" },
  { act: "see_fewer", label: "See fewer like this", key: "x" },
];

const DONE = { like: "liked", save: "saved", share: "shared", see_fewer: "not wanted" };

export class Tile {
  /**
   * @param {object} item of a grid
   * @param {{open: (tile: Tile) => void, act: (act: string, tile: Tile) => void}} does
   */
  constructor(item, does) {
    this.item = item;
    this.opener = h("button", {
      type: "button", class: "open ghost", tabIndex: -1, onclick: () => does.open(this),
    });
    this.name = h("span");
    this.buttons = new Map(ACTS.map(({ act, label, key }) => [act, h("button", {
      type: "button", tabIndex: -1, data: { act }, "aria-label": label, title: `${label} (${key})`,
      onclick: () => {
        this.#showAll(false);
        does.act(act, this);
      },
    }, icon(act))]));
    // Where there is no hover the heart alone is there until this is pressed.
    this.more = h("button", {
      type: "button", class: "more", tabIndex: -1, "aria-label": "More actions", "aria-expanded": "false",
      onclick: () => this.#showAll(!this.node.classList.contains("acting")),
    }, icon("more"));
    this.node = h("article", { class: "tile", data: { media: item.media_id } }, this.opener,
      h("div", { class: "caption" }, this.name, h("div", { class: "acts" }, ...this.buttons.values(), this.more)));
    this.node.addEventListener("focusout", ({ relatedTarget }) => !this.node.contains(relatedTarget) && this.#showAll(false));
    this.done = new Set();
    this.card = null;
    this.#describe();
  }

  /** Whether the keyboard is here: then its buttons can be reached by Tab as well. */
  set current(here) {
    for (const button of [this.opener, ...this.buttons.values(), this.more]) button.tabIndex = here ? 0 : -1;
  }

  /** Give it what the catalogue knows, and so its picture. */
  show(card) {
    if (this.card) return;
    this.card = card;
    const side = this.node.clientWidth;
    this.picture = picture({
      media: this.item.media_id, account: this.item.author_id, topic: card.topic, address: card.address,
    }, { side });
    this.opener.append(this.picture);
    this.opener.classList.remove("ghost");
    this.#describe();
  }

  /** Paint anew if it is much larger now. */
  sharpen() {
    const canvas = this.opener.querySelector("canvas");
    if (canvas) sharpen(canvas, this.node.clientWidth);
  }

  /** Show that something was done with it, or taken back. */
  setDone(act, done) {
    if (done) this.done.add(act);
    else this.done.delete(act);
    const button = this.buttons.get(act);
    button?.classList.toggle("on", done);
    button?.setAttribute("aria-pressed", String(done));
    this.#describe();
  }

  /** Tell for a while how it came here: new, or from another place. */
  mark(moved) {
    this.node.querySelector(".mark")?.remove();
    if (moved === 0) return;
    const text = moved === null ? "new" : moved > 0 ? `↑ ${moved}` : `↓ ${-moved}`;
    const mark = h("span", { class: moved === null ? "mark new" : "mark", "aria-hidden": "true" }, text);
    mark.addEventListener("animationend", () => mark.remove());
    this.node.append(mark);
  }

  #showAll(all) {
    this.node.classList.toggle("acting", all);
    this.more.setAttribute("aria-expanded", String(all));
  }

  #describe() {
    const { media_id: media, author_id: author } = this.item;
    const topic = this.card?.topic ? `, topic ${this.card.topic}` : "";
    const done = [...this.done].map((act) => `, ${DONE[act]}`).join("");
    this.opener.setAttribute("aria-label", `Media ${media} by ${author}${topic}${done}. Why is it here?`);
    this.name.textContent = this.card?.topic ? `${author} · topic ${this.card.topic}` : author;
    this.node.setAttribute("aria-label", `Media ${media}`);
  }
}
