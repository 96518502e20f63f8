// Colours that go together. Of each: the ground, three tones, a light and a dark accent.

const PALETTES = [
  ["#f4e9d8", "#e4572e", "#f3a712", "#2e6f95", "#fff8ec", "#1d2b3a"],
  ["#12263a", "#06bcc1", "#f4d1ae", "#c5d8d1", "#fdf6ec", "#0a1622"],
  ["#fbe4d8", "#dfb6b2", "#854f6c", "#522b5b", "#fff5ef", "#2b124c"],
  ["#e9efe0", "#6a994e", "#a7c957", "#386641", "#fbfdf3", "#1d3321"],
  ["#1b1b2f", "#e43f5a", "#f9a26c", "#7a5c99", "#ffe9d6", "#0f0f1e"],
  ["#dff1f5", "#3a86c8", "#8ecae6", "#f5b700", "#ffffff", "#08334f"],
  ["#fde8e9", "#e27396", "#ea9ab2", "#b5dfca", "#fff9f9", "#5a1f3d"],
  ["#2d2a32", "#ddd92a", "#eae151", "#5fa8a0", "#fafdf6", "#17151b"],
  ["#f1ede4", "#c8553d", "#588b8b", "#f28f3b", "#fffdf7", "#2b2d30"],
  ["#e8e4f3", "#7b6cd9", "#b8a9f0", "#f58fa8", "#ffffff", "#251f4d"],
  ["#0b3d3a", "#2ec4a6", "#f2c57c", "#e07a5f", "#f4f1de", "#062522"],
  ["#fff1cf", "#ff9f1c", "#e71d36", "#2ec4b6", "#fffaf0", "#3b1d16"],
  ["#d8dee6", "#5b7c99", "#9db4c8", "#e8775a", "#f9fbfd", "#1e2c39"],
  ["#f7d9c4", "#c9747d", "#e8a87c", "#6b8f8a", "#fff6ee", "#402a2c"],
  ["#19233c", "#f6ae2d", "#f26419", "#86bbd8", "#fdf1dc", "#0c1223"],
  ["#eaf0d9", "#d4a373", "#a3b18a", "#bc6c25", "#fefae0", "#34401f"],
  ["#31112c", "#ff5d8f", "#ffa07a", "#8e6cc4", "#ffe8f0", "#1a0718"],
  ["#dceef2", "#118ab2", "#06d6a0", "#ef476f", "#fcffff", "#073b4c"],
];

/** How many topics can differ in colour alone. */
export const COUNT = PALETTES.length;

/**
 * The colours of one account: those of its topic, turned a little, with the tones in an order of its own.
 *
 * @param {number} topic a hash of it
 * @param {import("./random.js").Dice} dice of the account
 */
export function palette(topic, dice) {
  const [ground, a, b, c, light, dark] = PALETTES[topic % COUNT];
  // Topics are more than palettes: those that share one differ in hue.
  const lean = ((Math.floor(topic / COUNT) % 41) - 20) * 0.9;
  const orders = [[a, b, c], [b, a, c], [a, c, b], [c, a, b]];
  const turn = lean + dice.between(-7, 7), lift = dice.between(-4, 4);
  const tones = dice.of(orders).map((tone) => shift(tone, turn, lift));
  // Some accounts paint on another ground of the same family.
  const base = dice.chance(0.25) ? mix(ground, tones[0], 0.22) : ground;
  return { ground: shift(base, turn, 0), tones, light, dark };
}

/** A colour between two. */
export function mix(from, to, share) {
  const [a, b] = [rgb(from), rgb(to)];
  return hex(a.map((value, i) => value + (b[i] - value) * share));
}

/** The same colour with less than full cover. */
export function veil(colour, cover) {
  const [r, g, b] = rgb(colour);
  return `rgb(${r} ${g} ${b} / ${cover})`;
}

/** A colour with its hue turned (degrees) and its lightness moved (percent). */
function shift(colour, turn, lift) {
  const [r, g, b] = rgb(colour).map((value) => value / 255);
  const high = Math.max(r, g, b), low = Math.min(r, g, b), span = high - low;
  let hue = 0;
  if (span) {
    if (high === r) hue = ((g - b) / span) % 6;
    else if (high === g) hue = (b - r) / span + 2;
    else hue = (r - g) / span + 4;
  }
  const light = (high + low) / 2;
  const rich = span ? span / (1 - Math.abs(2 * light - 1)) : 0;
  return fromHsl(hue * 60 + turn, rich, Math.min(0.97, Math.max(0.04, light + lift / 100)));
}

function fromHsl(hue, rich, light) {
  const reach = rich * Math.min(light, 1 - light);
  const part = (n) => {
    const k = (((n + hue / 30) % 12) + 12) % 12;
    return 255 * (light - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return hex([part(0), part(8), part(4)]);
}

function rgb(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function hex(parts) {
  return `#${parts.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}
