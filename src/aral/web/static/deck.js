// The cards of this tab in the order they are shown: answered ones behind the cursor, loaded ones ahead of it.

import { get } from "./api.js";

const AHEAD = 12;
const LOW = 9;
const BEHIND = 60;
const KEPT = 2;  // cards after the current one that stay when there is a newer query
const LOADING = 4;
const SIZES = ["thumbnail", "stage", "full"];

/**
 * One image of the deck.
 *
 * `thumbnail` is an element whose pixels are decoded once `ready` is true; `broken` says that the server has no
 * picture of it. `sharper` is a larger picture of the same image, of the size `size`, or null. `answer` is the
 * annotator's answer, or null.
 */
class Slot {
  constructor(card) {
    this.card = card;
    this.thumbnail = null;
    this.sharper = null;
    this.size = "thumbnail";
    this.loading = null;  // the larger picture that is being loaded: {size, image}
    this.missing = new Set();  // sizes that the server could not make
    this.ready = false;
    this.broken = false;
    this.failures = 0;
    this.answer = null;
  }

  /** The best picture that is decoded. */
  get image() {
    return this.sharper ?? this.thumbnail;
  }

  /** Fetch and decode; resolves when the image can be painted at once, or is known to be missing. */
  async load() {
    if (this.thumbnail) return;
    this.thumbnail = this.picture("thumbnail");
    try {
      await this.thumbnail.decode();
    } catch (error) {
      this.thumbnail = null;
      const answer = await fetch(this.card.thumbnail);
      if (answer.status < 400 || answer.status >= 500 || answer.status === 401) throw error;
      this.broken = true;
    }
    this.ready = true;
  }

  /** Fetch and decode a larger picture, `stage` or `full`; resolves to whether the slot has it then. */
  sharpen(size) {
    if (SIZES.indexOf(size) <= SIZES.indexOf(this.size)) return Promise.resolve(true);
    if (this.missing.has(size)) return Promise.resolve(false);
    if (this.loading && SIZES.indexOf(size) <= SIZES.indexOf(this.loading.size)) return this.loading.done;
    this.cancel();
    const loading = { size, image: this.picture(size) };
    this.loading = loading;
    loading.done = loading.image.decode().then(() => true, () => false).then((decoded) => {
      if (this.loading !== loading) return false;  // cancelled
      this.loading = null;
      if (decoded) [this.sharper, this.size] = [loading.image, size];
      else this.missing.add(size);
      return decoded;
    });
    return loading.done;
  }

  picture(size) {
    const image = new Image(this.card.width || undefined, this.card.height || undefined);
    image.decoding = "sync";
    image.draggable = false;
    image.alt = "";
    image.src = this.card[size];
    return image;
  }

  /** Stop the download of a larger picture that is not needed any more. */
  cancel() {
    const { loading } = this;
    this.loading = null;
    if (loading) loading.image.src = "";
  }

  /** Forget the larger picture: a decoded one may need 100 MB. */
  blur() {
    this.cancel();
    this.sharper = null;
    this.size = "thumbnail";
  }
}

/** An image of another view as a card without a suggestion. */
export function asCard({ image_id, name, width, height, thumbnail, stage, full }) {
  return { image_id, name, width, height, thumbnail, stage, full, purpose: "browsing", reason: "", round: null, suggestion: null, hidden_suggestion: false };
}

export class Deck {
  /**
   * @param tab resolves to the name of this tab.
   * @param annotator a function that gives the annotator's name.
   * @param pending a function that gives the ids of images whose answers are not saved yet.
   * @param changed called when the current slot became ready, or cards came or ran out.
   */
  constructor(tab, annotator, pending, changed) {
    this.annotator = annotator;
    this.pending = pending;
    this.changed = changed;
    this.slots = [];
    this.cursor = 0;
    this.empty = false;
    this.error = null;
    this.filling = null;
    this.loading = 0;
    this.fresh = false;  // the next request gives back the cards that were dropped
    this.request = 0;  // the cards of an earlier request are not taken once `dropUnanswered` was called
    this.tab = tab;
  }

  get current() {
    return this.slots[this.cursor] ?? null;
  }

  /** The unanswered slot that is shown after the current one, or null. */
  get following() {
    return this.slots.find((slot, index) => index > this.cursor && !slot.answer) ?? null;
  }

  /** Forget the larger pictures that are not shown soon: all full ones, and the others far from the cursor. */
  blurOthers() {
    const { current } = this;
    const near = new Set([this.slots[this.cursor - 1], this.following]);
    for (const slot of this.slots) {
      if (slot !== current && (slot.size === "full" || !near.has(slot))) slot.blur();
    }
  }

  find(id) {
    return this.slots.find((slot) => slot.card.image_id === id) ?? null;
  }

