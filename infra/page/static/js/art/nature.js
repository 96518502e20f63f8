// Grown things: petals, orbits, leaves, cut-outs.

import { mix, veil } from "./palettes.js";

/** Flowers seen from above. */
export function petals(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  g.fillStyle = style.slant > 0.6 ? dark : ground;
  g.fillRect(0, 0, side, side);
  const flowers = style.scale > 0.6 ? 1 : style.scale > 0.3 ? 3 : 6;
  const spots = [[0.5, 0.5], [0.18, 0.2], [0.86, 0.82], [0.84, 0.2], [0.16, 0.84], [0.5, 1.02]];
  for (let i = flowers - 1; i >= 0; i--) {
    const x = side * (spots[i][0] + dice.between(-0.08, 0.08));
    const y = side * (spots[i][1] + dice.between(-0.08, 0.08));
    const reach = side * (flowers === 1 ? 0.46 : i ? 0.2 : 0.3) * dice.between(0.9, 1.15);
    const count = dice.whole(5, 8) + Math.round(style.dense * 5);
    const outer = dice.of(tones), inner = dice.of(tones.filter((one) => one !== outer));
    for (const [far, colour, shift] of [[1, outer, 0], [0.68, inner, 0.5], [0.4, mix(inner, light, 0.6), 0]]) {
      for (let petal = 0; petal < count; petal++) {
        g.save();
        g.translate(x, y);
        g.rotate(((petal + shift) / count) * 2 * Math.PI + style.slant * 6);
        const length = reach * far, wide = ((length * Math.PI) / count) * (0.75 + 0.5 * style.round);
        g.beginPath();
        g.moveTo(0, 0);
        g.bezierCurveTo(wide, -length * 0.35, wide * 0.9, -length * 0.95, 0, -length);
        g.bezierCurveTo(-wide * 0.9, -length * 0.95, -wide, -length * 0.35, 0, 0);
        g.fillStyle = colour;
        g.fill();
        g.strokeStyle = veil(dark, 0.16);
        g.lineWidth = 1.2;
        g.stroke();
        g.restore();
      }
    }
    g.fillStyle = style.slant > 0.6 ? light : dark;
    g.beginPath();
    g.arc(x, y, reach * 0.13, 0, 2 * Math.PI);
    g.fill();
  }
}

/** Planets on their ways. */
export function orbits(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const night = style.round > 0.4;
  g.fillStyle = night ? dark : mix(ground, light, 0.3);
  g.fillRect(0, 0, side, side);
  const x = side * dice.between(0.25, 0.75), y = side * dice.between(0.25, 0.75);
  if (night) {
    g.fillStyle = veil(light, 0.55);
    for (let i = 0; i < 46; i++) g.fillRect(side * dice.unit(), side * dice.unit(), 1.6, 1.6);
  }
  const rings = 5 + Math.round(style.dense * 6), flat = 0.55 + 0.45 * style.slant;
  const turn = style.slant * 3;
  for (let i = rings; i > 0; i--) {
    const radius = side * (0.1 + (0.85 * i) / rings);
    g.beginPath();
    g.ellipse(x, y, radius, radius * flat, turn, 0, 2 * Math.PI);
    g.fillStyle = veil(tones[i % 3], night ? 0.1 : 0.16);
    g.fill();
    g.strokeStyle = veil(night ? light : dark, 0.4);
    g.lineWidth = i % 3 ? 1.2 : 2.6;
    g.stroke();
    const angle = dice.between(0, 6.28);
    const px = Math.cos(angle) * radius, py = Math.sin(angle) * radius * flat;
    const cx = x + px * Math.cos(turn) - py * Math.sin(turn);
    const cy = y + px * Math.sin(turn) + py * Math.cos(turn);
    ball(g, cx, cy, side * dice.between(0.015, 0.065) * (0.6 + style.scale), dice.of(tones), dark);
  }
  ball(g, x, y, side * dice.between(0.1, 0.17), tones[0], mix(tones[1], dark, 0.2));
}

