// The grid of tiles: keeps the tiles of media that stay, moves them to their places, paints what is near.

import { h } from "../dom.js";
import { mediaCards } from "../cards.js";
import { Tile } from "./tile.js";

const MOVE_MS = 420;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Mosaic {
  /** @param {ConstructorParameters<typeof Tile>[1]} does what tiles call */
  constructor(does) {
    this.does = does;
    this.node = h("div", { class: "mosaic", role: "feed", "aria-label": "Explore grid", "aria-busy": "true" });
    this.tiles = new Map();
    this.order = [];
    this.currentId = null;
    this.node.addEventListener("focusin", (event) => {
      const id = event.target.closest(".tile")?.dataset.media;
      if (id !== undefined) this.#setCurrent(id);
    });
    this.sizes = new ResizeObserver(() => this.tiles.forEach((tile) => tile.sharpen()));
    this.sizes.observe(this.node);
  }

  /**
   * Show these media in this order.
   *
   * @param {object[]} items
   * @param {{moves?: boolean}} [how] whether to animate and mark what moved
   * @returns {{fresh: number, moved: number, left: number}} what became of the tiles
   */
  show(items, { moves = false } = {}) {
    const before = new Map(this.order.map((id, place) => [id, place]));
    const held = this.node.contains(document.activeElement) ? this.currentId : null;
    const heldPlace = before.get(held);
    const places = moves ? this.#places() : new Map();
    const wanted = new Set(items.map((item) => item.media_id));
    const change = { fresh: 0, moved: 0, left: 0 };
    for (const [id, tile] of this.tiles) {
      if (wanted.has(id)) continue;
      tile.node.remove();
      this.tiles.delete(id);
      change.left += 1;
    }
    const shown = items.map((item) => {
      const known = this.tiles.get(item.media_id);
      if (known) known.item = item;
      const tile = known ?? new Tile(item, this.does);
      this.tiles.set(item.media_id, tile);
      return tile;
    });
    // Nodes that stand in their place are not touched: a moved node would lose the keyboard.
    shown.forEach((tile, place) => {
      const there = this.node.children[place];
      if (there !== tile.node) this.node.insertBefore(tile.node, there ?? null);
      tile.node.setAttribute("aria-posinset", String(place + 1));
      tile.node.setAttribute("aria-setsize", "-1");
    });
    this.order = items.map((item) => item.media_id);
    for (const [place, tile] of shown.entries()) {
      const was = before.get(tile.item.media_id);
      if (was === undefined) change.fresh += 1;
      else if (was !== place) change.moved += 1;
      if (moves && before.size) tile.mark(was === undefined ? null : was - place);
    }
    if (moves && before.size) this.#animate(places);
    this.node.setAttribute("aria-busy", "false");
    if (!this.tiles.has(this.currentId)) this.#setCurrent(this.order[Math.min(heldPlace ?? 0, this.order.length - 1)]);
    // The tile under the keyboard may be gone, or have been moved in the document.
    if (held !== null && !this.node.contains(document.activeElement)) this.focus();
    this.#paint(shown.filter((tile) => !tile.card));
    shown.forEach((tile) => tile.card && tile.sharpen());
    return change;
  }

  /** The tile that the keyboard is at. */
  get current() {
    return this.tiles.get(this.currentId) ?? null;
  }

  /** Move the keyboard to the current tile. */
  focus() {
    this.current?.opener.focus({ preventScroll: false });
  }

  /** Move the keyboard to the nearest tile in a direction; returns whether there is one. */
  step(key) {
    const from = this.current?.node.getBoundingClientRect();
    if (!from) return false;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    let best = null, least = Infinity;
    for (const [id, tile] of this.tiles) {
      if (id === this.currentId) continue;
      const to = tile.node.getBoundingClientRect();
      // How far the near edge is ahead; what stands beside is no step.
      const ahead = dx ? (dx > 0 ? to.left - from.right : from.left - to.right) : (dy > 0 ? to.top - from.bottom : from.top - to.bottom);
      if (ahead < -4) continue;
      const aside = dx
        ? Math.max(0, to.top - from.bottom, from.top - to.bottom) : Math.max(0, to.left - from.right, from.left - to.right);
      const shift = dx ? Math.abs(to.top - from.top) : Math.abs(to.left - from.left);
      const far = ahead + 4 * aside + 0.1 * shift;
      if (far < least) [best, least] = [id, far];
    }
    if (best === null) return false;
    this.#setCurrent(best);
    this.focus();
    return true;
  }

  /** Let go of what observes. */
  close() {
    this.sizes.disconnect();
  }

  #setCurrent(id) {
    if (id === undefined) return;
    const before = this.tiles.get(this.currentId);
    if (before) before.current = false;
    this.currentId = id;
    const tile = this.tiles.get(id);
    if (tile) tile.current = true;
  }

  async #paint(tiles) {
    if (!tiles.length) return;
    const cards = await mediaCards(tiles.map((tile) => tile.item));
    for (const tile of tiles) tile.show(cards.get(tile.item.media_id));
  }

  #places() {
    const places = new Map();
    for (const [id, tile] of this.tiles) places.set(id, tile.node.getBoundingClientRect());
    return places;
  }

  /** First, last, invert, play: let tiles that changed place travel there. */
  #animate(places) {
    if (calm.matches) return;
    const height = window.innerHeight;
    const changes = [];
    for (const [id, tile] of this.tiles) {
      const to = tile.node.getBoundingClientRect(), from = places.get(id);
      if (to.bottom < -height || to.top > 2 * height) continue;
      if (!from) changes.push([tile, [{ opacity: 0, transform: "scale(0.7)" }, { opacity: 1, transform: "none" }]]);
      else if (Math.abs(from.left - to.left) + Math.abs(from.top - to.top) + Math.abs(from.width - to.width) > 1) {
        const move = `translate(${from.left - to.left}px, ${from.top - to.top}px) scale(${from.width / to.width})`;
        changes.push([tile, [{ transform: move, transformOrigin: "0 0" }, { transform: "none", transformOrigin: "0 0" }]]);
      }
    }
    for (const [tile, frames] of changes) {
      tile.node.animate(frames, { duration: MOVE_MS, easing: "cubic-bezier(0.22, 0.9, 0.25, 1)" });
    }
  }
}