  /** Go to the first unanswered slot, the one at the cursor or behind it before others. */
  advance() {
    const open = this.slots.findIndex((slot, index) => index >= this.cursor && !slot.answer);
    const first = open >= 0 ? open : this.slots.findIndex((slot) => !slot.answer);
    this.cursor = first >= 0 ? first : this.slots.length;
  }

  /** Move by one in the order of showing, behind the last card only if there are no more; false at an end. */
  step(by) {
    const target = this.cursor + by;
    if (target < 0 || target > this.slots.length - (this.empty ? 0 : 1)) return false;
    this.cursor = target;
    return true;
  }

  /** Make a card the current one: the slot that holds it, or a new one at the cursor. */
  bring(card) {
    const held = this.slots.findIndex((slot) => slot.card.image_id === card.image_id);
    if (held >= 0) this.cursor = held;
    else this.slots.splice(this.cursor, 0, new Slot(card));
    this.loadAhead();
    return this.current;
  }

  /** Put answered cards before all others; the cursor stays on its slot. */
  prepend(cards, answers) {
    const fresh = cards.filter((card) => !this.find(card.image_id));
    this.slots.unshift(...fresh.map((card) => {
      const slot = new Slot(card);
      slot.answer = answers.get(card.image_id);
      return slot;
    }));
    this.cursor += fresh.length;
    return fresh.length;
  }

  ahead() {
    return this.slots.reduce((count, slot, index) => count + (index > this.cursor && !slot.answer ? 1 : 0), 0);
  }

  /** Remove all cards, as when the annotator changes. */
  clear() {
    this.slots = [];
    this.cursor = 0;
    this.dropUnanswered();
  }

  /** Remove the cards without an answer and ask the server anew, as when the budget was spent. */
  dropUnanswered() {
    const { current } = this;
    this.slots = this.slots.filter((slot) => slot.answer);
    this.cursor = current?.answer ? this.slots.indexOf(current) : this.slots.length;
    this.request += 1;
    this.filling = null;
    this.empty = false;
  }

  /** There is a newer query: keep the cards that are shown next, give the others back and ask anew. */
  renew() {
    const { current } = this;
    let kept = 0;
    const before = this.slots.length;
    this.slots = this.slots.filter((slot, index) => slot.answer || index <= this.cursor || (kept += 1) <= KEPT);
    if (this.slots.length === before) return;
    this.cursor = current ? this.slots.indexOf(current) : this.slots.length;
    this.request += 1;
    this.filling = null;
    this.fresh = true;
    this.refill();
  }

  /** Ask for cards when few are left, and decode the nearest ones. Safe to call at any time. */
  refill() {
    this.loadAhead();
    if (this.filling || this.ahead() >= LOW) return this.filling;
    const filling = this.fetchCards().finally(() => { if (this.filling === filling) this.filling = null; });
    this.filling = filling;
    return filling;
  }

  async fetchCards() {
    const busy = () => [...this.pending(), ...this.unanswered()];
    const { request } = this;
    try {
      const annotator = this.annotator();
      // The server knows each tab by name: two tabs of one annotator never show the same image.
      const query = { annotator, count: AHEAD - this.ahead(), holding: busy().join(","), tab: await this.tab };
      const { fresh: renewed } = this;
      if (renewed) query.fresh = true;
      const { cards } = await get("/api/next", query);
      if (renewed && request === this.request) this.fresh = false;
      if (annotator !== this.annotator() || request !== this.request) return;
      const taken = new Set(busy());
      const fresh = cards.filter((card) => !taken.has(card.image_id));
      this.forget(new Set(fresh.map((card) => card.image_id)));
      this.slots.push(...fresh.map((card) => new Slot(card)));
      this.empty = !fresh.length;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.trim();
    this.loadAhead();
    this.changed();
  }

  /** Ids of the images that wait for an answer. */
  unanswered() {
    return this.slots.filter((slot) => !slot.answer).map((slot) => slot.card.image_id);
  }

  loadAhead() {
    for (let index = this.cursor; index < this.slots.length && this.loading < LOADING; index += 1) {
      const slot = this.slots[index];
      if (!slot.thumbnail && !slot.ready) this.loadSlot(slot);
    }
  }

  async loadSlot(slot) {
    this.loading += 1;
    try {
      await slot.load();
    } catch {
      slot.failures += 1;
      setTimeout(() => this.loadAhead(), Math.min(5000, 250 * 2 ** slot.failures));
    }
    this.loading -= 1;
    if (slot.ready) this.loadAhead();
    if (slot === this.current || slot === this.following) this.changed();
  }

  /** Remove answered slots whose images are shown again, as skipped ones are in the end. */
  forget(ids) {
    const { current } = this;
    this.slots = this.slots.filter((slot) => slot === current || !ids.has(slot.card.image_id));
    this.cursor = current ? this.slots.indexOf(current) : this.slots.length;
  }

  trim() {
    const extra = this.cursor - BEHIND;
    if (extra <= 0) return;
    this.slots.splice(0, extra);
    this.cursor -= extra;
  }
}
