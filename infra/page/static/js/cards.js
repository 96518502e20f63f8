// What the catalogue knows of media and accounts, asked for in batches and kept.

import { get } from "./api.js";

/** Ids of one request at most: a line of HTTP has an end. */
const BATCH = 50;
/** Cards that are kept; the oldest go. */
const MOST = 3000;

class Cards {
  /** @param {(ids: string[]) => Promise<Map<string, object>>} look */
  constructor(look) {
    this.look = look;
    this.known = new Map();
  }

  async of(ids) {
    const missing = [...new Set(ids)].filter((id) => !this.known.has(id));
    for (let at = 0; at < missing.length; at += BATCH) {
      const batch = missing.slice(at, at + BATCH);
      // Pictures are painted without it, too.
      const found = await this.look(batch).catch(() => null);
      if (found) for (const id of batch) this.known.set(id, found.get(id) ?? {});
    }
    while (this.known.size > MOST) this.known.delete(this.known.keys().next().value);
    return this.known;
  }
}

const list = (name, ids) => ids.map((id) => [name, id]);

const media = new Cards(async (ids) => {
  const body = await get(`/v1/media?${new URLSearchParams(list("media_id", ids))}`);
  return new Map(body.media.map((one) => [one.media_id, one]));
});

const accounts = new Cards(async (ids) => {
  const body = await get(`/v1/accounts?${new URLSearchParams(list("account_id", ids))}`);
  return new Map(body.accounts.map((one) => [one.account_id, one]));
});

/** A record as pictures need it. */
export function mediaCard(record) {
  return { topic: record.topics?.[0] ?? "", topics: record.topics ?? [], address: record.image_url ?? null, createdMs: record.created_ts ?? 0 };
}

/**
 * Cards of some media.
 *
 * @param {{media_id: string}[]} items
 * @returns {Promise<Map<string, {topic: string, topics: string[], address: string|null, createdMs: number}>>} by id
 */
export async function mediaCards(items) {
  const ids = items.map((item) => item.media_id);
  const known = await media.of(ids);
  return new Map(ids.map((id) => [id, mediaCard(known.get(id) ?? {})]));
}

/** First topics of some accounts, by id; "" of one without. */
export async function accountTopics(ids) {
  const known = await accounts.of(ids);
  return new Map(ids.map((id) => [id, known.get(id)?.topics?.[0] ?? ""]));
}
