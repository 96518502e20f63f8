// The Explore page: the viewer's grid, live, and what can be done with it.

import { get } from "../api.js";
import { fill, h, icon } from "../dom.js";
import { mediaCards } from "../cards.js";
import { picture } from "../picture.js";
import { complain, toast } from "../toasts.js";
import { Acts, WORDS } from "./acts.js";
import { Feed } from "./feed.js";
import { helpDialog } from "./help.js";
import { follow } from "./live.js";
import { Mosaic } from "./mosaic.js";
import { ACTS } from "./tile.js";
import { WhyPanel } from "./why.js";

/** A grid that took longer than this did not answer what was done. */
const ANSWER_MS = 10000;
const LEAVE_MS = 220;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class ExplorePage {
  constructor({ main, viewerId }) {
    this.title = "Explore";
    this.viewerId = viewerId;
    this.acts = new Acts(viewerId);
    this.feed = new Feed((cursor) => get("/v1/explore", { viewer_id: viewerId, cursor }));
    this.waiting = [];
    this.fresh = h("span", { class: "fresh", role: "status" }, "connecting");
    this.told = h("p", {}, "The grid is on its way.");
    this.shelf = h("div", { class: "shelf", role: "group", "aria-label": "What you did just now; press to take it back" });
    this.mosaic = new Mosaic({
      open: (tile) => this.why.open(tile.item, tile.card),
      act: (act, tile) => this.toggle(act, tile.item, tile.card),
    });
    this.end = h("div", { class: "end", role: "status" });
    main.append(
      h("div", { class: "head" }, h("div", {}, h("h1", {}, "Explore"), this.told),
        h("div", { class: "row" }, this.fresh,
          h("button", { type: "button", class: "button", onclick: helpDialog, "aria-label": "Keys and help" }, icon("why")))),
      this.shelf, this.mosaic.node, this.end);
    this.why = new WhyPanel({
      viewerId, acts: this.acts,
      act: (act, item, card) => this.toggle(act, item, card),
      closed: () => this.mosaic.focus(),
    });
    this.onKey = (event) => this.#key(event);
    document.addEventListener("keydown", this.onKey);
    this.onScroll = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#more(), { rootMargin: "1200px" });
    this.stop = follow(viewerId, (page) => this.#arrived(page), (live) => this.#state(live));
  }

  /** Leave the page. */
  close() {
    this.stop();
    this.onScroll.disconnect();
    document.removeEventListener("keydown", this.onKey);
    this.why.close();
    this.mosaic.close();
  }

  /** Do an act with a media, or take it back if it was done. */
  async toggle(act, item, card) {
    const done = this.acts.find(act, item);
    if (done) await this.undo(done);
    else await this.#act(act, item, card ?? (await mediaCards([item])).get(item.media_id));
  }

  /** Take something back. */
  async undo(done) {
    const started = performance.now();
    this.#setDone(done.act, done.item, false);
    this.feed.restore(done.unwanted);
    try {
      const ts = await this.acts.undo(done);
      this.#await(ts, started, [WORDS[done.act][1]], null);
    } catch (error) {
      complain(error);
    }
    this.#fillShelf();
  }

  async #act(act, item, card) {
    const started = performance.now();
    this.#setDone(act, item, true);
    if (act === "like") this.#burst(item.media_id);
    const unwanted = this.#unwanted(act, item);
    if (unwanted.length) this.#leave(unwanted);
    try {
      const done = await this.acts.do(act, item, card);
      done.unwanted = unwanted;
      this.#await(done.ts, started, [WORDS[act][0]], done);
    } catch (error) {
      this.#setDone(act, item, false);
      complain(error);
      if (unwanted.length) await this.#giveBack(unwanted);
    }
    this.#fillShelf();
  }

  /** What left for nothing comes back. */
  async #giveBack(mediaIds) {
    this.feed.restore(mediaIds);
    try {
      this.#arrived(await get("/v1/explore", { viewer_id: this.viewerId }));
    } catch (error) {
      complain(error);
    }
  }

  /** Tell how long it takes until a grid that knows of `ts` is shown. */
  #await(ts, started, words, done) {
    const told = toast(words, done ? { label: "Undo", action: () => this.undo(done) } : {});
    this.waiting.push({ ts, started, words, told });
    // The grid may have been faster than the answer to the event.
    if (this.feed.page) this.#settle(this.feed.page);
  }

  #arrived(page) {
    const first = !this.feed.page;
    if (!first && page.generated_at_ms < this.feed.page.generated_at_ms) return;
    const change = this.mosaic.show(this.feed.replaceHead(page), { moves: !first });
    this.last = change;
    this.#settle(page, change);
    this.#tell(page);
    if (first) this.onScroll.observe(this.end);
  }

  /** Those who wait for what this grid reflects learn how long it took. */
  #settle(page, change) {
    const now = performance.now();
    const answered = this.waiting.filter((one) => page.reflects_ts >= one.ts);
    this.waiting = this.waiting.filter((one) => page.reflects_ts < one.ts && now - one.started < ANSWER_MS);
    // Shown is what the screen shows: after the next frame.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (change) this.shownAt = performance.now();
      for (const { started, words, told } of answered) {
        // The answer to the event may come after the grid that it led to.
        const ms = Math.round(Math.max(this.shownAt - started, 0));
        const { fresh, moved } = change ?? this.last;
        told.say(...words, " · grid answered in ", h("b", {}, `${ms} ms`));
        fill(this.fresh, `${ms} ms`);
        this.told.textContent = `What you did changed the grid: ${fresh} new, ${moved} moved`;
        this.fresh.dataset.ms = String(ms);
      }
    }));
  }

  #tell(page) {
    const made = new Date(page.generated_at_ms).toLocaleTimeString();
    this.told.textContent = page.items.length
      ? `${page.items.length} of ${page.candidates} candidates · ${made}`
      : `Nothing can be shown to ${this.viewerId} yet: send media to catalog.media first.`;
    fill(this.end, page.items.length ? "" : "An empty catalogue has an empty grid.");
  }

  #state(live) {
    this.fresh.classList.toggle("live", live);
    if (!live) fill(this.fresh, "waiting for Freshgrid");
    else if (!this.fresh.dataset.ms) fill(this.fresh, "live");
  }

  async #more() {
    if (!this.feed.more) return;
    try {
      await this.feed.extend();
      this.mosaic.show(this.feed.items);
      if (!this.feed.more) fill(this.end, `That is all: ${this.feed.items.length} media, none of them twice.`);
      // Still in sight of the end: the observer tells of changes alone.
      this.onScroll.unobserve(this.end);
      if (this.feed.more) this.onScroll.observe(this.end);
    } catch (error) {
      complain(error);
    }
  }

  #setDone(act, item, done) {
    this.mosaic.tiles.get(item.media_id)?.setDone(act, done);
  }

  #burst(mediaId) {
    const node = this.mosaic.tiles.get(mediaId)?.node;
    node?.classList.add("bursting");
    setTimeout(() => node?.classList.remove("bursting"), 700);
  }

  /** Media that are not wanted any more once an act is done. */
  #unwanted(act, item) {
    if (act === "see_fewer") return [item.media_id];
    if (act !== "mute") return [];
    return this.feed.items.filter((one) => one.author_id === item.author_id).map((one) => one.media_id);
  }

  /** What is not wanted leaves at once, before any grid says so. */
  async #leave(mediaIds) {
    const nodes = mediaIds.map((id) => this.mosaic.tiles.get(id)?.node).filter(Boolean);
    this.feed.remove(mediaIds);
    if (!calm.matches) {
      const frames = [{}, { opacity: 0, transform: "scale(0.6)" }];
      await Promise.all(nodes.map((node) => node.animate(frames, LEAVE_MS).finished.catch(() => {})));
    }
    this.mosaic.show(this.feed.items, { moves: true });
  }

  #fillShelf() {
    const held = this.shelf.contains(document.activeElement);
    fill(this.shelf, this.acts.done.toReversed().map((done) => {
      const { act, item, card } = done;
      const what = act === "mute" ? item.author_id : item.media_id;
      return h("button", {
        type: "button", class: act === "see_fewer" || act === "mute" ? "gone" : "",
        "aria-label": `${WORDS[act][0]}: ${what}. Take it back`, title: `${WORDS[act][0]}: ${what} – press to take it back`,
        onclick: () => this.undo(done),
      }, picture({ media: item.media_id, account: item.author_id, topic: card?.topic ?? "", address: card?.address }, { side: 56 }),
      h("i", {}, icon(act)));
    }));
    // The keyboard stays where it was, as far as there is something.
    if (held) (this.shelf.querySelector("button") ?? this.mosaic.current?.opener)?.focus();
  }

  #key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
    if (event.key.startsWith("Arrow")) {
      // Only where the keyboard is at tiles, or nowhere: arrows scroll as well.
      const inside = this.mosaic.node.contains(event.target);
      if (!inside && event.target !== document.body) return;
      if (inside ? this.mosaic.step(event.key) : (this.mosaic.focus(), true)) event.preventDefault();
      return;
    }
    if (event.key === "?") helpDialog();
    else if (event.key === "u") {
      const done = this.acts.done.at(-1);
      if (done) this.undo(done);
    } else if (event.key === "Escape") this.why.close();
    else {
      const act = ACTS.find(({ key }) => key === event.key)?.act;
      const tile = this.mosaic.current;
      if (!act || !tile || !this.mosaic.node.contains(event.target)) return;
      this.toggle(act, tile.item, tile.card);
    }
    event.preventDefault();
  }
}
