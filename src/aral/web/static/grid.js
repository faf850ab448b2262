// The grid: many images at once, selected by mouse or keyboard and answered with one key.

import { get, newKey, post } from "./api.js";
import { ClassSearch } from "./class_search.js";
import { asCard } from "./deck.js";
import { ask, openDialog } from "./dialogs.js";
import { button, byId, counted, fill, make, percent, tell, warn } from "./dom.js";
import { shown } from "./keys.js";
import { isZeroShot } from "./state.js";

const GROUPS = { predicted: "By predicted class", near: "Near-duplicates", unlabelled: "Not answered yet" };
const ANSWERS = new Set(["class", "unsure", "bad image", "none of these", "skip"]);
const DECISIVE = new Set(["class", "bad image", "none of these"]);
const MOST_LETTERS = 200;
const POLL_MILLISECONDS = 300;  // while a search waits for the training worker
const MOST_POLLS = 100;
const NOTHING = {
  predicted: "There are no predictions yet. Label some images first, or choose 'Not answered yet'.",
  near: "There are no near-duplicates.",
  unlabelled: "Every image has an answer or is leased to another page.",
  search: "No image that has been read is free to be shown.",
};

export class Grid {
  constructor(state, outbox, labelling) {
    this.state = state;
    this.outbox = outbox;
    this.labelling = labelling;
    this.group = "predicted";
    this.offset = 0;
    this.following = null;
    this.found = null;  // the number of the newest search
    this.request = 0;  // a response that comes after that of a later request is not shown
    this.tiles = [];
    this.leases = new TileLeases();
    this.columns = Number(localStorage.getItem("aral:columns") ?? 7);
    this.selection = new Selection((count) => this.counted(count));
    this.build();
    state.addEventListener("change", () => {
      this.drawClasses();
      this.words.form.hidden = !state.searchable;
    });
  }

  build() {
    this.groupButtons = Object.entries(GROUPS).map(([group, words]) =>
      button(words, () => this.load(group, 0), { "aria-pressed": "false", class: "plain" }));
    this.size = make("input", { type: "range", min: 3, max: 8, value: this.columns, "aria-label": "Images per row",
      on: { input: () => this.resize(Number(this.size.value)) } });
    this.words = make("input", { type: "search", maxLength: MOST_LETTERS, placeholder: "Search by words", "aria-label": "Search by words", enterKeyHint: "search" });
    const search = make("form", { class: "row", role: "search", hidden: true, on: { submit: (event) => { event.preventDefault(); this.find(); } } },
      this.words, make("button", { type: "submit", class: "plain" }, "Search"));
    this.about = make("p", { class: "quiet", role: "status", hidden: true });
    this.count = make("span", { class: "quiet", role: "status" });
    this.answers = make("div", { class: "grid-classes", role: "group", "aria-label": "Answer for the selection" });
    const chooser = make("div", { class: "chooser", id: "grid-chooser", hidden: true });
    this.body = make("div", { class: "grid-body" });
    this.before = button("Previous page", () => this.load(this.group, Math.max(0, this.pages.pop() ?? 0), true), { class: "plain" });
    this.after = button("Next page", () => this.next(), { class: "plain" });
    fill(byId("view-grid"),
      make("div", { class: "grid-bar" },
        make("div", { class: "row", role: "group", "aria-label": "Which images" }, ...this.groupButtons),
        search,
        make("label", { class: "size" }, "Size", this.size),
        button("Select all", () => this.selection.all(), { class: "plain" }),
        button("Select none", () => this.selection.none(), { class: "plain" }),
        this.count),
      make("div", { class: "grid-answers" }, this.answers, chooser),
      this.about,
      this.body,
      make("div", { class: "row pages" }, this.before, this.after));
    this.search = new ClassSearch(this.state, chooser, (id) => this.answer({ action: "class", class_id: id }));
    this.pages = [];
    this.resize(this.columns);
    this.drawClasses();
  }

  resize(columns) {
    this.columns = columns;
    this.body.style.setProperty("--columns", String(columns));
    localStorage.setItem("aral:columns", String(columns));
  }

