// Which media stand in the mosaic, in order. A media stands there once, however pages overlap.

/** Pages in a row that bring nothing new mean that there is nothing. */
const MOST_EMPTY = 4;

export class Feed {
  /** @param {(cursor: string|null) => Promise<object>} fetchPage answers as /v1/explore does */
  constructor(fetchPage) {
    this.fetchPage = fetchPage;
    this.items = [];
    this.head = 0;
    this.next = null;
    this.page = null;
    this.gone = new Set();
    this.series = 0;
    this.loading = null;
  }

  /** Whether further pages may bring more. */
  get more() {
    return this.next !== null;
  }

  /** Put a first page in the place of the one before; what stands below it stays, without repeats. */
  replaceHead(page) {
    const fresh = page.items.filter((item) => !this.gone.has(item.media_id));
    const names = new Set(fresh.map((item) => item.media_id));
    const below = this.items.slice(this.head).filter((item) => !names.has(item.media_id));
    const named = fresh.map((item) => ({ ...item, request_id: page.request_id }));
    this.items = [...named, ...below];
    this.head = fresh.length;
    this.page = page;
    this.next = page.next;
    this.series += 1;
    return this.items;
  }

  /** Take media out, as long as `restore` does not let them come again. */
  remove(mediaIds) {
    mediaIds.forEach((id) => this.gone.add(id));
    this.head = this.items.slice(0, this.head).filter((item) => !this.gone.has(item.media_id)).length;
    this.items = this.items.filter((item) => !this.gone.has(item.media_id));
  }

  /** Let media come again. */
  restore(mediaIds) {
    mediaIds.forEach((id) => this.gone.delete(id));
  }

  /** Fetch what follows; one at a time. Returns how many media came. */
  extend() {
    this.loading ??= this.#extend().finally(() => { this.loading = null; });
    return this.loading;
  }

  async #extend() {
    for (let tries = 0; this.next !== null && tries < MOST_EMPTY; tries++) {
      const series = this.series;
      const page = await this.fetchPage(this.next);
      // A new grid came meanwhile: its own next page is the one to ask for.
      if (series !== this.series) continue;
      this.next = page.next;
      const known = new Set(this.items.map((item) => item.media_id));
      const fresh = page.items.filter((item) => !known.has(item.media_id) && !this.gone.has(item.media_id));
      if (!fresh.length) continue;
      this.items.push(...fresh.map((item) => ({ ...item, request_id: page.request_id })));
      return fresh.length;
    }
    this.next = null;
    return 0;
  }
}
