// One image, one key: the answer is kept and the next image is painted in the same frame.

import { newKey } from "./api.js";
import { afterPaint, byId, counted, speak, warn } from "./dom.js";
import { Deck } from "./deck.js";
import { Past } from "./past.js";
import { Stage } from "./stage.js";
import { Trail } from "./trail.js";

const ANSWERS = new Set(["class", "skip", "unsure", "bad image", "none of these"]);
const PAN = 60;

export class Labelling {
  constructor(state, outbox, panel) {
    this.state = state;
    this.outbox = outbox;
    this.panel = panel;
    this.stage = new Stage();
    this.past = new Past(state, () => outbox.settled());
    this.deck = new Deck(state.key, () => state.person, () => outbox.images(), () => this.changed());
    this.trail = new Trail(state, this.past, (card, answer) => this.open(card, answer));
    this.undoing = Promise.resolve();
    this.hidden = sessionStorage.getItem("aral:hidden") === "yes";
    state.addEventListener("change", () => { this.describe(); this.trail.draw(); });
    state.addEventListener("person", () => this.restart());
    this.restart();
  }

  /** Begin anew for the person: their cards, their answers. */
  restart() {
    this.deck.clear();
    this.past.forget();
    this.present();
    this.deck.refill();
    this.past.readMore().then(() => this.trail.draw(), () => {});
  }

  /** The view comes on screen. */
  enter() {
    this.present();
    this.deck.refill();
  }

  /** Answers that were given in another view: their images are not shown again here. */
  drop(step) {
    for (const { card, answer } of step) {
      const slot = this.deck.find(card.image_id);
      if (slot) slot.answer = answer;
    }
    if (this.deck.current?.answer) this.deck.advance();
  }

