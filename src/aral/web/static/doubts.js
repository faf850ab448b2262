// Labels that a model doubts, the most confident first: one key keeps or changes each.

import { newKey } from "./api.js";
import { asCard } from "./deck.js";
import { badge, button, fill, make } from "./dom.js";
import { shown } from "./keys.js";

export class Doubts {
  constructor(state, outbox, labelling) {
    this.state = state;
    this.outbox = outbox;
    this.labelling = labelling;
    this.place = make("div", { class: "doubts" });
    this.items = [];
  }

  show(items) {
    const busy = new Set(this.outbox.images());
    this.items = items.filter((item) => !busy.has(item.image_id));
    this.draw(false);
  }

  draw(focus) {
    if (!this.items.length) {
      fill(this.place, make("p", { class: "quiet" }, "Nothing left: the model and the labels agree wherever it can judge."));
      return;
    }
    const [first, ...rest] = this.items;
    fill(this.place, this.card(first), make("ul", { class: "thumbs", "aria-label": "Next in line" },
      ...rest.slice(0, 10).map((item) => make("li", {}, make("img", { src: item.thumbnail, alt: item.name, width: 72, height: 72, loading: "lazy" })))));
    if (focus) this.place.firstChild.focus();
  }

  card(item) {
    const labelled = this.state.byId.get(item.class_id)?.name ?? "?";
    const said = this.state.byId.get(item.suggestion.class_id)?.name ?? "?";
    const keep = button("Keep the label", () => this.keep(), { class: "plain" });
    const change = button(`Change to ${said}`, () => this.relabel(item.suggestion.class_id), { class: "main" });
    keep.append(this.badge("skip"));
    change.append(this.badge("accept"));
    return make("article", { class: "doubt", tabIndex: -1, "aria-label": `${item.name}: labelled ${labelled}, the model says ${said}` },
      make("img", { src: item.thumbnail, alt: `Image ${item.name}`, width: item.width, height: item.height }),
      make("div", {},
        make("p", {}, "Labelled ", make("strong", {}, labelled), ` by ${item.annotators.join(", ")}.`),
        make("p", {}, "The model says ", make("strong", {}, said), `, ${Math.round(100 * item.suggestion.probability)} %, without having learned from this label.`),
        make("div", { class: "row" }, change, keep),
        make("p", { class: "quiet" }, "Any class's key changes the label to that class.")));
  }

  badge(action) {
    const { settings, keys } = this.state;
    return badge(settings.shortcuts_on ? shown(keys.forAction(action)) : "") ?? "";
  }

  /** The same class once more: a label that was given twice is doubted no more. */
  keep() {
    this.relabel(this.items[0].class_id);
  }

  relabel(classId, action = "class") {
    const item = this.items.shift();
    const answer = { key: newKey(), image_id: item.image_id, annotator: this.state.person, action, class_id: classId,
      suggestion_shown: true, seconds: null, browsed: true };
    this.outbox.add([answer]);
    this.labelling.remember([{ card: asCard(item), answer }]);
    this.draw(true);
  }

  /** Keys while doubts are on screen; gives whether one was used. */
  act(meaning) {
    if (!this.items.length) return false;
    if (meaning.action === "class") this.relabel(meaning.class_id);
    else if (meaning.action === "accept") this.relabel(this.items[0].suggestion.class_id);
    else if (meaning.action === "skip") this.keep();
    else if (["unsure", "bad image", "none of these"].includes(meaning.action)) this.relabel(null, meaning.action);
    else return false;
    return true;
  }
}
