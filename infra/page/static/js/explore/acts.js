// What the viewer does: sent as events, remembered so that it can be taken back.

import { send } from "../api.js";

/** Words of an act: what it says once done, and once taken back. */
export const WORDS = {
  like: ["Liked", "Like taken back"],
  save: ["Saved", "Save taken back"],
  share: ["Shared", "Share taken back"],
  see_fewer: ["You will see fewer like this", "See fewer taken back"],
  mute: ["Nothing more of this account", "The account may be shown again"],
};

export class Acts {
  /** @param {string} viewerId */
  constructor(viewerId) {
    this.viewerId = viewerId;
    /** What was done in this visit and not taken back, newest last. */
    this.done = [];
  }

  /** Do something with a media, or with its account. */
  async do(act, item, card) {
    const done = { act, item, card, ts: await this.#send(act, item, false) };
    this.done.push(done);
    return done;
  }

  /** Take back something done; returns the time of the event that did. */
  async undo(done) {
    this.done = this.done.filter((one) => one !== done);
    return this.#send(done.act, done.item, true);
  }

  /** What was done with a media, or with its account, and still stands. */
  find(act, item) {
    const same = (one) => (act === "mute" ? one.author_id === item.author_id : one.media_id === item.media_id);
    return this.done.findLast((done) => done.act === act && same(done.item)) ?? null;
  }

  async #send(act, item, undo) {
    const ts = Date.now();
    const event = { event_id: crypto.randomUUID?.() ?? `page-${ts}-${Math.random()}`, viewer_id: this.viewerId, ts };
    if (undo) event.undo = true;
    if (act === "mute") Object.assign(event, { kind: "mute", author_id: item.author_id });
    else {
      Object.assign(event, { action: act, media_id: item.media_id, author_id: item.author_id });
      if (item.request_id) event.request_id = item.request_id;
    }
    await send("POST", "/v1/events", event);
    return ts;
  }
}
