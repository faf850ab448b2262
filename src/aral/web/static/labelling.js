// The labelling view: one key stores the answer and shows the next image in the same frame.

import { newKey } from "./api.js";
import { afterPaint, byId, counted, announce, tell, warn } from "./dom.js";
import { Deck } from "./deck.js";
import { FinishCard } from "./finish.js";
import { AnswerHistory, RecentAnswers } from "./history.js";
import { Viewer } from "./viewer.js";

const ANSWERS = new Set(["class", "skip", "unsure", "bad image", "none of these"]);
const PAN = 60;

export class Labelling {
  constructor(state, outbox, panel) {
    this.state = state;
    this.outbox = outbox;
    this.panel = panel;
    this.viewer = new Viewer();
    this.history = new AnswerHistory(state, () => outbox.settled());
    this.deck = new Deck(state.tab, () => state.annotator, () => outbox.images(), () => this.changed());
    this.recent = new RecentAnswers(state, this.history, (card, answer) => this.open(card, answer));
    this.finish = new FinishCard(state, () => {
      this.browse(-1);
      this.viewer.stage.focus({ preventScroll: true });
    });
    this.status = null;  // the server's newest
    this.spent = this.isSpent();
    this.undoing = Promise.resolve();
    this.hidden = sessionStorage.getItem("aral:hidden") === "yes";
    state.addEventListener("change", () => { this.describe(); this.recent.draw(); this.countsChanged(); });
    state.addEventListener("annotator", () => this.restart());
    this.restart();
  }

  /** Start again for another annotator: their cards, their answers. */
  restart() {
    this.deck.clear();
    this.history.forget();
    this.present();
    this.deck.refill();
    this.history.readMore().then(() => this.recent.draw(), () => {});
  }

  /** Whether as many labels are saved as the budget has. */
  isSpent() {
    const { budget } = this.state.settings;
    return budget !== null && this.state.project.counts.labelled >= budget;
  }

  /** Whether the answers that are not saved yet may spend the budget: until that is known, no further image is shown. */
  mayBeSpent() {
    const { budget } = this.state.settings;
    if (budget === null || this.spent) return false;
    const effects = [...this.outbox.newest().values()].map(({ action }) => ({ class: 1, undo: -1 })[action] ?? 0);
    const added = effects.reduce((sum, each) => sum + each, 0);
    return added > 0 && this.state.project.counts.labelled + added >= budget;
  }

  statusChanged(status) {
    const before = this.status;
    this.status = status;
    // Cards that were loaded before the first model have no suggestion, or an older zero-shot one.
    const renewed = before && before.suggestions !== status.suggestions && !(before.suggestions > 0);
    if (before && (renewed || status.query !== before.query)) this.deck.renew();
    this.countsChanged();
  }

  /** The number of labels or the budget may have changed: once it is spent, the cards that were loaded are not shown. */
  countsChanged() {
    const before = this.spent;
    this.spent = this.isSpent();
    if (this.spent && !before) this.deck.dropUnanswered();
    // An image that stays is not shown again: a key would be too early for its next frame.
    if (!this.deck.current || this.viewer.slot !== this.deck.current) this.present();
    this.deck.refill();
  }

  /** Called when the view is opened. */
  enter() {
    this.present();
    this.deck.refill();
  }

  /** Take over answers of another view: their images are not shown again here. */
  markAnswered(step) {
    for (const { card, answer } of step) {
      const slot = this.deck.find(card.image_id);
      if (slot) slot.answer = answer;
    }
    if (this.deck.current?.answer) this.deck.advance();
  }

