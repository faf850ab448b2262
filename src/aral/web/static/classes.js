// The classes: a button each with its key beside the image, the suggestion, the guidelines, and the dialogs that change them.

import { ClassSearch } from "./class_search.js";
import { attempt, openDialog, smallForm } from "./dialogs.js";
import { badge, button, byId, fill, make, announce } from "./dom.js";
import { ACTIONS, shown } from "./keys.js";
import { isZeroShot } from "./state.js";

const MANY = 36;
const OTHER = ["skip", "unsure", "bad image", "none of these", "undo", "previous", "next", "zoom"];
const SHORT = { "skip": "Skip", "zoom": "Zoom" };

export class ClassPanel {
  /** @param press called with (command, time) when a button is pressed. */
  constructor(state, press) {
    this.state = state;
    this.press = press;
    this.buttons = new Map();
    this.opened = false;
    this.search = new ClassSearch(state, byId("chooser"), (id, at) => press({ action: "class", class_id: id }, at));
    state.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { state } = this;
    this.buttons = new Map(state.classes.map((each) => [each.id, this.classButton(each)]));
    fill(byId("class-buttons"), ...this.buttons.values());
    byId("class-buttons").classList.toggle("many", state.classes.length > 10);
    this.search.pinned = state.classes.length > MANY;
    if (!state.classes.length) fill(byId("class-buttons"), make("p", { class: "quiet" }, "No classes yet. Add the first one."));
    fill(byId("actions"), ...OTHER.map((action) => this.actionButton(action)));
    byId("help-key").textContent = shown(this.key("help"));
    byId("guide-key").textContent = shown(this.key("guide"));
    fill(byId("guide-body"), ...this.guidelines());
    if (!this.opened && this.state.classes.some((each) => each.guideline)) byId("guide").open = this.opened = true;
    if (this.current) this.update(...this.current);
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

  /** Show the answer to the image on screen, and its suggestion. */
  update(answer, suggestion, card, hidden) {
    this.current = [answer, suggestion, card, hidden];
    for (const [id, element] of this.buttons) {
      const chosen = answer?.action === "class" && answer.class_id === id;
      if ((element.getAttribute("aria-pressed") === "true") !== chosen) element.setAttribute("aria-pressed", String(chosen));
      element.classList.toggle("suggested", suggestion?.class_id === id);
    }
    const box = byId("suggestion");
    // Always visible once there are suggestions, so that the buttons below do not move from image to image.
    box.hidden = !card || !this.state.suggestions || !this.state.settings.suggestions_on;
    if (box.hidden) return;
    if (!suggestion) {
      const why = hidden ? "Suggestions are hidden." : card.hidden_suggestion ? "Withheld here, to estimate the influence of suggestions." : "No suggestion for this image.";
      fill(box, make("p", { class: "quiet" }, why));
      return;
    }
    const accept = button("Accept", (event) => this.press({ action: "accept" }, event.timeStamp), { class: "plain" });
    accept.append(badge(shown(this.key("accept"))) ?? "");
    const { name } = this.state.classById.get(suggestion.class_id);
    fill(
      box,
      make("p", {}, make("span", { class: "quiet" }, isZeroShot(suggestion) ? "Zero-shot suggestion" : "Suggestion"), make("br"), make("strong", {}, name), ` ${Math.round(100 * suggestion.probability)}\u00a0%`),
      accept,
    );
  }

  guidelines() {
    const written = this.state.classes.filter((each) => each.guideline || each.examples.length);
    if (!written.length) return [make("p", { class: "quiet" }, "No guidelines yet. Edit a class to write when an image belongs to it.")];
    return written.map((each) => make(
      "section", { class: "guideline" },
      make("h3", {}, each.name),
      each.guideline ? make("p", {}, each.guideline) : null,
      make("div", { class: "examples" }, ...each.examples.map((example) =>
        make("img", { src: example.thumbnail, alt: `Example of ${each.name}`, width: 72, height: 72, loading: "lazy" }))),
    ));
  }
}

/** Ask for the name of a new class. */
export function addClass(state) {
  const close = openDialog("Add a class", [form().form]);
  function form() {
    return smallForm({
      label: "Name of the class", action: "Add", placeholder: "Name",
      save: async (name) => {
        await state.change("/api/classes", { change: "add", name });
        announce(`Class ${name} was added.`);
        close();
      },
    });
  }
}

/** Rename, describe and merge classes; `shownCard` gives the card on screen, which can become an example. */
export function editClasses(state, shownCard) {
  const list = make("div", { class: "class-list" });
  const redraw = () => fill(list, ...state.classes.map((each) => editor(state, each, shownCard, redraw)));
  redraw();
  openDialog("Edit classes", [list, make("p", { class: "quiet" },
    "Answers stay as they were given. After a merge they count for the class that remains. Every change is recorded.")], { wide: true });
}

function editor(state, each, shownCard, redraw) {
  const error = make("p", { class: "error", role: "alert", hidden: true });
  const change = (body, words) => attempt(error, async () => {
    await state.change("/api/classes", body);
    announce(words);
    redraw();
  });
  const rename = smallForm({
    label: `Name of ${each.name}`, value: each.name, action: "Rename",
    save: (name) => change({ change: "rename", class_id: each.id, name }, `${each.name} is now ${name}.`),
  });
  const summary = make("summary", {}, each.name);
  return make("details", { class: "class-editor" }, summary, rename.form,
    guidelineForm(each, shownCard, change), mergeForm(state, each, change), error);
}

function guidelineForm(each, shownCard, change) {
  const text = make("textarea", { value: each.guideline, rows: 3, "aria-label": `Guideline for ${each.name}`,
    placeholder: "When does an image belong to this class?", maxLength: 5000 });
  const describe = (ids, words) => change(
    { change: "describe", class_id: each.id, guideline: text.value, example_ids: ids }, words);
  const ids = each.examples.map((example) => example.image_id);
  const card = shownCard();
  const examples = each.examples.map((example) => make("button", {
    type: "button", class: "example", title: "Remove this example", "aria-label": `Remove an example of ${each.name}`,
    on: { click: () => describe(ids.filter((id) => id !== example.image_id), "The example was removed.") },
  }, make("img", { src: example.thumbnail, alt: "", width: 64, height: 64 })));
  return make("div", { class: "guideline-form" }, text,
    make("div", { class: "examples" }, ...examples),
    make("div", { class: "row" },
      button("Save guideline", () => describe(ids, "The guideline was saved.")),
      card && !ids.includes(card.image_id)
        ? button("Use the image on screen as an example", () => describe([...ids, card.image_id], "The example was added."), { class: "plain" })
        : null));
}

function mergeForm(state, each, change) {
  const others = state.classes.filter((other) => other.id !== each.id);
  if (!others.length) return null;
  const choice = make("select", { "aria-label": `Merge ${each.name} into` },
    ...others.map((other) => make("option", { value: String(other.id) }, other.name)));
  const merge = button(`Merge`, () => {
    const into = state.classById.get(Number(choice.value));
    if (merge.dataset.confirm !== String(into.id)) {
      merge.dataset.confirm = String(into.id);
      merge.textContent = `Yes, merge into ${into.name}`;
      return;
    }
    change({ change: "merge", class_id: each.id, into_id: into.id }, `${each.name} was merged into ${into.name}.`);
  });
  return make("div", { class: "row" }, make("span", {}, "Merge into"), choice, merge);
}