  drawClasses() {
    const on = this.state.settings.shortcuts_on;
    const one = (words, key, command, colour) => {
      const made = button(words, () => this.answer(command), { class: "grid-class" });
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
    this.leases.enter();
    this.load(this.group, this.offset, true);
  }

  next() {
    if (this.following === null) return;
    this.pages.push(this.offset);
    this.load(this.group, this.following, true);
  }

  /** Search images by words; the training worker answers. */
  async find() {
    const words = this.words.value.trim();
    if (!words) return;
    try {
      this.found = (await post("/api/searches", { words })).number;
      await this.load("search", 0);
    } catch (error) {
      warn(`${error.message} ${error.hint ?? ""}`);
    }
  }

  /** A page of the grid; of a search, once it is answered or another page is wanted. */
  async page(parameters, request) {
    const { group } = parameters;
    for (let polls = 0; polls < MOST_POLLS; polls += 1) {
      const page = await get("/api/grid", group === "search" ? { ...parameters, search: this.found } : parameters);
      if (!page.waiting || request !== this.request) return page;
      this.tellAbout(`Searching for “${page.words}” …`);
      await new Promise((done) => setTimeout(done, POLL_MILLISECONDS));
    }
    throw new Error("The training worker has not answered the search yet. Search again in a moment.");
  }

  /** Show a sentence above the tiles; none hides it. */
  tellAbout(words) {
    this.about.textContent = words;
    this.about.hidden = !words;
  }

  async load(group, offset, keepPages = false) {
    if (!keepPages) this.pages = [];
    this.leases.wait();
    this.request += 1;
    const { request } = this;
    try {
      const { annotator } = this.state;
      const page = await this.page({ group, offset, annotator, tab: await this.labelling.deck.tab }, request);
      if (annotator !== this.state.annotator || request !== this.request) return;
      if (group === "predicted" && !offset && !page.groups.length && this.group === "predicted" && !this.redirected) {
        this.redirected = true;  // before the first model there are no predictions
        await this.load("unlabelled", 0);
        return;
      }
      this.group = group;
      this.offset = offset;
      this.following = page.next;
      this.tellAbout(group === "search" ? foundText(page) : "");
      this.draw(page.groups);
    } catch (error) {
      if (request !== this.request) return;
      this.tellAbout("");
      this.leases.show(this.tiles);  // the tiles of before are still on screen
      warn(`${error.message} ${error.hint ?? ""}`);
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
    this.leases.show(this.tiles);
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
      list.append(this.tile(event ? { ...cell, label: labelOf(event), answered: event.action !== "undo" } : cell));
    }
    const range = [first, this.tiles.length - 1];
    return make("section", {},
      make("div", { class: "row" }, make("h2", { id }, `${title} · ${group.cells.length}`),
        button("Select these", () => this.selection.range(...range), { class: "plain" })),
      list);
  }

  /** Whether the tiles on screen are grouped by their suggestions. */
  get predicts() {
    return this.group === "predicted";
  }

  title(group, index) {
    if (this.group === "near") return `Near-duplicates ${index + 1}`;
    if (this.group === "unlabelled") return "Not answered yet";
    if (this.group === "search") return "Most similar first";
    const how = isZeroShot(group.cells[0].suggestion) ? "Predicted, zero-shot" : "Predicted";
    return `${how}: ${this.state.classById.get(group.class_id)?.name ?? "none"}`;
  }

  tile(cell) {
    const image = make("img", { src: cell.thumbnail, alt: "", loading: "lazy", draggable: false });
    const words = make("span", { class: "tile-words" });
    const element = make("div", {
      class: "tile", role: "option", "aria-selected": "false", tabIndex: -1, title: cell.name,
      on: { dblclick: () => this.showLarge(cell) },
    }, image, words, this.probability(cell.suggestion));
    const tile = { cell, element, words, label: cell.label };
    this.tiles.push(tile);
    this.mark(tile, cell.label ? this.state.answerText(cell.label) : cell.answered ? "answered" : "");
    return element;
  }

  /** The probability of the predicted class, as a number and a bar; nothing where no suggestion is shown. */
  probability(suggestion) {
    if (!this.predicts || !suggestion) return null;
    const bar = make("span", { class: "tile-bar" });
    bar.style.setProperty("--share", `${100 * suggestion.probability}%`);
    return make("span", { class: "tile-probability", "aria-hidden": "true" }, bar, `${percent(suggestion.probability)} %`);
  }

  /** Show a tile's answer in words; none if it is open. */
  mark({ element, words, cell }, answer) {
    element.classList.toggle("answered", answer !== "");
    words.textContent = answer;
    const { suggestion } = cell;
    const predicted = suggestion && this.predicts
      ? `predicted ${this.state.classById.get(suggestion.class_id)?.name ?? "none"}, ${percent(suggestion.probability)} %` : "";
    element.setAttribute("aria-label", [cell.name, predicted, answer && `answer: ${answer}`].filter(Boolean).join(", "));
  }

  counted(count) {
    this.count.textContent = count ? `${count} selected` : "";
    byId("view-grid").classList.toggle("selecting", count > 0);
  }

  handleKey(event) {
    return this.selection.key(event);
  }

  /** Carry out a command; whether this view has a use for it. */
  act(command) {
    if (ANSWERS.has(command.action) || command.action === "accept") this.answer(command);
    else if (command.action === "undo") this.labelling.undo().then((step) => this.reopen(step));
    else if (command.action === "zoom") this.showLarge(this.selection.current?.cell);
    else if (command.action === "search") this.search.open();
    else return false;
    return true;
  }

  /** Answer all selected images at once. Labels that they have already are counted, and replaced only after a yes. */
  async answer(command) {
    const selected = this.selection.chosen();
    if (command.action === "accept" && !this.predicts) {
      tell("There are no suggestions in this view. Choose a class, or change to 'By predicted class'.");
      return;
    }
    if (!selected.length) {
      tell("Nothing is selected. Select images first: click, Shift click, or arrow keys and Space.");
      return;
    }
    const found = selected.map((tile) => ({ tile, answer: this.event(tile, command) })).filter(({ answer }) => answer);
    const labelled = found.filter(({ tile }) => tile.label);
    const different = labelled.filter(({ tile, answer }) => !sameLabel(tile.label, labelOf(answer)));
    const replace = different.length > 0 && await this.mayReplace(labelled, found.length);
    if (replace === null) return;
    // Only where something changes: a label that is given again would count as confirmed.
    this.give(found.filter(({ tile }) => !tile.label).concat(replace ? different : []), labelled.length - (replace ? different.length : 0));
  }

  /** Ask whether labels are replaced; null if the dialog was closed. */
  mayReplace(labelled, count) {
    const counts = new Map();
    for (const { tile } of labelled) {
      const words = this.state.answerText(tile.label);
      counts.set(words, (counts.get(words) ?? 0) + 1);
    }
    const list = [...counts].sort((a, b) => b[1] - a[1]).map(([words, each]) => `${each} ${words}`).join(", ");
    return ask(`${labelled.length} of ${count} already ${labelled.length === 1 ? "has" : "have"} a label (${list})`, [
      make("p", {}, count > labelled.length ? `The answer is given to the other ${count - labelled.length}.` : "No other image is selected.",
        " What about these?"),
    ], { "Keep them": false, "Replace them": true });
  }

  /** Give the answers; `kept` is how many selected images keep their labels. */
  give(answers, kept) {
    const step = answers.map(({ tile, answer }) => ({ card: asCard(tile.cell), answer }));
    for (const given of answers) {
      const { tile, answer } = given;
      tile.label = labelOf(answer);
      this.mark(tile, this.state.answerText(answer));
    }
    this.selection.none();
    if (step.length) {
      this.outbox.add(step.map(({ answer }) => answer));
      this.labelling.markAnswered(step);
      this.labelling.remember(step);
      this.selection.move(this.tiles.findIndex((tile) => !tile.element.classList.contains("answered")));
    }
    const words = new Set(step.map(({ answer }) => this.state.answerText(answer)));
    const given = `${counted(step.length, "image")}${words.size === 1 ? `: ${[...words][0]}` : step.length ? " answered" : ""}.`;
    tell(kept ? `${given} ${counted(kept, "image keeps its label", "images keep their labels")}.` : given);
  }

  /** Show the tiles whose answers were undone as they are now. */
  reopen(step) {
    const ids = new Set(step.map(({ card }) => card.image_id));
    for (const tile of this.tiles.filter(({ cell }) => ids.has(cell.image_id))) {
      const answer = this.labelling.history.answerOf(tile.cell.image_id);
      tile.label = answer && labelOf(answer);
      this.mark(tile, answer ? this.state.answerText(answer) : "");
    }
  }

  /** The server has saved events: after an undo its receipt names the answer that counts now. */
  acknowledge(events, receipts) {
    const undone = new Set(events.filter(({ action }) => action === "undo").map(({ key }) => key));
    const waiting = new Set(this.outbox.images());
    for (const { key, image_id: image, current } of receipts) {
      const tile = undone.has(key) && !waiting.has(image) && this.tiles.find(({ cell }) => cell.image_id === image);
      if (!tile || !current) continue;
      const answer = { action: current[0], class_id: current[1] };
      tile.label = labelOf(answer);
      this.mark(tile, this.state.answerText(answer));
    }
  }

  /** Read the page on screen again, as after labels have changed elsewhere. */
  reload() {
    if (this.leases.onScreen) this.load(this.group, this.offset, true);
  }

  /** The answer to a tile; null if its suggestion cannot be accepted. It states which label it replaces. */
  event({ cell, label }, command) {
    const accepted = command.action === "accept";
    if (accepted && !this.state.classById.has(cell.suggestion?.class_id)) return null;
    return {
      key: newKey(), image_id: cell.image_id, annotator: this.state.annotator,
      action: accepted ? "class" : command.action,
      class_id: accepted ? cell.suggestion.class_id : command.class_id ?? null,
      suggestion_shown: this.predicts && cell.suggestion !== null, seconds: null, browsed: true, accepted, replaces: { label },
    };
  }

  showLarge(cell) {
    if (cell) openDialog(cell.name, [make("img", { class: "peek", src: cell.stage, alt: `Image ${cell.name}` })], { wide: true });
  }
}

/** The label that an answer gives; null for skip, unsure and undo. */
function labelOf({ action, class_id: id }) {
  return DECISIVE.has(action) ? { action, class_id: id ?? null } : null;
}

function sameLabel(one, other) {
  return one !== null && other !== null && one.action === other.action && one.class_id === other.class_id;
}

/** Which tiles are selected, by mouse and by keyboard. */
class Selection {
  /** @param counted called with the number of selected tiles after every change. */
  constructor(counted) {
    this.counted = counted;
    this.tiles = [];
    this.selected = new Set();
    this.anchor = 0;
    this.at = 0;
  }

