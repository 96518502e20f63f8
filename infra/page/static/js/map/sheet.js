// The drawn map: a canvas that is moved and zoomed, with a dot for each account.

import { face } from "../picture.js";
import { SIDE } from "./places.js";

const PIXELS = Math.min(2, window.devicePixelRatio || 1);
const MOST_ZOOM = 2000;
/** From so few accounts in sight on they have pictures, and from fewer on names. */
const PICTURED = 70;
const NAMED = 40;
/** Lines of movement at once: more would hide the dots. */
const MOST_LINES = 3000;
const FLIGHT_MS = 350;
const REACH = 16;

export class Sheet {
  /**
   * @param {{canvas: HTMLCanvasElement, chosen: (row: number) => void, moved: () => void}} of
   *   `chosen` is told whom somebody points at, `moved` that another part is seen
   */
  constructor({ canvas, chosen, moved }) {
    Object.assign(this, { canvas, chosen, moved });
    this.context = canvas.getContext("2d");
    this.middle = { x: SIDE / 2, y: SIDE / 2 };
    this.zoom = 1;
    this.selected = this.pointed = -1;
    this.near = [];
    this.only = null;
    this.movement = false;
    this.faces = new Map();
    this.pointers = new Map();
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(canvas);
    this.#listen();
  }

  /** Let go of what it watches. */
  close() {
    this.sized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Show these accounts; `colours` has three numbers for each topic. */
  show(places, colours) {
    Object.assign(this, { places, colours });
    this.draw();
  }

  /** Screen pixels (CSS) for one step on the map. */
  get scale() {
    return (this.zoom * 0.86 * Math.min(this.canvas.clientWidth, this.canvas.clientHeight)) / SIDE;
  }

  /** Draw with the next frame. */
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.places && this.#paint());
  }

  /** Move the middle by shares of what is seen. */
  pan(x, y) {
    this.#look(this.middle.x + (x * this.canvas.clientWidth) / this.scale, this.middle.y + (y * this.canvas.clientHeight) / this.scale, this.zoom);
  }

