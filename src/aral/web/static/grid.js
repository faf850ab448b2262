// Many images at once: select some, press one key.

import { get, newKey } from "./api.js";
import { button, byId, fill, make, speak, warn } from "./dom.js";
import { asCard } from "./deck.js";
import { Chooser } from "./chooser.js";
import { openDialog } from "./dialogs.js";
import { Holding } from "./holding.js";
import { shown } from "./keys.js";
import { Selection } from "./selection.js";

const GROUPS = { predicted: "By predicted class", near: "Near-duplicates", unlabelled: "Not answered yet" };
const ANSWERS = new Set(["class", "unsure", "bad image", "none of these", "skip"]);
const NOTHING = {
  predicted: "No model has looked at the images yet. Label some, or see those not answered yet.",
  near: "No two images are nearly the same.",
  unlabelled: "Every image has an answer, or is on somebody's page.",
};

export class Grid {
  constructor(state, outbox, labelling) {
    this.state = state;
    this.outbox = outbox;
    this.labelling = labelling;
    this.group = "predicted";
    this.offset = 0;
    this.following = null;
    this.tiles = [];
    this.holding = new Holding();
    this.columns = Number(localStorage.getItem("aral:columns") ?? 7);
    this.selection = new Selection((count) => this.counted(count));
    this.build();
    state.addEventListener("change", () => this.drawClasses());
  }

  build() {
    this.groupButtons = Object.entries(GROUPS).map(([group, words]) =>
      button(words, () => this.load(group, 0), { "aria-pressed": "false", class: "plain" }));
    this.size = make("input", { type: "range", min: 3, max: 8, value: this.columns, "aria-label": "Images in a row",
      on: { input: () => this.resize(Number(this.size.value)) } });
    this.count = make("span", { class: "quiet", role: "status" });
    this.answers = make("div", { class: "grid-classes", role: "group", "aria-label": "Answer for the selection" });
    const place = make("div", { class: "chooser", id: "grid-chooser", hidden: true });
    this.body = make("div", { class: "grid-body" });
    this.before = button("Page before", () => this.load(this.group, Math.max(0, this.pages.pop() ?? 0), true), { class: "plain" });
    this.after = button("Next page", () => this.next(), { class: "plain" });
    fill(byId("view-grid"),
      make("div", { class: "grid-bar" },
        make("div", { class: "row", role: "group", "aria-label": "Which images" }, ...this.groupButtons),
        make("label", { class: "size" }, "Size", this.size),
        button("Select all", () => this.selection.all(), { class: "plain" }),
        button("Select none", () => this.selection.none(), { class: "plain" }),
        this.count),
      make("div", { class: "grid-answers" }, this.answers, place),
      this.body,
      make("div", { class: "row pages" }, this.before, this.after));
    this.chooser = new Chooser(this.state, place, (id) => this.answer({ action: "class", class_id: id }));
    this.pages = [];
    this.resize(this.columns);
    this.drawClasses();
  }

  resize(columns) {
    this.columns = columns;
    this.selection.columns = columns;
    this.body.style.setProperty("--columns", String(columns));
    localStorage.setItem("aral:columns", String(columns));
  }

  drawClasses() {
    const on = this.state.settings.shortcuts_on;
    const one = (words, key, meaning, colour) => {
      const made = button(words, () => this.answer(meaning), { class: "grid-class" });
      if (colour !== undefined) made.dataset.colour = colour;
      if (on && key) made.append(make("kbd", {}, shown(key)));
      return made;
    };
    fill(this.answers,
      ...this.state.classes.map((each) => one(each.name, this.state.keys.forClass(each.id),
        { action: "class", class_id: each.id }, this.state.colour(each.id))),
      ...["accept", "unsure", "bad image", "none of these"].filter((action) => action !== "accept" || this.predicts).map((action) => one(
        { accept: "As predicted", unsure: "Unsure", "bad image": "Bad image", "none of these": "None of these" }[action],
        this.state.keys.forAction(action), { action })));
  }

  enter() {
    this.holding.enter();
    this.load(this.group, this.offset, true);
  }

  next() {
    if (this.following === null) return;
    this.pages.push(this.offset);
    this.load(this.group, this.following, true);
  }

  async load(group, offset, keepPages = false) {
    if (!keepPages) this.pages = [];
    this.holding.wait();
    try {
      const { person } = this.state;
      const page = await get("/api/grid", { group, offset, annotator: person, tab: await this.labelling.deck.tab });
      if (person !== this.state.person) return;
      if (group === "predicted" && !offset && !page.groups.length && this.group === "predicted" && !this.asked) {
        this.asked = true;  // nothing is predicted before the first model: begin with what there is
        await this.load("unlabelled", 0);
        return;
      }
      this.group = group;
      this.offset = offset;
      this.following = page.next;
      this.draw(page.groups);
    } catch (trouble) {
      this.holding.show(this.tiles);  // those of before are on screen still
      warn(`${trouble.message} ${trouble.hint ?? ""}`);
    }
  }