  /** Start again with other tiles: [{element, …}]. */
  take(tiles) {
    this.tiles = tiles;
    this.selected = new Set();
    this.anchor = 0;
    this.at = 0;
    tiles.forEach((tile, index) => {
      tile.element.addEventListener("click", (event) => this.click(index, event));
      tile.element.tabIndex = index ? -1 : 0;
    });
    this.counted(0);
  }

  get current() {
    return this.tiles[this.at];
  }

  chosen() {
    return [...this.selected].sort((a, b) => a - b).map((index) => this.tiles[index]);
  }

  set(index, on) {
    if (!this.tiles[index]) return;
    if (on) this.selected.add(index);
    else this.selected.delete(index);
    this.tiles[index].element.setAttribute("aria-selected", String(on));
  }

  range(first, last) {
    for (let index = Math.min(first, last); index <= Math.max(first, last); index += 1) this.set(index, true);
    this.counted(this.selected.size);
  }

  all() {
    this.tiles.forEach((tile, index) => this.set(index, !tile.element.classList.contains("answered")));
    this.counted(this.selected.size);
  }

  none() {
    for (const index of [...this.selected]) this.set(index, false);
    this.counted(0);
  }

  click(index, event) {
    if (event.shiftKey) this.range(this.anchor, index);
    else {
      this.set(index, !this.selected.has(index));
      this.anchor = index;
    }
    this.move(index);
    this.counted(this.selected.size);
  }

