// The answers this annotator has given: what undo takes back, and the strip of small images of the newest ones.

import { get } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { moveByArrows, oneTabStop } from "./roving.js";

const PAGE = 50;
const LOW = 12;

/** The steps that can be undone: those of this tab, and before them the server's. */
export class AnswerHistory {
  /** @param settled resolves when no answer of this browser waits to be saved. */
  constructor(state, settled) {
    this.state = state;
    this.settled = settled;
    this.forget();
  }

  forget() {
    this.steps = [];      // newest last; a step is all answers of one key: one image, or a selection of the grid
    this.oldest = null;   // the server's number of the oldest answer that was read
    this.complete = false;
    this.reading = null;
    this.known = new Set();
  }

  /** Remember one key's answers: [{card, answer}]. */
  add(step) {
    this.steps.push(step);
  }

  /** Record the server's numbers of answers that were given in this tab. */
  acknowledge(receipts) {
    for (const receipt of receipts) this.known.add(receipt.seq);
  }

  /** Remove answers that the server refused. */
  drop(keys) {
    this.steps = this.steps.map((step) => step.filter(({ answer }) => !keys.has(answer.key))).filter((step) => step.length);
  }

  /** Remove and give the newest step; null when nothing is left to undo. */
  async take() {
    if (!this.steps.length) await this.readMore();
    const step = this.steps.pop() ?? null;
    if (this.steps.length < LOW) this.readMore();
    return step;
  }

  /** The annotator's current answer to an image, as far as it was read; null otherwise. */
  answerOf(image) {
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
    // Otherwise unsaved answers would be missing, and undone ones still there.
    await this.settled();
    const query = { annotator: this.state.annotator, count: PAGE, undoable: "true" };
    if (this.oldest !== null) query.before = this.oldest;
    const { annotator } = this.state;
    const { answers } = await get("/api/history", query);
    if (annotator !== this.state.annotator) return;
    this.complete = answers.length < PAGE;
    this.oldest = answers.at(-1)?.answer.seq ?? this.oldest;
    const fresh = answers.filter((each) => !this.known.has(each.answer.seq));
    this.steps.unshift(...fresh.map(({ card, answer }) => [{ card, answer }]).reverse());
  }
}

const LENGTH = 12;

const identity = (answer) => answer.key ?? answer.seq;

/** The strip of the newest answers; a press shows an image again. */
export class RecentAnswers {
  constructor(state, history, open) {
    this.state = state;
    this.history = history;
    this.open = open;
    this.list = byId("trail");
    this.known = new Map();
    moveByArrows(this.list);
  }

  draw() {
    const items = this.history.newest(LENGTH);
    const drawn = items.map((item) => this.item(item));
    this.known = new Map(items.map((item, index) => [identity(item.answer), drawn[index]]));
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    fill(this.list, ...drawn);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    oneTabStop(this.list);
  }

  item({ card, answer }) {
    const words = this.state.answerText(answer);
    const before = this.known.get(identity(answer));
    if (before?.dataset.words === words) return before;
    const image = make("img", { src: card.thumbnail, alt: "", width: 56, height: 56 });
    const label = make("span", { class: "trail-label" }, words);
    const press = make(
      "button",
      {
        type: "button", class: "trail-item", title: card.name, "aria-label": `${card.name}: ${words}. Show it again`,
        on: { click: (event) => this.open(card, answer, event) },
      },
      image, label,
    );
    if (answer.action === "class") label.dataset.colour = this.state.colour(answer.class_id);
    const item = make("li", {}, press);
    item.dataset.words = words;
    return item;
  }
}
