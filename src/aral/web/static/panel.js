// The classes beside the image: a button each with its key, the suggestion, the guidelines.

import { badge, button, byId, fill, make } from "./dom.js";
import { ACTIONS, shown } from "./keys.js";
import { Chooser } from "./chooser.js";

const MANY = 36;
const OTHER = ["skip", "unsure", "bad image", "none of these", "undo", "previous", "next", "zoom"];
const SHORT = { "skip": "Skip", "zoom": "Zoom" };

export class Panel {
  /** @param press called with (meaning, time) when a button is pressed. */
  constructor(state, press) {
    this.state = state;
    this.press = press;
    this.buttons = new Map();
    this.opened = false;
    this.chooser = new Chooser(state, byId("chooser"), (id, at) => press({ action: "class", class_id: id }, at));
    state.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { state } = this;
    this.buttons = new Map(state.classes.map((each) => [each.id, this.classButton(each)]));
    fill(byId("class-buttons"), ...this.buttons.values());
    byId("class-buttons").classList.toggle("many", state.classes.length > 12);
    this.chooser.pinned = state.classes.length > MANY;
    if (!state.classes.length) fill(byId("class-buttons"), make("p", { class: "quiet" }, "No classes yet. Add the first one."));
    fill(byId("actions"), ...OTHER.map((action) => this.actionButton(action)));
    byId("help-key").textContent = shown(this.key("help"));
    byId("guide-key").textContent = shown(this.key("guide"));
    fill(byId("guide-body"), ...this.guidelines());
    if (!this.opened && this.state.classes.some((each) => each.guideline)) byId("guide").open = this.opened = true;
    if (this.marked) this.mark(...this.marked);
  }

  key(action) {
    return this.state.settings.shortcuts_on ? this.state.keys.forAction(action) : "";
  }

  classButton(each) {
    const key = this.state.settings.shortcuts_on ? this.state.keys.forClass(each.id) : "";
    const made = make(
      "button",
      {
        type: "button", class: "class-button", title: each.guideline || each.name, "aria-pressed": "false",
        on: { click: (event) => this.press({ action: "class", class_id: each.id }, event.timeStamp) },
      },
      make("span", { class: "swatch", "aria-hidden": "true" }),
      make("span", { class: "class-name" }, each.name),
      badge(shown(key)),
    );
    made.dataset.colour = this.state.colour(each.id);
    return made;
  }

  actionButton(action) {
    const [words] = ACTIONS[action];
    const press = (event) => this.press({ action }, event.timeStamp);
    const made = button(SHORT[action] ?? words, press, { class: "action", title: words });
    made.append(badge(shown(this.key(action))) ?? "");
    return made;
  }

  /** Show what is known of the image on screen: the answer given, the suggestion. */
  mark(answer, suggestion, card, hidden) {
    this.marked = [answer, suggestion, card, hidden];
    for (const [id, element] of this.buttons) {
      const chosen = answer?.action === "class" && answer.class_id === id;
      if ((element.getAttribute("aria-pressed") === "true") !== chosen) element.setAttribute("aria-pressed", String(chosen));
      element.classList.toggle("suggested", suggestion?.class_id === id);
    }
    const place = byId("suggestion");
    // With a model it is always there, so that the buttons below do not move from image to image.
    place.hidden = !card || !this.state.model || !this.state.settings.suggestions_on;
    if (place.hidden) return;
    if (!suggestion) {
      const why = hidden ? "Suggestions are hidden." : card.hidden_suggestion ? "Withheld for this image, to measure its influence." : "No suggestion for this image.";
      fill(place, make("p", { class: "quiet" }, why));
      return;
    }
    const accept = button("Accept", (event) => this.press({ action: "accept" }, event.timeStamp), { class: "plain" });
    accept.append(badge(shown(this.key("accept"))) ?? "");
    const { name } = this.state.byId.get(suggestion.class_id);
    fill(
      place,
      make("p", {}, make("span", { class: "quiet" }, "Suggestion"), make("br"), make("strong", {}, name), ` ${Math.round(100 * suggestion.probability)} %`),
      accept,
    );
  }

  guidelines() {
    const written = this.state.classes.filter((each) => each.guideline || each.examples.length);
    if (!written.length) return [make("p", { class: "quiet" }, "Nothing written yet. Edit a class to say when an image belongs to it.")];
    return written.map((each) => make(
      "section", { class: "guideline" },
      make("h3", {}, each.name),
      each.guideline ? make("p", {}, each.guideline) : null,
      make("div", { class: "examples" }, ...each.examples.map((example) =>
        make("img", { src: example.thumbnail, alt: `Example of ${each.name}`, width: 72, height: 72, loading: "lazy" }))),
    ));
  }
}
