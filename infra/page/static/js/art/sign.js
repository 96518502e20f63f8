// Print and structure: halftone, letters, blocks, facets.

import { mix, veil } from "./palettes.js";
import { noise } from "./random.js";

/** Dots whose size makes the picture. */
export function halftone(g, side, style, dice) {
  const { tones, light, dark } = style;
  // Ink only darkens: it needs light paper.
  g.fillStyle = style.round > 0.5 ? light : mix(light, tones[2], 0.25);
  g.fillRect(0, 0, side, side);
  const step = side / (13 + Math.round(style.dense * 12));
  const form = dice.whole(0, 2), x0 = side * dice.between(0.25, 0.75), y0 = side * dice.between(0.25, 0.75);
  const cloud = noise(dice.whole(1, 1e9)), far = side * dice.between(0.45, 0.75);
  const size = (x, y) => {
    if (form === 0) return 1 - Math.hypot(x - x0, y - y0) / far;
    if (form === 1) return cloud((x / side) * 3 + 4, (y / side) * 3 + 4) * 1.5 - 0.35;
    return 0.5 + 0.5 * Math.sin(Math.hypot(x - x0, y - y0) / (side * (0.05 + 0.07 * style.scale)));
  };
  const layers = [[tones[0], style.slant * 1.5, 0], [tones[1], style.slant * 1.5 + 0.5, side * 0.12]];
  g.globalCompositeOperation = "multiply";
  for (const [colour, turn, shift] of layers) {
    g.fillStyle = colour;
    g.beginPath();
    for (let i = -side; i < side * 2; i += step) {
      for (let j = -side; j < side * 2; j += step) {
        const x = side / 2 + (i - side / 2) * Math.cos(turn) - (j - side / 2) * Math.sin(turn);
        const y = side / 2 + (i - side / 2) * Math.sin(turn) + (j - side / 2) * Math.cos(turn);
        if (x < -step || y < -step || x > side + step || y > side + step) continue;
        const radius = step * 0.68 * Math.min(1, Math.max(0, size(x + shift, y + shift)));
        if (radius < 0.6) continue;
        g.moveTo(x + radius, y);
        g.arc(x, y, radius, 0, 2 * Math.PI);
      }
    }
    g.fill();
  }
  g.globalCompositeOperation = "source-over";
  g.fillStyle = dark;
  g.beginPath();
  g.arc(side - x0, side - y0, side * (0.05 + 0.08 * style.scale), 0, 2 * Math.PI);
  g.fill();
}

const GLYPHS = "ABCDEGKMQRSWXYZ23589&?§%".split("");

/** One large sign, cropped, with what it throws behind it. */
export function letters(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const back = dice.of([ground, tones[1], dark]);
  g.fillStyle = back;
  g.fillRect(0, 0, side, side);
  const glyph = dice.of(GLYPHS);
  const face = style.round > 0.5 ? "Georgia, 'DejaVu Serif', serif" : "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
  g.font = `900 ${Math.round(side * (0.95 + style.scale * 0.5))}px ${face}`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  const lean = (style.slant - 0.5) * 0.7;
  g.save();
  g.translate(side * dice.between(0.38, 0.62), side * dice.between(0.45, 0.6));
  g.rotate(lean);
  const echoes = 3 + Math.round(style.dense * 7);
  for (let i = echoes; i > 0; i--) {
    g.fillStyle = mix(tones[0], back, i / (echoes + 1));
    g.fillText(glyph, i * 8, i * 8);
  }
  g.fillStyle = back === tones[1] ? dark : dice.of([light, tones[2]]);
  g.fillText(glyph, 0, 0);
  g.restore();
}

/** Cubes stacked to a town. */
export function blocks(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const sky = g.createLinearGradient(0, 0, 0, side);
  sky.addColorStop(0, mix(ground, tones[2], 0.3));
  sky.addColorStop(1, mix(ground, light, 0.5));
  g.fillStyle = sky;
  g.fillRect(0, 0, side, side);
  const count = 4 + Math.round(style.dense * 4), w = (side * 0.62) / count, h = w * 0.55;
  const hill = noise(dice.whole(1, 1e9));
  for (let sum = 0; sum <= 2 * (count + 1); sum++) {
    for (let i = 0; i <= sum; i++) {
      const j = sum - i;
      if (i > count + 1 || j > count + 1) continue;
      const tall = Math.round(hill(i * (0.5 + style.scale) + 3, j * (0.5 + style.scale) + 3) * 5 + 0.4) * h * 1.1;
      const x = side / 2 + (i - j) * w, y = side * 0.3 + sum * h;
      const colour = tones[Math.floor(dice.unit() * (style.round > 0.5 ? 3 : 2))];
      face(g, [[x - w, y], [x, y + h], [x, y + h + tall + side * 0.2], [x - w, y + tall + side * 0.2]], -tall, mix(colour, dark, 0.15));
      face(g, [[x + w, y], [x, y + h], [x, y + h + tall + side * 0.2], [x + w, y + tall + side * 0.2]], -tall, mix(colour, dark, 0.55));
      face(g, [[x, y - h], [x + w, y], [x, y + h], [x - w, y]], -tall, mix(colour, light, 0.5));
    }
  }
}

function face(g, points, up, colour) {
  g.beginPath();
  for (const [x, y] of points) g.lineTo(x, y + up);
  g.closePath();
  g.fillStyle = colour;
  g.fill();
}

/** A plane broken into triangles that catch the light. */
export function facets(g, side, style, dice) {
  const { tones, light, dark, ground } = style;
  const cells = 4 + Math.round(style.dense * 5), step = side / (cells - 1);
  const points = [];
  for (let row = 0; row <= cells; row++) {
    for (let column = 0; column <= cells; column++) {
      const shake = 0.34 + 0.12 * style.round;
      points.push([
        (column - 0.5) * step + dice.between(-shake, shake) * step,
        (row - 0.5) * step + dice.between(-shake, shake) * step,
      ]);
    }
  }
  const field = noise(dice.whole(1, 1e9)), blend = 1.2 + style.scale * 1.6;
  const stops = [dark, tones[0], tones[1], ground, light];
  const lit = (x, y) => {
    const t = Math.min(0.999, Math.max(0, field((x / side) * blend + 2, (y / side) * blend + 2) * 1.5 - 0.25 + dice.between(-0.07, 0.07)));
    const at = t * (stops.length - 1), i = Math.floor(at);
    return mix(stops[i], stops[i + 1], at - i);
  };
  const width = cells + 1;
  for (let row = 0; row < cells; row++) {
    for (let column = 0; column < cells; column++) {
      const [a, b, c, d] = [row * width + column, row * width + column + 1, (row + 1) * width + column, (row + 1) * width + column + 1];
      const pairs = (row + column) % 2 ? [[a, b, c], [b, c, d]] : [[a, b, d], [a, c, d]];
      for (const corners of pairs) {
        const [p, q, r] = corners.map((at) => points[at]);
        const colour = lit((p[0] + q[0] + r[0]) / 3, (p[1] + q[1] + r[1]) / 3);
        g.beginPath();
        for (const [x, y] of [p, q, r]) g.lineTo(x, y);
        g.closePath();
        g.fillStyle = g.strokeStyle = colour;
        g.lineWidth = 0.8;
        g.fill();
        g.stroke();
      }
    }
  }
  if (style.slant > 0.6) {
    g.fillStyle = veil(tones[2], 0.9);
    g.beginPath();
    g.arc(side * dice.between(0.3, 0.7), side * dice.between(0.25, 0.5), side * 0.13, 0, 2 * Math.PI);
    g.fill();
  }
}
