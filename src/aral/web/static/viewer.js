// The large image: shown in the frame of the key press, replaced by larger pictures as the screen and the zoom need
// them, zoomed and moved.

import { byId, fill } from "./dom.js";

const STAGE_SIDE = 1600;  // longest side of the server's stage picture
const ZOOM_PAUSE = 120;
const BROWSE_PAUSE = 80;  // images that are answered faster than this are shown as thumbnails, and nothing more is loaded
const STEP = 1.25;
const LARGEST = 12;
const SOFT = 1.25;  // so much larger than its pixels a stage picture may be shown while nothing is zoomed
const LARGEST_PIXEL = 4;  // the zoom goes on until a pixel of the file has as many pixels of the screen
const PIXELS_BELOW = 160;

export class Viewer {
  constructor() {
    this.stage = byId("stage");
    this.frame = byId("frame");
    this.placeholder = byId("placeholder");
    this.slot = null;
    this.shownAt = Infinity;
    this.timer = 0;
    this.view = { scale: 1, x: 0, y: 0 };
    this.drag = null;
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) this.stage.addEventListener(type, () => { this.drag = null; });
    this.stage.addEventListener("dblclick", () => this.toggle());
    addEventListener("resize", () => this.later());
  }

  /**
   * Put a slot's image on screen. Its pixels are decoded already, so the next frame shows it.
   *
   * Until that frame, `shownAt` is infinite: a key pressed before the image was visible is not an answer to it.
   */
  show(slot) {
    clearTimeout(this.timer);
    if (this.slot !== slot) this.slot?.cancel();
    this.slot = slot;
    this.shownAt = Infinity;
    delete this.stage.dataset.shown;
    this.reset();
    if (!slot || !slot.ready || slot.broken) {
      this.frame.replaceChildren();
      delete this.stage.dataset.picture;
      if (slot?.broken) this.seen(slot);
      return;
    }
    this.paint(slot);
    this.placeholder.hidden = true;
    this.seen(slot);
  }

  /** Show the best picture of the current slot. */
  paint(slot) {
    slot.image.className = Math.min(slot.card.width, slot.card.height) < PIXELS_BELOW ? "picture pixels" : "picture";
    slot.image.alt = `Image ${slot.card.name}`;
    this.stage.dataset.picture = slot.size;
    this.frame.replaceChildren(slot.image);
  }

  seen(slot) {
    requestAnimationFrame(() => {
      if (this.slot !== slot) return;
      this.shownAt = performance.now();
      this.stage.dataset.shown = slot.card.image_id;
    });
  }

  /** Show a sentence instead of an image. */
  showMessage(text) {
    this.placeholder.hidden = false;
    fill(this.placeholder, text);
  }

  /** The longer side of a slot's image on screen in device pixels, at a zoom. */
  sideOnScreen({ width, height }, scale = 1) {
    const fit = Math.min(this.frame.clientWidth / width, this.frame.clientHeight / height);
    return Math.max(width, height) * fit * scale * devicePixelRatio;
  }

  /** The smallest picture that has a pixel for each pixel of the screen; null if a slot has it, or there is none. */
  sizeNeeded(slot, scale) {
    const { thumbnail, card } = slot;
    if (!thumbnail || !card.width || !card.height) return null;
    const side = this.sideOnScreen(card, scale);
    const [small, whole] = [thumbnail.naturalWidth, card.width].map((width) => width * Math.max(1, card.height / card.width));
    if (side <= small || whole <= small + 1) return null;
    return side <= STAGE_SIDE * (scale > 1 ? 1 : SOFT) || whole <= STAGE_SIDE ? "stage" : "full";
  }

  /** Load the picture that the screen and the zoom need; resolves once it is shown, or not needed any more. */
  async sharpen() {
    const { slot } = this;
    if (!slot?.ready || slot.broken) return;
    if (slot.image === slot.thumbnail && !slot.loading) await new Promise((done) => setTimeout(done, BROWSE_PAUSE));
    // The stage picture first: it is there in a fraction of the time of a full one.
    for (const size of this.sizeNeeded(slot, this.view.scale) === "full" ? ["stage", "full"] : ["stage"]) {
      if (this.slot !== slot || !this.sizeNeeded(slot, this.view.scale)) return;
      if (await slot.sharpen(size) && this.slot === slot && slot.image !== this.frame.firstChild) this.paint(slot);
    }
  }

  /** Load the picture of the image that will be shown next. */
  prepare(slot) {
    if (slot?.ready && !slot.broken && this.sizeNeeded(slot, 1)) slot.sharpen("stage");
  }

  /** Sharpen once the zoom or the window has not changed for a moment. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.sharpen(), ZOOM_PAUSE);
  }

  get zoomed() {
    return this.view.scale > 1;
  }

  reset() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.drag = null;
    this.apply();
  }

  /** Between the whole image and three times its size. */
  toggle() {
    if (this.zoomed) this.reset();
    else this.zoom(3);
  }

  /** Multiply the size; the point at (x, y), measured from the middle of the stage, stays where it is. */
  zoom(factor, x = 0, y = 0) {
    const { card } = this.slot ?? {};
    const whole = card?.width ? (LARGEST_PIXEL * Math.max(card.width, card.height)) / this.sideOnScreen(card) : 0;
    const scale = Math.min(Math.max(LARGEST, whole), Math.max(1, this.view.scale * factor));
    const ratio = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.apply();
    this.later();
  }

  /** Move by screen pixels, never so far that the image leaves the stage. */
  pan(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.apply();
  }

  apply() {
    const { scale } = this.view;
    const spare = [this.stage.clientWidth, this.stage.clientHeight].map((side) => (side * (scale - 1)) / 2);
    const x = scale === 1 ? 0 : Math.min(spare[0], Math.max(-spare[0], this.view.x));
    const y = scale === 1 ? 0 : Math.min(spare[1], Math.max(-spare[1], this.view.y));
    Object.assign(this.view, { x, y });
    this.frame.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    this.stage.classList.toggle("zoomed", scale > 1);
  }

  wheel(event) {
    if (!this.slot?.ready || event.ctrlKey || (event.deltaY > 0 && !this.zoomed)) return;
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, x, y);
  }

  grab(event) {
    if (!this.zoomed || event.button !== 0) return;
    this.drag = { x: event.clientX, y: event.clientY };
    this.stage.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    this.pan(event.clientX - this.drag.x, event.clientY - this.drag.y);
    this.drag = { x: event.clientX, y: event.clientY };
  }
}
