// Patterns: quarter circles, cut shapes, weave, stripes.

import { mix, veil } from "./palettes.js";

/** Quarter circles that join to paths from tile to tile. */
export function quarters(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const tiles = 3 + Math.round(style.dense * 3);
  const step = side / tiles, thick = step * (0.22 + 0.2 * style.round);
  g.fillStyle = style.slant > 0.5 ? ground : dark;
  g.fillRect(0, 0, side, side);
  for (let row = 0; row < tiles; row++) {
    for (let column = 0; column < tiles; column++) {
      g.save();
      g.beginPath();
      g.rect(column * step, row * step, step + 0.5, step + 0.5);
      g.clip();
      g.translate(column * step + step / 2, row * step + step / 2);
      g.rotate((dice.whole(0, 1) * Math.PI) / 2);
      if (dice.chance(0.16)) {
        g.fillStyle = dice.of(tones);
        g.beginPath();
        g.arc(0, 0, step * 0.32, 0, 2 * Math.PI);
        g.fill();
      }
      for (const sign of [-1, 1]) {
        for (const [width, colour] of [[thick, dice.of(tones)], [thick * 0.34, light]]) {
          g.beginPath();
          const from = sign < 0 ? 0 : Math.PI;
          g.arc((sign * step) / 2, (sign * step) / 2, step / 2, from, from + Math.PI / 2);
          g.lineWidth = width;
          g.strokeStyle = colour;
          g.lineCap = "butt";
          g.stroke();
        }
      }
      g.restore();
    }
  }
}

/** Discs, halves and wedges in a plain order. */
export function shapes(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const cells = style.dense > 0.6 ? 4 : style.dense > 0.25 ? 3 : 2;
  const step = side / cells;
  const colours = [...tones, dark, light];
  for (let row = 0; row < cells; row++) {
    for (let column = 0; column < cells; column++) {
      const back = dice.of([ground, ground, light, ...tones]);
      const front = dice.of(colours.filter((one) => one !== back));
      g.save();
      g.translate(column * step + step / 2, row * step + step / 2);
      g.fillStyle = back;
      g.fillRect(-step / 2, -step / 2, step + 0.5, step + 0.5);
      g.rotate((dice.whole(0, 3) * Math.PI) / 2);
      g.fillStyle = front;
      g.beginPath();
      const kind = dice.whole(0, 5);
      if (kind === 0) g.arc(0, 0, step * 0.4, 0, 2 * Math.PI);
      else if (kind === 1) g.arc(0, -step / 2, step / 2, 0, Math.PI);
      else if (kind === 2) {
        g.moveTo(-step / 2, -step / 2);
        g.arc(-step / 2, -step / 2, step, 0, Math.PI / 2);
      } else if (kind === 3) {
        g.moveTo(-step / 2, step / 2);
        g.lineTo(step / 2, step / 2);
        g.lineTo(style.round > 0.5 ? 0 : step / 2, -step / 2);
      } else if (kind === 4) g.rect(-step / 2, -step / 2, step / 2, step);
      else {
        g.arc(0, -step / 4, step / 4, 0, 2 * Math.PI);
        g.moveTo(step / 4, step / 4);
        g.arc(0, step / 4, step / 4, 0, 2 * Math.PI);
      }
      g.fill();
      if (kind === 0 && dice.chance(0.6)) {
        g.fillStyle = back === dark ? light : dark;
        g.beginPath();
        g.arc(0, 0, step * 0.16, 0, 2 * Math.PI);
        g.fill();
      }
      g.restore();
    }
  }
}

/** Bands that go over and under each other. */
export function weave(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  g.fillStyle = mix(dark, ground, 0.2);
  g.fillRect(0, 0, side, side);
  const bands = 4 + Math.round(style.dense * 5);
  const step = (side * 1.5) / bands, width = step * (0.6 + 0.3 * style.round);
  g.save();
  g.translate(side / 2, side / 2);
  g.rotate(style.slant > 0.5 ? Math.PI / 4 : style.slant * 0.5);
  g.translate(-side * 0.75, -side * 0.75);
  const warp = [], weft = [];
  for (let i = 0; i < bands; i++) {
    warp.push(dice.of([tones[0], tones[0], light, tones[1]]));
    weft.push(dice.of([tones[2], tones[2], ground, tones[1]]));
  }
  const strip = (x, y, w, h, colour, along) => {
    g.fillStyle = colour;
    g.fillRect(x, y, w, h);
    g.fillStyle = veil(dark, 0.13);
    if (along) g.fillRect(x + w * 0.72, y, w * 0.28, h);
    else g.fillRect(x, y + h * 0.72, w, h * 0.28);
    g.fillStyle = veil(light, 0.25);
    if (along) g.fillRect(x + w * 0.12, y, w * 0.06, h);
    else g.fillRect(x, y + h * 0.12, w, h * 0.06);
  };
  const edge = (step - width) / 2;
  for (let i = 0; i < bands; i++) strip(0, i * step + edge, side * 1.5, width, weft[i], false);
  for (let column = 0; column < bands; column++) {
    for (let row = 0; row < bands; row++) {
      if ((row + column) % 2) continue;
      g.fillStyle = veil(dark, 0.3);
      g.fillRect(column * step + edge - 4, row * step, width + 8, step);
    }
    for (let row = 0; row < bands; row++) {
      if ((row + column) % 2) continue;
      strip(column * step + edge, row * step - edge, width, step + 2 * edge, warp[column], true);
    }
  }
  g.restore();
}

/** Columns of colour that fall through one another. */
export function stripes(g, side, style, dice) {
  const { ground, tones, light, dark } = style;
  const colours = [ground, ...tones, tones[0], light, dark];
  g.save();
  g.translate(side / 2, side / 2);
  g.rotate((style.slant - 0.5) * 2.2);
  g.translate(-side * 0.75, -side * 0.75);
  const whole = side * 1.5, rows = style.scale > 0.5 ? 1 : 2;
  for (let row = 0; row < rows; row++) {
    let x = 0, last = "";
    while (x < whole) {
      const width = (side / (5 + style.dense * 14)) * dice.between(0.4, 1.8);
      const colour = dice.of(colours.filter((one) => one !== last));
      last = colour;
      const fall = g.createLinearGradient(0, (row * whole) / rows, 0, ((row + 1) * whole) / rows);
      fall.addColorStop(0, colour);
      fall.addColorStop(1, mix(colour, dice.of([dark, light, tones[1]]), dice.between(0.05, 0.55)));
      g.fillStyle = fall;
      g.fillRect(x, (row * whole) / rows, width + 1, whole / rows + 1);
      x += width;
    }
  }
  g.restore();
  if (style.round > 0.4) {
    const radius = side * dice.between(0.14, 0.3);
    g.fillStyle = dice.of([light, tones[2], dark]);
    g.beginPath();
    g.arc(side * dice.between(0.3, 0.7), side * dice.between(0.3, 0.7), radius, 0, 2 * Math.PI);
    g.fill();
  }
}