  /** Move the focus; only one tile can be reached by Tab. */
  move(index) {
    if (!this.tiles[index]) return false;
    if (this.current) this.current.element.tabIndex = -1;
    this.at = index;
    this.current.element.tabIndex = 0;
    this.current.element.focus();
    return true;
  }

  /** Tiles in a row of the section that has the focus; narrow windows have fewer than the settings say. */
  get columns() {
    const { element } = this.current ?? {};
    if (!element) return 1;
    return getComputedStyle(element.parentElement).gridTemplateColumns.split(" ").length;
  }

  /** Arrow keys, Space, Home, End, Ctrl A, Escape. Whether the key was one of them. */
  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (event.altKey) return false;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a") this.all();
    else if (event.ctrlKey || event.metaKey) return false;
    else if (by !== undefined) this.step(this.at + by, event.shiftKey);
    else if (event.key === "Home") this.step(0, event.shiftKey);
    else if (event.key === "End") this.step(this.tiles.length - 1, event.shiftKey);
    else if (event.key === " " && !event.repeat) this.toggle();
    else if (event.key === "Escape") this.none();
    else return event.key === " ";
    return true;
  }

  step(index, selecting) {
    const target = Math.min(this.tiles.length - 1, Math.max(0, index));
    if (selecting) this.range(this.anchor, target);
    else this.anchor = target;
    this.move(target);
  }

  toggle() {
    this.set(this.at, !this.selected.has(this.at));
    this.anchor = this.at;
    this.counted(this.selected.size);
  }
}

/** The tiles on screen, as they are reported to the server, which leases them to this tab. */
class TileLeases {
  constructor() {
    this.onScreen = false;
    this.tiles = null;  // null: nothing to report
  }

  enter() {
    this.onScreen = true;
    this.tiles = null;
  }

  leave() {
    this.onScreen = false;
    this.tiles = [];
  }

  /** A page was requested: the server leases its tiles and ends the leases of the one before. */
  wait() {
    this.tiles = null;
  }

  /** These tiles are on screen, unless the view was left meanwhile. */
  show(tiles) {
    this.tiles = this.onScreen ? tiles : [];
  }

  /** Ids of the tiles without an answer; null when there is nothing to report. That the view was left is reported once. */
  ids() {
    const { tiles } = this;
    if (!this.onScreen) this.tiles = null;
    return tiles && tiles.filter(({ element }) => !element.classList.contains("answered")).map(({ cell }) => cell.image_id);
  }
}

/** What was searched, and how many images were not, in words. */
function foundText({ words, unread }) {
  const left = unread ? ` ${counted(unread, "image is", "images are")} not read yet, and not searched.` : "";
  return `Images like “${words}”.${left}`;
}
