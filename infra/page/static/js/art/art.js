// Pictures for media that have none. A topic has a visual language (a family of pictures and its
// colours), an account a variation of it (palette and rhythm), a media one picture in that: so who
// looks sees which accounts are alike. Everything follows from the ids alone.

import * as land from "./land.js";
import * as nature from "./nature.js";
import * as pattern from "./pattern.js";
import * as sign from "./sign.js";
import { palette } from "./palettes.js";
import { Dice, hash } from "./random.js";

/** A way to paint: (canvas context, side, style, dice of the media). */
const FAMILIES = [
  land.waves, pattern.quarters, nature.petals, sign.halftone,
  land.ridges, pattern.shapes, nature.orbits, sign.letters,
  land.contours, pattern.weave, nature.leaves, sign.blocks,
  land.streams, pattern.stripes, nature.cutouts, sign.facets,
];

/** How many families there are. */
export const FAMILY_COUNT = FAMILIES.length;

// Spreads the topics of the bundled events well; any number would do.
const SALT = 11;

/** What a topic looks like: its family and its palette. */
export function languageOf(topic) {
  const number = /^\d+$/.test(topic) ? Number(topic) * 7 + SALT : hash(topic);
  return { family: number % FAMILIES.length, colours: hash(`colours ${topic}`) };
}

/** The colours of an account. */
export function coloursOf(account, topic) {
  return palette(languageOf(topic).colours, new Dice(`palette ${account}`));
}

/**
 * Paint the picture of a media on a canvas; the canvas keeps its size.
 *
 * @param {HTMLCanvasElement} canvas square
 * @param {{media: string, account: string, topic: string}} of ids; topic may be ""
 */
export function paint(canvas, { media, account, topic }) {
  const { family } = languageOf(topic);
  const own = new Dice(`rhythm ${account}`);
  const style = {
    ...coloursOf(account, topic),
    // In [0, 1]: how dense, how slanted, how large, how round an account paints.
    dense: own.unit(),
    slant: own.unit(),
    scale: own.unit(),
    round: own.unit(),
  };
  const context = canvas.getContext("2d");
  const side = 400;
  context.setTransform(canvas.width / side, 0, 0, canvas.height / side, 0, 0);
  context.fillStyle = style.ground;
  context.fillRect(0, 0, side, side);
  context.lineCap = context.lineJoin = "round";
  FAMILIES[family](context, side, style, new Dice(`picture ${media}`));
}
