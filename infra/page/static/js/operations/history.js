// What the page has seen since it was opened: points for its charts.

const MOST = 150;

/** Keeps the newest answers of /v1/operations, and tells rates between them. */
export class History {
  constructor() {
    this.kept = [];
  }

  /** Keep an answer; the same one again is not kept. */
  add(told) {
    if (this.kept.at(-1)?.at_ms === told.at_ms) return;
    this.kept.push(told);
    if (this.kept.length > MOST) this.kept.shift();
  }

  /** A figure of every answer; `of` may say null. */
  points(of) {
    return this.kept.map(of);
  }

  /** Topic → records a second between the last answers that differ; null before there are two. */
  rates() {
    const [last, before] = [this.kept.at(-1), this.kept.at(-2)];
    return last?.log && before?.log ? rates(before, last) : null;
  }

  /** Records a second of the topics that `takes` takes, between each answer and the one before. */
  rate(takes) {
    return this.kept.map((told, at) => {
      const before = this.kept[at - 1];
      if (!told.log || !before?.log) return null;
      let sum = 0;
      for (const [topic, perSecond] of rates(before, told)) if (takes(topic)) sum += perSecond;
      return sum;
    });
  }
}

function rates(before, after) {
  const seconds = Math.max((after.at_ms - before.at_ms) / 1000, 0.001);
  const then = new Map(before.log.topics.map((one) => [one.topic, one.records]));
  return new Map(after.log.topics.map((one) => [one.topic, Math.max(one.records - (then.get(one.topic) ?? 0), 0) / seconds]));
}
