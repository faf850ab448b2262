// The large image: shown in the frame of the key press, replaced by a sharper version, zoomed and moved.

import { byId, fill } from "./dom.js";

const SHARPEN_AFTER = 350;
const STEP = 1.25;
const LARGEST = 12;
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
  }

  /**
   * Put a slot's image on screen. Its pixels are decoded already, so the next frame shows it.
   *
   * Until that frame, `shownAt` is infinite: a key pressed before the image was visible is not an answer to it.
   */
  show(slot) {
    clearTimeout(this.timer);
    this.slot = slot;
    this.shownAt = Infinity;
    delete this.stage.dataset.shown;
    this.reset();
    if (!slot || !slot.ready || slot.broken) {
      this.frame.replaceChildren();
      if (slot?.broken) this.seen(slot);
      return;
    }
    const smallest = Math.min(slot.image.naturalWidth, slot.image.naturalHeight);
    slot.image.className = smallest < PIXELS_BELOW ? "picture pixels" : "picture";
    this.frame.replaceChildren(slot.image);
    this.placeholder.hidden = true;
    this.seen(slot);
    this.timer = setTimeout(() => this.sharpen(), SHARPEN_AFTER);
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

  /** Fetch the picture made from the original when the screen has more pixels than the thumbnail. */
  async sharpen() {
    const slot = this.slot;
    if (!slot?.ready || slot.broken || slot.sharp) return;
    const { width, height } = this.stage.getBoundingClientRect();
    const needed = Math.min(width, height) * devicePixelRatio * this.view.scale;
    const have = Math.max(slot.image.naturalWidth, slot.image.naturalHeight);
    if (needed <= have || Math.max(slot.card.width, slot.card.height) <= have) return;
    const image = new Image(slot.card.width, slot.card.height);
    image.draggable = false;
    image.alt = "";
    image.decoding = "sync";
    image.src = slot.card.large;
    try {
      await image.decode();
    } catch {
      return;  // the thumbnail stays
    }
    slot.sharp = true;
    image.className = "picture";
    const before = slot.image;
    slot.image = image;
    if (this.slot === slot) {
      before.replaceWith(image);
      this.apply();
    }
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
    const scale = Math.min(LARGEST, Math.max(1, this.view.scale * factor));
    const ratio = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.apply();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.sharpen(), 120);
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