  draw(groups) {
    Object.keys(GROUPS).forEach((group, index) => this.groupButtons[index].setAttribute("aria-pressed", String(group === this.group)));
    this.drawClasses();
    this.tiles = [];
    const waiting = this.outbox.newest();
    const sections = groups.map((group, index) => this.section(group, index, waiting));
    fill(this.body, ...sections);
    if (!sections.length) fill(this.body, make("p", { class: "quiet nothing" }, NOTHING[this.group]));
    this.selection.take(this.tiles);
    this.holding.show(this.tiles);
    this.before.disabled = !this.pages.length;
    this.after.disabled = this.following === null;
  }

  section(group, index, waiting) {
    const title = this.title(group, index);
    const first = this.tiles.length;
    const id = `grid-group-${index}`;
    const list = make("div", { class: "tiles", role: "listbox", "aria-multiselectable": "true", "aria-labelledby": id });
    for (const cell of group.cells) {
      const event = waiting.get(cell.image_id);
      list.append(this.tile(cell, event ? event.action !== "undo" : cell.answered));
    }
    const range = [first, this.tiles.length - 1];
    return make("section", {},
      make("div", { class: "row" }, make("h2", { id }, `${title} · ${group.cells.length}`),
        button("Select these", () => this.selection.range(...range), { class: "plain" })),
      list);
  }

  /** Whether the tiles on screen lie by what the model says of them. */
  get predicts() {
    return this.group === "predicted";
  }

  title(group, index) {
    if (this.group === "near") return `Alike ${index + 1}`;
    if (this.group === "unlabelled") return "Not answered yet";
    return `Predicted: ${this.state.byId.get(group.class_id)?.name ?? "none"}`;
  }

  tile(cell, answered) {
    const image = make("img", { src: cell.thumbnail, alt: "", loading: "lazy", draggable: false });
    const words = make("span", { class: "tile-words" }, answered ? "answered" : "");
    const sure = cell.suggestion ? `, ${Math.round(100 * cell.suggestion.probability)} %` : "";
    const element = make("div", {
      class: answered ? "tile answered" : "tile", role: "option", "aria-selected": "false", tabIndex: -1,
      title: cell.name, "aria-label": `${cell.name}${sure}`,
      on: { dblclick: () => this.peek(cell) },
    }, image, words);
    this.tiles.push({ cell, element, words });
    return element;
  }

  counted(count) {
    this.count.textContent = count ? `${count} selected` : "";
    byId("view-grid").classList.toggle("selecting", count > 0);
  }

  ownKey(event) {
    return this.selection.key(event);
  }

  act(meaning) {
    if (ANSWERS.has(meaning.action) || meaning.action === "accept") this.answer(meaning);
    else if (meaning.action === "undo") this.labelling.undo().then((step) => this.reopen(step));
    else if (meaning.action === "zoom") this.peek(this.selection.current?.cell);
    else if (meaning.action === "search") this.chooser.open();
  }

  /** One answer for everything that is selected. */
  answer(meaning) {
    const selected = this.selection.chosen();
    if (meaning.action === "accept" && !this.predicts) {
      speak("There is no suggestion to accept.");
      warn("Nothing is suggested here: answer with a class, or accept where images lie by predicted class.", 4);
      return;
    }
    if (!selected.length) {
      speak("Nothing is selected.");
      warn("Select images first: click, Shift click, or arrow keys and Space.", 4);
      return;
    }
    const step = [];
    for (const tile of selected) {
      const answer = this.event(tile.cell, meaning);
      if (!answer) continue;
      step.push({ card: asCard(tile.cell), answer });
      tile.element.classList.add("answered");
      tile.words.textContent = this.state.words(answer);
    }
    this.selection.none();
    if (!step.length) return;
    this.outbox.add(step.map(({ answer }) => answer));
    this.labelling.drop(step);
    this.labelling.remember(step);
    this.selection.move(this.tiles.findIndex((tile) => !tile.element.classList.contains("answered")));
  }

  /** Tiles whose answers were taken back. */
  reopen(step) {
    const ids = new Set(step.map(({ card }) => card.image_id));
    for (const tile of this.tiles.filter(({ cell }) => ids.has(cell.image_id))) {
      const standing = this.labelling.past.standing(tile.cell.image_id);
      tile.element.classList.toggle("answered", standing !== null);
      tile.words.textContent = standing ? this.state.words(standing) : "";
    }
  }

  event(cell, meaning) {
    const accepted = meaning.action === "accept";
    if (accepted && !this.state.byId.has(cell.suggestion?.class_id)) return null;
    return {
      key: newKey(), image_id: cell.image_id, annotator: this.state.person,
      action: accepted ? "class" : meaning.action,
      class_id: accepted ? cell.suggestion.class_id : meaning.class_id ?? null,
      suggestion_shown: this.predicts && cell.suggestion !== null, seconds: null, browsed: true, accepted,
    };
  }

  peek(cell) {
    if (cell) openDialog(cell.name, [make("img", { class: "peek", src: cell.large, alt: `Image ${cell.name}` })], { wide: true });
  }
}
