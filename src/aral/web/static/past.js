// The answers this person can take back: of this tab, and before them the server's, as far back as it knows.

import { get } from "./api.js";

const PAGE = 50;
const LOW = 12;

export class Past {
  /** @param settled resolves when no answer of this browser waits to be saved. */
  constructor(state, settled) {
    this.state = state;
    this.settled = settled;
    this.forget();
  }

  forget() {
    this.steps = [];      // newest last; a step is what one key did: one answer, or a grid's
    this.oldest = null;   // the server's number of the oldest answer that was read
    this.complete = false;
    this.reading = null;
    this.known = new Set();
  }

  /** Remember one key's answers: [{card, answer}]. */
  add(step) {
    this.steps.push(step);
  }

  /** Note the server's numbers of answers that were given here. */
  acknowledge(receipts) {
    for (const receipt of receipts) this.known.add(receipt.seq);
  }

  /** Remove and give the newest step; null when nothing is left to take back. */
  async take() {
    if (!this.steps.length) await this.readMore();
    const step = this.steps.pop() ?? null;
    if (this.steps.length < LOW) this.readMore();
    return step;
  }

  /** What this person said of an image before, as far as it was read and not taken back; null otherwise. */
  standing(image) {
    return this.newest(Infinity).find(({ card }) => card.image_id === image)?.answer ?? null;
  }

  /** Answers, newest first, each image once. */
  newest(count) {
    const found = new Map();
    for (let index = this.steps.length - 1; index >= 0 && found.size < count; index -= 1) {
      for (const item of this.steps[index].toReversed()) {
        if (!found.has(item.card.image_id)) found.set(item.card.image_id, item);
      }
    }
    return [...found.values()].slice(0, count);
  }

  /** Read older answers from the server, once at a time. */
  readMore() {
    if (this.complete) return Promise.resolve();
    this.reading ??= this.read().finally(() => { this.reading = null; });
    return this.reading;
  }

  async read() {
    // Without this, answers that wait to be saved would be missing, and taken-back ones still there.
    await this.settled();
    const query = { annotator: this.state.person, count: PAGE, undoable: "true" };
    if (this.oldest !== null) query.before = this.oldest;
    const person = this.state.person;
    const { answers } = await get("/api/history", query);
    if (person !== this.state.person) return;
    this.complete = answers.length < PAGE;
    this.oldest = answers.at(-1)?.answer.seq ?? this.oldest;
    const fresh = answers.filter((each) => !this.known.has(each.answer.seq));
    this.steps.unshift(...fresh.map(({ card, answer }) => [{ card, answer }]).reverse());
  }
}
