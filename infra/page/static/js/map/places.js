// The accounts of a map in columns, and who is near a point of it.

/** Places are whole numbers up to this on both axes. */
export const SIDE = 65535;
const CELLS = 256;
const cell = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor((value * CELLS) / (SIDE + 1))));

export class Places {
  /** @param {object} told answer of GET /v1/map */
  constructor(told) {
    this.told = told;
    this.ids = told.account_id;
    this.count = this.ids.length;
    this.x = Float32Array.from(told.x);
    this.y = Float32Array.from(told.y);
    this.movedX = Float32Array.from(told.moved_x);
    this.movedY = Float32Array.from(told.moved_y);
    this.topic = Uint16Array.from(told.topic);
    this.moved = this.movedX.map((x, at) => Math.hypot(x, this.movedY[at]));
    this.rows = new Map(this.ids.map((id, at) => [id, at]));
    this.#index();
  }

  /** Which accounts are in each cell of a grid: `order[start[cell]]` up to `order[start[cell + 1]]`. */
  #index() {
    const cells = this.x.map((x, at) => cell(this.y[at]) * CELLS + cell(x));
    this.start = new Uint32Array(CELLS * CELLS + 1);
    for (const one of cells) this.start[one + 1] += 1;
    for (let at = 1; at < this.start.length; at += 1) this.start[at] += this.start[at - 1];
    const next = this.start.slice();
    this.order = new Uint32Array(this.count);
    for (let at = 0; at < this.count; at += 1) this.order[next[cells[at]]++] = at;
  }

  /** Rows of the accounts in a rectangle of the map, and some just outside. */
  *within(left, top, right, bottom) {
    for (let row = cell(top); row <= cell(bottom); row += 1) {
      const from = this.start[row * CELLS + cell(left)], to = this.start[row * CELLS + cell(right) + 1];
      for (let at = from; at < to; at += 1) yield this.order[at];
    }
  }

  /** Row of the account nearest to a point, within a reach; -1 if there is none. */
  nearest(x, y, reach) {
    let best = -1, least = reach * reach;
    for (const at of this.within(x - reach, y - reach, x + reach, y + reach)) {
      const far = (this.x[at] - x) ** 2 + (this.y[at] - y) ** 2;
      if (far <= least) [best, least] = [at, far];
    }
    return best;
  }

  /** Rows of accounts whose id holds a text, those first that begin with it. */
  search(text, most) {
    const wanted = text.toLowerCase();
    const begin = [], hold = [];
    for (let at = 0; at < this.count && begin.length < most; at += 1) {
      const found = this.ids[at].toLowerCase().indexOf(wanted);
      if (found === 0) begin.push(at);
      else if (found > 0 && hold.length < most) hold.push(at);
    }
    return [...begin, ...hold].slice(0, most);
  }

  /** Rows of those that moved the farthest. */
  farthest(most) {
    const rows = Array.from(this.moved.keys()).filter((at) => this.moved[at] > 0);
    return rows.sort((a, b) => this.moved[b] - this.moved[a]).slice(0, most);
  }

  /** Topics that any account has, with how many and their middle, the most frequent first. */
  topics() {
    const sums = this.told.topics.map((name, code) => ({ name, code, count: 0, x: 0, y: 0 }));
    for (let at = 0; at < this.count; at += 1) {
      const sum = sums[this.topic[at]];
      sum.count += 1;
      sum.x += this.x[at];
      sum.y += this.y[at];
    }
    return sums.filter((one) => one.count).sort((a, b) => b.count - a.count)
      .map((one) => ({ ...one, x: one.x / one.count, y: one.y / one.count }));
  }
}