  /** Keys of this view alone: zoom by + and −, arrows while zoomed, Escape. */
  handleKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const { viewer } = this;
    if (event.key === "+" || event.key === "=") viewer.zoom(1.5);
    else if (event.key === "-") viewer.zoom(1 / 1.5);
    else if (viewer.zoomed && event.key === "Escape") viewer.reset();
    else if (viewer.zoomed && event.key === "ArrowUp") viewer.pan(0, PAN);
    else if (viewer.zoomed && event.key === "ArrowDown") viewer.pan(0, -PAN);
    else if (viewer.zoomed && event.key === "ArrowLeft") viewer.pan(PAN, 0);
    else if (viewer.zoomed && event.key === "ArrowRight") viewer.pan(-PAN, 0);
    else return false;
    return true;
  }

  /** The deck's current image arrived, or cards came or ran out. */
  changed() {
    const slot = this.deck.current;
    if (!slot || slot !== this.viewer.slot || (slot.ready && this.viewer.shownAt === Infinity)) this.present();
    else this.sharpen();
  }

  /** Carry out a command; `at` is the time of the key or click. */
  act(command, at) {
    const { action } = command;
    if (ANSWERS.has(action)) this.answer(action, command.class_id ?? null, at);
    else if (action === "accept") this.accept(at);
    else if (action === "undo") this.undo();
    else if (action === "hide") this.hide();
    else if (action === "zoom") this.viewer.toggle();
    else if (action === "previous" || action === "next") this.browse(action === "next" ? 1 : -1);
    else return false;
    return true;
  }

  /** Save an answer about the image that was on screen when the key was pressed, and show the next. */
  answer(action, classId, at, accepted = false) {
    const slot = this.deck.current;
    if (!slot || at < this.viewer.shownAt) {
      tell(slot ? "Too early: the image was not on screen yet." : `There is no image to answer.${this.spent ? " The budget is spent." : ""}`);
      return;
    }
    if (slot.broken && action === "class") {
      warn("This image cannot be shown: answer bad image, or skip it.");
      return;
    }
    const event = {
      key: newKey(), image_id: slot.card.image_id, annotator: this.state.annotator, action, class_id: classId,
      suggestion_shown: this.suggestion(slot) !== null, seconds: (at - this.viewer.shownAt) / 1000,
      browsed: slot.card.purpose === "browsing" || slot.card.purpose === "history", accepted,
    };
    this.outbox.add([event]);
    slot.answer = event;
    this.deck.advance();
    this.present();
    this.remember([{ card: slot.card, answer: event }]);
  }

  /** What follows an answer, once the next image is on screen. */
  remember(step) {
    this.history.add(step);
    afterPaint(() => {
      this.recent.draw();
      const words = this.state.answerText(step[0].answer);
      announce(`${step.length === 1 ? step[0].card.name : counted(step.length, "image")}: ${words}`);
      this.deck.refill();
    });
  }

  accept(at) {
    const suggestion = this.deck.current && this.suggestion(this.deck.current);
    if (suggestion) this.answer("class", suggestion.class_id, at, true);
    else tell("There is no suggestion to accept.");
  }

  /** Undo the last step and show its image again; resolves to the step. */
  undo() {
    this.undoing = this.undoing.then(() => this.undoStep()).catch((error) => {
      warn(error.message);
      return [];
    });
    return this.undoing;
  }

  async undoStep() {
    const step = await this.history.take();
    if (!step) {
      tell("There is nothing to undo.");
      return [];
    }
    this.outbox.add(step.toReversed().map(({ card }) => ({
      key: newKey(), image_id: card.image_id, annotator: this.state.annotator, action: "undo", class_id: null,
      suggestion_shown: false, seconds: null,
    })));
    // The answer before a correction counts again; the server's receipt names it if this tab does not know it.
    for (const { card } of step.toReversed()) this.deck.bring(card).answer = this.history.answerOf(card.image_id);
    this.present();
    this.recent.draw();
    const answers = new Set(step.map(({ answer }) => this.state.answerText(answer)));
    const words = answers.size === 1 ? [...answers][0] : counted(step.length, "answer");
    tell(`Undone: ${words} for ${step.length === 1 ? `image ${step[0].card.name}` : counted(step.length, "image")}`);
    return step;
  }

  /** The server has saved events: after an undo its receipt names the answer that counts now. */
  acknowledge(events, receipts) {
    this.history.acknowledge(receipts);
    const undone = new Set(events.filter(({ action }) => action === "undo").map(({ key }) => key));
    const waiting = new Set(this.outbox.images());
    for (const { key, image_id: image, current } of receipts) {
      const slot = undone.has(key) && !waiting.has(image) ? this.deck.find(image) : null;
      if (!slot || slot.answer || !current) continue;
      slot.answer = { action: current[0], class_id: current[1] };
      this.describe();
    }
  }

  /** Show an image that was answered before; a key answers it again. */
  open(card, answer) {
    const slot = this.deck.bring(card);
    slot.answer ??= answer;
    this.present();
    this.viewer.stage.focus({ preventScroll: true });
  }

  browse(by) {
    if (!this.deck.step(by) && (by > 0 || !this.older())) {
      tell(by > 0 ? "This is the last image that is loaded." : "This is the first image.");
      return;
    }
    this.deck.loadAhead();
    this.present();
  }

  /** Put older answers before the deck and go to the newest of them. */
  older() {
    const items = this.history.newest(200).filter(({ card }) => !this.deck.find(card.image_id)).slice(0, 20).reverse();
    if (!items.length) return false;
    this.deck.prepend(items.map(({ card }) => card), new Map(items.map(({ card, answer }) => [card.image_id, answer])));
    this.history.readMore().catch(() => {});
    return this.deck.step(-1);
  }

  hide() {
    this.hidden = !this.hidden;
    sessionStorage.setItem("aral:hidden", this.hidden ? "yes" : "no");
    tell(this.hidden ? "Suggestions are hidden." : "Suggestions are shown.");
    this.describe();
  }

  /** The suggestion that is shown for a slot, or null. */
  suggestion(slot) {
    const { suggestion, hidden_suggestion: withheld } = slot.card;
    const shown = suggestion && !withheld && !this.hidden && this.state.settings.suggestions_on;
    return shown && this.state.classById.has(suggestion.class_id) ? suggestion : null;
  }

  /** Put the deck's current image on screen; without one, or when there may be none, say why. */
  present() {
    const current = this.deck.current;
    const slot = current && !current.answer && this.mayBeSpent() ? null : current;
    this.viewer.show(slot);
    const ended = this.status && !current && this.deck.empty && !this.deck.error
      && (this.spent ? this.status.finish !== null : this.status.pace.left === 0);
    if (ended) this.finish.show(this.status);
    else this.finish.hide();
    if (!slot) this.viewer.showMessage(this.emptyText(current));
    else if (!slot.ready) this.viewer.showMessage("Loading …");
    else if (slot.broken) this.viewer.showMessage("This image cannot be shown any more.");
    this.describe();
    this.deck.loadAhead();
    this.sharpen();
  }

  emptyText(current) {
    const error = this.outbox.error ?? this.deck.error;
    if (error) return `Waiting for the server. ${error.message}`;
    if (current) return "Saving …";
    if (!this.deck.empty) return "Loading …";
    return this.spent ? "The budget is spent." : "No image is left for you at the moment.";
  }

  /** Load the pictures that the screen needs: of the image on it, then of the next. */
  sharpen() {
    const { current, following } = this.deck;
    this.deck.blurOthers();
    this.viewer.sharpen().then(() => { if (current === this.deck.current && following) this.viewer.prepare(following); });
  }

  /** The texts around the image. */
  describe() {
    const { slot } = this.viewer;
    const chip = byId("chip");
    chip.hidden = !slot?.answer;
    if (slot?.answer) {
      chip.textContent = `Answer: ${this.state.answerText(slot.answer)}`;
    }
    byId("caption").textContent = slot ? caption(slot.card) : "";
    this.panel.update(slot?.answer ?? null, slot ? this.suggestion(slot) : null, slot?.card ?? null, this.hidden);
  }
}

function caption(card) {
  const why = card.purpose === "estimate" ? "estimate set: drawn at random to estimate the accuracy" : card.reason;
  return [card.name, `${card.width} × ${card.height}`, why].filter(Boolean).join(" · ");
}
