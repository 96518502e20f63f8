// Chance that is the same every time: numbers drawn from a text.

/** A 32-bit hash of a text (FNV-1a, mixed so that near texts lie far apart). */
export function hash(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Draws from a text: the same text gives the same numbers in the same order. */
export class Dice {
  constructor(text) {
    this.state = hash(text) || 1;
  }

  /** A number in [0, 1) (mulberry32). */
  unit() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A number in [low, high). */
  between(low, high) {
    return low + (high - low) * this.unit();
  }

  /** A whole number in [low, high]. */
  whole(low, high) {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  /** One of a list. */
  of(list) {
    return list[Math.floor(this.unit() * list.length)];
  }

  /** True with a probability. */
  chance(probability) {
    return this.unit() < probability;
  }
}

/** Smooth noise over the plane in [0, 1], from a seed. */
export function noise(seed) {
  const corner = (x, y) => {
    let h = Math.imul(x, 374761393) + Math.imul(y, 668265263) + seed;
    h = Math.imul(h ^ (h >>> 13), 1274126177);
    return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
  };
  const ease = (t) => t * t * (3 - 2 * t);
  return (x, y) => {
    const x0 = Math.floor(x), y0 = Math.floor(y);
    const u = ease(x - x0), v = ease(y - y0);
    const top = corner(x0, y0) * (1 - u) + corner(x0 + 1, y0) * u;
    const low = corner(x0, y0 + 1) * (1 - u) + corner(x0 + 1, y0 + 1) * u;
    return top * (1 - v) + low * v;
  };
}
