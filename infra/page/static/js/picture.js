// The picture of a media or an account: the one it has, else one that is painted from its ids.

import { paint } from "./art/art.js";
import { h } from "./dom.js";

const PIXELS = Math.min(2, window.devicePixelRatio || 1);
/** A canvas is painted again once it is shown this much larger than it was painted for. */
const STRETCH = 1.3;

/** Only what comes over HTTP is shown: an address is a stranger's text. */
export function safeAddress(text) {
  if (!text) return null;
  try {
    const address = new URL(text, location.href);
    return address.protocol === "https:" || address.protocol === "http:" ? address.href : null;
  } catch {
    return null;
  }
}

/**
 * A picture; who shows it says to people what it is, so it is hidden from readers of the screen.
 *
 * @param {{media: string, account: string, topic: string, address?: string|null}} of
 * @param {{side: number, className?: string}} shown side in CSS pixels; 0: as large as it is laid out, see `sharpen`
 */
export function picture(of, { side, className = "picture" }) {
  const address = safeAddress(of.address);
  if (address) {
    const image = h("img", { class: className, src: address, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
    // A dead address is no reason for a hole in the grid.
    image.addEventListener("error", () => {
      const painted = picture({ ...of, address: null }, { side: side || image.clientWidth || 200, className });
      image.replaceWith(painted);
    });
    return image;
  }
  const canvas = h("canvas", { class: className, "aria-hidden": "true" });
  canvas.art = of;
  if (side) sharpen(canvas, side);
  return canvas;
}

/** Paint a canvas if it was not painted yet, or for a much smaller place. */
export function sharpen(canvas, side) {
  const wanted = Math.min(900, Math.round(side * PIXELS));
  if (!canvas.art || !wanted || (canvas.painted && wanted <= canvas.painted * STRETCH)) return;
  canvas.width = canvas.height = canvas.painted = wanted;
  paint(canvas, canvas.art);
}

/** The round picture of an account: what its media look like. */
export function face(account, topic, side = 34) {
  return picture({ media: `face of ${account}`, account, topic }, { side, className: "face" });
}
