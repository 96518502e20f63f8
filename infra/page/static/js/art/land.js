// Land and water: waves, ridges, contour lines, streams.

import { mix, veil } from "./palettes.js";
import { noise } from "./random.js";

/** Bands of water under a low sun. */
export function waves(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const sky = g.createLinearGradient(0, 0, 0, side);
  sky.addColorStop(0, mix(ground, tones[1], 0.35));
  sky.addColorStop(0.6, mix(ground, light, 0.55));
  g.fillStyle = sky;
  g.fillRect(0, 0, side, side);
  const horizon = side * dice.between(0.28, 0.5);
  const sun = side * dice.between(0.1, 0.2);
  g.fillStyle = tones[2];
  disc(g, side * dice.between(0.2, 0.8), horizon - sun * dice.between(-0.3, 0.9), sun);
  const bands = 5 + Math.round(style.dense * 5);
  const length = side * (0.18 + style.scale * 0.35);
  for (let i = 0; i < bands; i++) {
    const t = i / (bands - 1);
    const top = horizon + (side - horizon) * t * 0.92;
    const height = side * (0.012 + 0.035 * t) * (0.7 + style.round);
    const phase = dice.between(0, 6.28);
    g.beginPath();
    g.moveTo(0, side);
    for (let x = 0; x <= side; x += 4) {
      const swell = Math.sin((x / length) * 3.14 + phase) + 0.4 * Math.sin((x / length) * 7 + phase * 2);
      g.lineTo(x, top + swell * height);
    }
    g.lineTo(side, side);
    g.closePath();
    g.fillStyle = mix(mix(tones[0], light, 0.5 * (1 - t)), dark, 0.65 * t * t);
    g.fill();
    g.strokeStyle = veil(light, 0.35);
    g.lineWidth = 1.5;
    g.stroke();
  }
}

/** Mountains behind mountains in haze. */
export function ridges(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const sky = g.createLinearGradient(0, 0, 0, side * 0.8);
  sky.addColorStop(0, mix(ground, tones[2], 0.5));
  sky.addColorStop(1, light);
  g.fillStyle = sky;
  g.fillRect(0, 0, side, side);
  const moon = side * dice.between(0.06, 0.15);
  g.fillStyle = mix(light, tones[1], style.round > 0.5 ? 0.9 : 0.15);
  disc(g, side * dice.between(0.2, 0.8), side * dice.between(0.15, 0.35), moon);
  const ranges = 4 + Math.round(style.dense * 3);
  for (let i = 0; i < ranges; i++) {
    const t = (i + 1) / ranges;
    const height = noise(dice.whole(1, 1e9));
    const base = side * (0.3 + 0.62 * t * dice.between(0.85, 1));
    const steep = side * (0.16 + 0.2 * style.scale) * (1.15 - t * 0.6);
    g.beginPath();
    g.moveTo(0, side);
    for (let x = 0; x <= side; x += 4) {
      const u = x / side;
      const peak = 1 - Math.abs(2 * height(u * 2.6, 0) - 1);
      g.lineTo(x, base - steep * (peak - 0.4) - side * 0.05 * height(u * 11, 3));
    }
    g.lineTo(side, side);
    g.closePath();
    const near = mix(tones[0], dark, t * 0.75);
    const mist = g.createLinearGradient(0, base - steep, 0, Math.min(side, base + steep));
    mist.addColorStop(0, mix(near, light, 0.55 * (1 - t)));
    mist.addColorStop(1, mix(near, light, 0.85 * (1 - t)));
    g.fillStyle = mist;
    g.fill();
  }
}

/** Heights of a hill as on a map. */
export function contours(g, side, style, dice) {
  const { tones, light, dark } = style;
  const plain = mix(light, tones[2], 0.18 + 0.25 * style.slant);
  g.fillStyle = plain;
  g.fillRect(0, 0, side, side);
  const hills = 1 + Math.round(style.scale * 2);
  const lines = 11 + Math.round(style.dense * 12);
  for (let hill = 0; hill < hills; hill++) {
    const x = side * dice.between(0.15, 0.85), y = side * dice.between(0.15, 0.85);
    const bend = noise(dice.whole(1, 1e9));
    const reach = side * (hill ? dice.between(0.4, 0.6) : dice.between(0.75, 1));
    const stretch = dice.between(0.7, 1.3), turn = dice.between(0, 3.14);
    for (let i = lines; i > 0; i--) {
      const t = i / lines;
      g.beginPath();
      for (let step = 0; step <= 90; step++) {
        const angle = (step / 90) * 2 * Math.PI;
        const wobble = 0.55 + 0.9 * bend(Math.cos(angle) * 1.3 + 5 + t, Math.sin(angle) * 1.3 + 5);
        const far = reach * t * wobble;
        const px = Math.cos(angle) * far * stretch, py = (Math.sin(angle) * far) / stretch;
        g.lineTo(x + px * Math.cos(turn) - py * Math.sin(turn), y + px * Math.sin(turn) + py * Math.cos(turn));
      }
      g.closePath();
      const height = 1 - t;
      g.fillStyle = height < 0.5
        ? mix(plain, tones[0], height * 1.8)
        : mix(tones[0], tones[1], (height - 0.5) * 2);
      g.fill();
      g.strokeStyle = veil(dark, i % 4 ? 0.22 : 0.6);
      g.lineWidth = i % 4 ? 1 : 1.8;
      g.stroke();
    }
  }
}

/** Threads carried by a current. */
export function streams(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  g.fillStyle = dice.chance(0.5) ? ground : dark;
  g.fillRect(0, 0, side, side);
  const field = noise(dice.whole(1, 1e9));
  const turns = 1.2 + style.scale * 2.2;
  const heading = style.slant * 6.28;
  const colours = [...tones, tones[0], light];
  const threads = 150 + Math.round(style.dense * 120);
  g.lineCap = style.round > 0.35 ? "round" : "butt";
  for (let i = 0; i < threads; i++) {
    let x = side * dice.between(-0.15, 1.15), y = side * dice.between(-0.15, 1.15);
    g.beginPath();
    g.moveTo(x, y);
    for (let step = 0; step < 34; step++) {
      const angle = heading + (field((x / side) * turns + 9, (y / side) * turns + 9) - 0.5) * 7;
      x += Math.cos(angle) * 6;
      y += Math.sin(angle) * 6;
      g.lineTo(x, y);
    }
    g.strokeStyle = dice.of(colours);
    g.lineWidth = dice.between(1.5, 5 + 5 * style.round);
    g.stroke();
  }
}

function disc(g, x, y, radius) {
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  g.fill();
}