function ball(g, x, y, radius, colour, shade) {
  g.fillStyle = colour;
  g.beginPath();
  g.arc(x, y, radius, 0, 2 * Math.PI);
  g.fill();
  g.save();
  g.clip();
  g.fillStyle = veil(shade, 0.45);
  g.beginPath();
  g.arc(x + radius * 0.45, y + radius * 0.35, radius * 1.05, 0, 2 * Math.PI);
  g.fill();
  g.restore();
}

/** Branches with leaves. */
export function leaves(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  g.fillStyle = style.round > 0.7 ? dark : style.round > 0.35 ? ground : mix(ground, light, 0.6);
  g.fillRect(0, 0, side, side);
  g.fillStyle = mix(ground, tones[2], 0.35);
  g.beginPath();
  g.arc(side * dice.between(0.3, 0.7), side * dice.between(0.3, 0.6), side * 0.28, 0, 2 * Math.PI);
  g.fill();
  const stems = 2 + Math.round(style.scale * 3);
  for (let stem = 0; stem < stems; stem++) {
    const colour = tones[stem % 3];
    let x = side * ((stem + 0.5) / stems + dice.between(-0.12, 0.12)), y = side * 1.04;
    let angle = -Math.PI / 2 + dice.between(-0.35, 0.35);
    const bend = dice.between(-0.05, 0.05), pairs = 7 + Math.round(style.dense * 5);
    for (let i = 0; i < pairs; i++) {
      const size = side * (0.15 + 0.09 * style.round) * (1 - (0.6 * i) / pairs);
      for (const sign of [-1, 1]) {
        leaf(g, x, y, angle + sign * (0.55 + 0.5 * style.slant), size, mix(colour, sign < 0 ? light : dark, 0.22));
      }
      const nx = x + Math.cos(angle) * side * 0.085, ny = y + Math.sin(angle) * side * 0.085;
      g.strokeStyle = mix(colour, dark, 0.5);
      g.lineWidth = 3.4 * (1 - (0.6 * i) / pairs);
      g.beginPath();
      g.moveTo(x, y);
      g.lineTo(nx, ny);
      g.stroke();
      [x, y] = [nx, ny];
      angle += bend;
    }
    leaf(g, x, y, angle, side * 0.09, colour);
  }
}

function leaf(g, x, y, angle, size, colour) {
  g.save();
  g.translate(x, y);
  g.rotate(angle);
  g.beginPath();
  g.moveTo(0, 0);
  g.quadraticCurveTo(size * 0.5, -size * 0.36, size, 0);
  g.quadraticCurveTo(size * 0.5, size * 0.36, 0, 0);
  g.fillStyle = colour;
  g.fill();
  g.restore();
}

/** Shapes as cut from paper by hand. */
export function cutouts(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const halves = [ground, mix(ground, light, 0.6), tones[1], mix(tones[2], light, 0.55)];
  g.fillStyle = dice.of(halves);
  g.fillRect(0, 0, side, side);
  g.fillStyle = dice.of(halves);
  if (style.slant > 0.5) g.fillRect(0, 0, side * dice.between(0.3, 0.7), side);
  else g.fillRect(0, 0, side, side * dice.between(0.3, 0.7));
  const pieces = 4 + Math.round(style.dense * 5);
  for (let i = 0; i < pieces; i++) {
    const reach = side * dice.between(0.1, 0.22) * (0.8 + 0.6 * style.scale);
    blob(g, side * dice.between(0.08, 0.92), side * dice.between(0.08, 0.92), reach, dice, style.round);
    g.save();
    g.shadowColor = veil(dark, 0.35);
    g.shadowBlur = 7;
    g.shadowOffsetY = 3;
    g.fillStyle = dice.of([...tones, dark, light]);
    g.fill();
    g.restore();
  }
}

function blob(g, x, y, reach, dice, round) {
  const arms = dice.whole(3, 6), depth = 0.25 + 0.35 * (1 - round), turn = dice.between(0, 6.28);
  const stretch = dice.between(0.8, 1.35);
  g.beginPath();
  for (let i = 0; i <= 72; i++) {
    const angle = (i / 72) * 2 * Math.PI;
    const far = reach * (1 + depth * Math.sin(arms * angle + turn) + 0.12 * Math.sin(2 * angle + turn * 3));
    g.lineTo(x + Math.cos(angle) * far * stretch, y + (Math.sin(angle) * far) / stretch);
  }
  g.closePath();
}