  /** Zoom by a factor; the point of the map under (x, y) of the canvas stays where it is. */
  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const at = this.#onMap(x, y), before = this.scale;
    this.zoom = Math.min(MOST_ZOOM, Math.max(0.7, this.zoom * factor));
    const share = before / this.scale;
    this.#look(at.x + (this.middle.x - at.x) * share, at.y + (this.middle.y - at.y) * share, this.zoom);
  }

  /** Fly somewhere. */
  fly(x, y, zoom) {
    const from = { ...this.middle, zoom: this.zoom };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#look(x, y, zoom);
      return;
    }
    const begun = performance.now();
    const flight = (this.flight = () => {
      if (this.flight !== flight) return;
      const t = Math.min(1, (performance.now() - begun) / FLIGHT_MS), eased = t * (2 - t);
      this.middle = { x: from.x + (x - from.x) * eased, y: from.y + (y - from.y) * eased };
      this.zoom = from.zoom * (zoom / from.zoom) ** eased;
      this.draw();
      if (t < 1) requestAnimationFrame(flight);
      else this.moved();
    });
    flight();
  }

  /** See all of it. */
  whole() {
    this.fly(SIDE / 2, SIDE / 2, 1);
  }

  /** Row of the account nearest to the middle of what is seen. */
  nearestToMiddle() {
    return this.places.nearest(this.middle.x, this.middle.y, SIDE / this.zoom / 2);
  }

  #look(x, y, zoom) {
    this.flight = null;
    this.middle = { x: Math.min(SIDE, Math.max(0, x)), y: Math.min(SIDE, Math.max(0, y)) };
    this.zoom = zoom;
    this.draw();
    this.moved();
  }

  #onMap(x, y) {
    return { x: this.middle.x + (x - this.canvas.clientWidth / 2) / this.scale, y: this.middle.y + (y - this.canvas.clientHeight / 2) / this.scale };
  }

  #listen() {
    const { canvas, pointers } = this;
    const place = (event) => ({ x: event.offsetX, y: event.offsetY });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      this.dragged = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId), now = place(event);
      if (!before) {
        this.#pointAt(this.#under(now));
        return;
      }
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      pointers.set(event.pointerId, now);
      this.dragged += Math.hypot(now.x - before.x, now.y - before.y);
      if (other) this.zoomBy(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y)), other.x, other.y);
      else this.#look(this.middle.x - (now.x - before.x) / this.scale, this.middle.y - (now.y - before.y) / this.scale, this.zoom);
    });
    const lift = (event) => {
      if (pointers.delete(event.pointerId) && event.type === "pointerup" && this.dragged < 5) {
        const row = this.#under(place(event));
        if (row >= 0) this.chosen(row);
      }
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => this.#pointAt(-1));
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2.5, event.offsetX, event.offsetY));
  }

  #under({ x, y }) {
    if (!this.places) return -1;
    const at = this.#onMap(x, y);
    return this.places.nearest(at.x, at.y, REACH / this.scale);
  }

  #pointAt(row) {
    if (row === this.pointed) return;
    this.pointed = row;
    this.canvas.style.cursor = row >= 0 ? "pointer" : "grab";
    this.draw();
  }

  #paint() {
    const { canvas, context, places } = this;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    const wide = Math.round(width * PIXELS), high = Math.round(height * PIXELS);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const corner = this.#onMap(0, 0), end = this.#onMap(width, height);
    const seen = [...places.within(corner.x, corner.y, end.x, end.y)].filter((at) => places.x[at] >= corner.x && places.x[at] <= end.x && places.y[at] >= corner.y && places.y[at] <= end.y);
    this.seen = seen.length;
    this.ink = getComputedStyle(canvas).color;
    this.#dots(seen, wide, high);
    context.setTransform(PIXELS, 0, 0, PIXELS, 0, 0);
    if (this.movement) this.#lines(seen);
    if (seen.length <= PICTURED) this.#pictures(seen);
    for (const at of this.near) this.#ring(at, 6, 1.5);
    if (this.selected >= 0) this.#ring(this.selected, 10, 3);
    if (seen.length <= NAMED) for (const at of seen) this.#name(at);
    else for (const at of [this.pointed, this.selected]) if (at >= 0) this.#name(at);
  }

  /** Dots as pixels: a hundred thousand paths would take seconds, this takes milliseconds. */
  #dots(seen, wide, high) {
    const image = this.context.createImageData(wide, high);
    const pixels = new Uint32Array(image.data.buffer);
    const side = Math.round(PIXELS * Math.min(9, Math.max(2, 1.5 + Math.sqrt(6000 / (seen.length + 60)))));
    const scale = this.scale * PIXELS, left = wide / 2 - this.middle.x * scale, top = high / 2 - this.middle.y * scale;
    const { x, y, topic } = this.places;
    const packed = this.colours.map(([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red);
    const veiled = this.colours.map(([red, green, blue]) => (36 << 24) | (blue << 16) | (green << 8) | red);
    // Those of other topics first, so that they hide nobody.
    for (const chosen of this.only === null ? [null] : [false, true]) {
      for (const at of seen) {
        const mine = this.only === null ? null : topic[at] === this.only;
        if (mine !== chosen) continue;
        const colour = (mine === false ? veiled : packed)[topic[at]];
        const px = Math.round(x[at] * scale + left - side / 2), py = Math.round(y[at] * scale + top - side / 2);
        // Without its corners, a dot looks round.
        for (let dy = 0; dy < side; dy += 1) {
          const inset = side > 3 && (dy === 0 || dy === side - 1) ? 1 : 0;
          const row = py + dy;
          if (row < 0 || row >= high) continue;
          const from = Math.max(0, px + inset), to = Math.min(wide, px + side - inset);
          for (let column = from; column < to; column += 1) pixels[row * wide + column] = colour;
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  #at(row, back = 0) {
    const { x, y, movedX, movedY } = this.places;
    return [(x[row] - back * movedX[row] - this.middle.x) * this.scale + this.canvas.clientWidth / 2, (y[row] - back * movedY[row] - this.middle.y) * this.scale + this.canvas.clientHeight / 2];
  }

  /** From where accounts were to where they are: those that went farthest. */
  #lines(seen) {
    const { context, places } = this;
    const least = 3 / this.scale;
    let rows = seen.filter((at) => places.moved[at] > least && (this.only === null || places.topic[at] === this.only));
    if (rows.length > MOST_LINES) rows = rows.sort((a, b) => places.moved[b] - places.moved[a]).slice(0, MOST_LINES);
    context.beginPath();
    for (const at of rows) {
      context.moveTo(...this.#at(at, 1));
      context.lineTo(...this.#at(at));
    }
    context.globalAlpha = 0.45;
    context.lineWidth = 1;
    context.strokeStyle = this.ink;
    context.stroke();
    context.globalAlpha = 1;
  }

  #pictures(seen) {
    const { context, places } = this;
    const side = Math.min(56, 16 + 700 / (seen.length + 10));
    for (const at of seen) {
      const [x, y] = this.#at(at), id = places.ids[at];
      if (!this.faces.has(id)) this.faces.set(id, face(id, places.told.topics[places.topic[at]], 56));
      context.save();
      context.globalAlpha = this.only === null || places.topic[at] === this.only ? 1 : 0.25;
      context.beginPath();
      context.arc(x, y, side / 2, 0, 2 * Math.PI);
      context.clip();
      context.drawImage(this.faces.get(id), x - side / 2, y - side / 2, side, side);
      context.restore();
    }
    while (this.faces.size > 600) this.faces.delete(this.faces.keys().next().value);
  }

  #ring(row, radius, line) {
    const [x, y] = this.#at(row);
    this.context.beginPath();
    this.context.arc(x, y, this.seen <= PICTURED ? radius + 22 : radius, 0, 2 * Math.PI);
    this.context.lineWidth = line;
    this.context.strokeStyle = this.ink;
    this.context.stroke();
  }

  #name(row) {
    const { context } = this;
    const [x, y] = this.#at(row);
    const text = this.places.ids[row].slice(0, 40);
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    const below = this.seen <= PICTURED ? 40 : 22, half = context.measureText(text).width / 2 + 6;
    context.globalAlpha = 0.88;
    context.fillStyle = getComputedStyle(this.canvas).backgroundColor;
    context.fillRect(x - half, y + below - 13, 2 * half, 18);
    context.globalAlpha = 1;
    context.fillStyle = this.ink;
    context.fillText(text, x, y + below);
  }
}