  /** Keys of this view alone: zoom by + and −, arrows while zoomed, Escape. */
  ownKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const { stage } = this;
    if (event.key === "+" || event.key === "=") stage.zoom(1.5);
    else if (event.key === "-") stage.zoom(1 / 1.5);
    else if (stage.zoomed && event.key === "Escape") stage.reset();
    else if (stage.zoomed && event.key === "ArrowUp") stage.pan(0, PAN);
    else if (stage.zoomed && event.key === "ArrowDown") stage.pan(0, -PAN);
    else if (stage.zoomed && event.key === "ArrowLeft") stage.pan(PAN, 0);
    else if (stage.zoomed && event.key === "ArrowRight") stage.pan(-PAN, 0);
    else return false;
    return true;
  }

  /** The deck's current image arrived, or cards came or ran out. */
  changed() {
    const slot = this.deck.current;
    if (slot !== this.stage.slot || (slot?.ready && this.stage.shownAt === Infinity)) this.present();
    else if (!slot) this.present();
  }

  /** Do what a key or a button asks for; `at` is when it was pressed. */
  act(meaning, at) {
    const { action } = meaning;
    if (ANSWERS.has(action)) this.answer(action, meaning.class_id ?? null, at);
    else if (action === "accept") this.accept(at);
    else if (action === "undo") this.undo();
    else if (action === "hide") this.hide();
    else if (action === "zoom") this.stage.toggle();
    else if (action === "previous" || action === "next") this.browse(action === "next" ? 1 : -1);
    else return false;
    return true;
  }

  /** Save an answer about the image that was on screen when the key was pressed, and show the next. */
  answer(action, classId, at, accepted = false) {
    const slot = this.deck.current;
    if (!slot || at < this.stage.shownAt) {
      if (slot) speak("Too early: the image was not on screen yet.");
      return;
    }
    if (slot.broken && action === "class") {
      warn("There is no picture to judge: mark it as a bad image, or skip it.");
      return;
    }
    const event = {
      key: newKey(), image_id: slot.card.image_id, annotator: this.state.person, action, class_id: classId,
      suggestion_shown: this.suggestion(slot) !== null, seconds: (at - this.stage.shownAt) / 1000,
      browsed: slot.card.purpose === "again" || slot.card.purpose === "history", accepted,
    };
    this.outbox.add([event]);
    slot.answer = event;
    this.deck.advance();
    this.present();
    this.remember([{ card: slot.card, answer: event }]);
  }

  /** What follows an answer and may wait until the next image is on screen. */
  remember(step) {
    this.past.add(step);
    afterPaint(() => {
      this.trail.draw();
      const words = this.state.words(step[0].answer);
      speak(`${step.length === 1 ? step[0].card.name : counted(step.length, "image")}: ${words}`);
      this.deck.refill();
    });
  }

  accept(at) {
    const suggestion = this.deck.current && this.suggestion(this.deck.current);
    if (suggestion) this.answer("class", suggestion.class_id, at, true);
    else speak("There is no suggestion to accept.");
  }

  /** Take back the last answer and show its image again; resolves to what was taken back. */
  undo() {
    this.undoing = this.undoing.then(() => this.undoStep()).catch((trouble) => {
      warn(trouble.message);
      return [];
    });
    return this.undoing;
  }

  async undoStep() {
    const step = await this.past.take();
    if (!step) {
      speak("There is nothing to undo.");
      return [];
    }
    this.outbox.add(step.toReversed().map(({ card }) => ({
      key: newKey(), image_id: card.image_id, annotator: this.state.person, action: "undo", class_id: null,
      suggestion_shown: false, seconds: null,
    })));
    // What was said before a correction stands again; the server's receipt tells where this tab does not know.
    for (const { card } of step.toReversed()) this.deck.bring(card).answer = this.past.standing(card.image_id);
    this.present();
    this.trail.draw();
    const words = this.state.words(step[0].answer);
    speak(`Undone: ${step.length === 1 ? step[0].card.name : counted(step.length, "image")}, ${words}`);
    return step;
  }

  /** The server has acknowledged events: after an undo it tells what stands, however long ago it was said. */
  acknowledge(events, receipts) {
    this.past.acknowledge(receipts);
    const undone = new Set(events.filter(({ action }) => action === "undo").map(({ key }) => key));
    const waiting = new Set(this.outbox.images());
    for (const { key, image_id: image, stands } of receipts) {
      const slot = undone.has(key) && !waiting.has(image) ? this.deck.find(image) : null;
      if (!slot || slot.answer || !stands) continue;
      slot.answer = { action: stands[0], class_id: stands[1] };
      this.describe();
    }
  }

  /** Show an image that was answered before; a key answers it again. */
  open(card, answer) {
    const slot = this.deck.bring(card);
    slot.answer ??= answer;
    this.present();
    this.stage.place.focus({ preventScroll: true });
  }

  browse(by) {
    if (!this.deck.step(by) && (by > 0 || !this.older())) {
      speak(by > 0 ? "This is the last image that is loaded." : "This is the first image.");
      return;
    }
    this.deck.loadAhead();
    this.present();
  }

  /** Put answers of earlier days before the deck and go to the newest of them. */
  older() {
    const items = this.past.newest(200).filter(({ card }) => !this.deck.find(card.image_id)).slice(0, 20).reverse();
    if (!items.length) return false;
    this.deck.prepend(items.map(({ card }) => card), new Map(items.map(({ card, answer }) => [card.image_id, answer])));
    this.past.readMore().catch(() => {});
    return this.deck.step(-1);
  }

  hide() {
    this.hidden = !this.hidden;
    sessionStorage.setItem("aral:hidden", this.hidden ? "yes" : "no");
    speak(this.hidden ? "Suggestions are hidden." : "Suggestions are shown.");
    this.describe();
  }

  /** The suggestion people see for a slot, or null. */
  suggestion(slot) {
    const { suggestion, hidden_suggestion: withheld } = slot.card;
    const shown = suggestion && !withheld && !this.hidden && this.state.settings.suggestions_on;
    return shown && this.state.byId.has(suggestion.class_id) ? suggestion : null;
  }

  /** Put the deck's current image on screen. */
  present() {
    const slot = this.deck.current;
    if (slot?.image) slot.image.alt = `Image ${slot.card.name}`;
    this.stage.show(slot);
    if (!slot) this.stage.say(this.deck.trouble ? `Waiting for the server. ${this.deck.trouble.message}`
      : this.deck.empty ? "No image is left for you just now. Thank you." : "Loading …");
    else if (!slot.ready) this.stage.say("Loading …");
    else if (slot.broken) this.stage.say("This image cannot be shown any more.");
    this.describe();
    this.deck.loadAhead();
  }

  /** The words around the image. */
  describe() {
    const slot = this.deck.current;
    const chip = byId("chip");
    chip.hidden = !slot?.answer;
    if (slot?.answer) {
      chip.textContent = `Answer: ${this.state.words(slot.answer)}`;
    }
    byId("caption").textContent = slot ? caption(slot.card) : "";
    this.panel.mark(slot?.answer ?? null, slot ? this.suggestion(slot) : null, slot?.card ?? null, this.hidden);
  }
}

function caption(card) {
  const why = card.purpose === "estimate" ? "drawn at random, to measure the accuracy" : card.reason;
  return [card.name, `${card.width} × ${card.height}`, why].filter(Boolean).join(" · ");
}
