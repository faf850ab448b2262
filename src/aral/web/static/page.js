// The page: creates its parts and passes each key to the view on screen.

import { afterPaint, byId, counted, make, announce, tell, warn } from "./dom.js";
import { belongsToFocus, keyOf, shown } from "./keys.js";
import { ClassPanel, addClass, editClasses } from "./classes.js";
import { dialogOpen } from "./dialogs.js";
import { Grid } from "./grid.js";
import { Labelling } from "./labelling.js";
import { openHelp } from "./help.js";
import { openAnnotator, openSettings } from "./settings.js";
import { Outbox } from "./outbox.js";
import { Progress } from "./progress.js";
import { State } from "./state.js";
import { Status } from "./status.js";

const VIEWS = ["label", "grid", "progress"];
const UNSAVED_AFTER = 700;

class Page {
  constructor(state) {
    this.state = state;
    this.savedAt = 0;
    this.late = 0;
    this.outbox = new Outbox(state.key, (queue) => this.unsaved(queue), (events, answer) => this.saved(events, answer));
    this.panel = new ClassPanel(state, (command, at) => this.act(command, at));
    this.labelling = new Labelling(state, this.outbox, this.panel);
    this.grid = new Grid(state, this.outbox, this.labelling);
    this.progress = new Progress(state, this.outbox, this.labelling, () => {
      this.grid.group = "near";
      this.grid.offset = 0;
      this.go("grid");
    });
    this.status = new Status(state, () => this.shownImages(), (status, begun) => this.statusChanged(status, begun));
    this.addListeners();
    this.showView();
    this.outbox.retry();
  }

  addListeners() {
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("click", (event) => dropFocus(event));
    addEventListener("hashchange", () => this.showView());
    byId("open-help").addEventListener("click", () => openHelp(this.state));
    byId("open-settings").addEventListener("click", () => openSettings(this.state));
    byId("annotator").addEventListener("click", () => openAnnotator(this.state));
    byId("add-class").addEventListener("click", () => addClass(this.state));
    byId("edit-classes").addEventListener("click", () => editClasses(this.state, () => this.labelling.deck.current?.card ?? null));
    byId("to-image").addEventListener("click", (event) => this.skipTo(event, this.firstImage()));
    byId("to-answers").addEventListener("click", (event) => this.skipTo(event, this.firstAnswer()));
    const name = () => { byId("annotator").textContent = this.state.annotator; };
    this.state.addEventListener("change", name);
    this.state.addEventListener("annotator", () => { if (this.view === "grid") this.grid.enter(); });
    name();
  }

  /** A link at the top of the page: move the focus past what comes before an element. */
  skipTo(event, element) {
    event.preventDefault();
    element?.scrollIntoView({ block: "nearest" });
    element?.focus({ preventScroll: true });
  }

  firstImage() {
    if (this.view === "label") return this.labelling.finish.shown ? byId("finish-title") : byId("stage");
    return first(this.view === "grid" ? [".tile[tabindex='0']"] : [".suspect", "#view-progress .thumb"]);
  }

  firstAnswer() {
    if (this.view === "label" && this.labelling.finish.shown) return first(["#finish button"]);
    return first({
      label: ["#class-buttons button", "#add-class"], grid: [".grid-class"], progress: [".suspect button", "#view-progress .thumb"],
    }[this.view]);
  }

  /** Show the view that the address names. */
  showView() {
    const wanted = location.hash.slice(1);
    const before = this.view;
    this.view = VIEWS.includes(wanted) ? wanted : "label";
    for (const view of VIEWS) {
      byId(`view-${view}`).hidden = view !== this.view;
      if (view === this.view) byId(`tab-${view}`).setAttribute("aria-current", "page");
      else byId(`tab-${view}`).removeAttribute("aria-current");
    }
    document.body.dataset.view = this.view;
    if (this.view === "grid") {
      this.grid.enter();
      if (this.labelling.spent) tell("The budget is spent: further labels exceed it.");
    }
    if (this.view === "progress") this.progress.enter();
    if (this.view === "label") this.labelling.enter();
    if (before === "grid" && this.view !== "grid") {
      this.grid.leases.leave();
      this.status.poll();
    }
  }

  /** The images this page shows or is about to show; the server renews their leases. */
  async shownImages() {
    const { deck } = this.labelling;
    const tab = await deck.tab;
    const tiles = this.grid.leases.ids();
    return { tab, holding: deck.unanswered().join(","), ...(tiles ? { tiles: tiles.join(",") } : {}) };
  }

  go(view) {
    location.hash = this.view === view ? "label" : view;
  }

  key(event) {
    if (dialogOpen() || belongsToFocus(event)) return;
    // With shortcuts switched off, arrows, Space and Escape still work in the element that has the focus.
    const on = this.state.settings.shortcuts_on || event.ctrlKey || event.metaKey;
    const character = event.key.length === 1 && event.key !== " ";
    if ((on || !character) && this.current.handleKey(event)) {
      event.preventDefault();
      return;
    }
    const command = on ? this.state.keys.lookup(event) : null;
    if (!command) {
      if (on) this.unknownKey(event);
      return;
    }
    event.preventDefault();
    if (!event.repeat && this.act(command, event.timeStamp) === false) tell(`Key ${keyName(event)} does nothing in this view.`);
  }

  /** Say that a key has no meaning; keys that write nothing and key combinations belong to the browser. */
  unknownKey(event) {
    if (event.repeat || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
    const help = shown(this.state.keys.forAction("help"));
    tell(`Key ${keyName(event)} has no class. ${help ? `Press ${help} for keys.` : "The Help button lists the keys."}`);
  }

  /** Carry out a command; false if the view on screen has no use for it. */
  act(command, at) {
    const { action } = command;
    if (action === "help") openHelp(this.state);
    else if (action === "grid" || action === "progress") this.go(action);
    else if (action === "guide") this.guide();
    else if (this.view === "label" && action === "search") this.panel.search.open();
    else return this.current.act(command, at);
    return true;
  }

  /** The view on screen. */
  get current() {
    return { label: this.labelling, grid: this.grid, progress: this.progress }[this.view];
  }

  guide() {
    const guide = byId("guide");
    guide.open = !guide.open;
    if (guide.open && this.view === "label") guide.scrollIntoView({ block: "nearest" });
  }

  /** The number of unsaved answers; shown after a moment only, because most are saved at once. */
  unsaved({ waiting, error }) {
    const badge = byId("unsaved");
    badge.dataset.waiting = waiting;
    badge.textContent = `${waiting} not yet saved`;
    badge.classList.toggle("stuck", error !== null);
    badge.title = error ? error.message : "";
    if (!waiting) {
      clearTimeout(this.late);
      this.late = 0;
      badge.hidden = true;
    } else if (error) badge.hidden = false;
    else this.late ||= setTimeout(() => { badge.hidden = badge.dataset.waiting === "0"; }, UNSAVED_AFTER);
    if (error && error.status && !error.temporary) warn(`${error.problem} ${error.hint ?? ""}`, 0);
  }

  saved(events, { receipts, refused, counts }) {
    if (counts) this.state.project.counts = counts;
    this.savedAt = performance.now();
    this.labelling.acknowledge(events, receipts);
    this.grid.acknowledge(events, receipts);
    const changed = refused.filter((each) => each.reason === "label changed");
    if (changed.length) {
      warn(`${counted(changed.length, "answer was", "answers were")} refused: another label was given meanwhile, which stays.`);
      this.labelling.history.drop(new Set(changed.map(({ key }) => key)));
      this.grid.reload();
    }
    for (const each of refused) if (!changed.includes(each)) warn(`An answer was refused: ${each.problem} ${each.hint}`);
    this.labelling.countsChanged();
    afterPaint(() => this.status.poll());
  }

  statusChanged(status, begun) {
    // A request from before the last answers were saved may not know them.
    if (begun > this.savedAt) this.state.project.counts = status.counts;
    if (status.suggestions !== this.state.suggestions || status.search !== this.state.searchable) {
      this.state.suggestions = status.suggestions;
      this.state.searchable = status.search;
      this.state.notify();
    }
    if (status.revision !== this.state.project.revision) this.state.reload().catch(() => {});
    this.labelling.statusChanged(status);
    this.progress.statusChanged(status, this.view === "progress");
    if (this.outbox.error) this.outbox.retry();
  }
}

/** The first element of the first selector that has one. */
function first(selectors) {
  return selectors.map((each) => document.querySelector(each)).find((each) => each) ?? null;
}

/** The key of an event as it is named in a sentence. */
function keyName(event) {
  const key = keyOf(event);
  return key.length === 1 && key !== " " ? key : shown(key);
}

/** After a mouse click a button loses the focus: Space and Enter are keys of the view again. */
function dropFocus(event) {
  const pressed = event.detail > 0 && event.target instanceof Element && event.target.closest("button, a, summary");
  if (pressed && pressed === document.activeElement && !dialogOpen()) pressed.blur();
}

State.load().then(
  (state) => new Page(state),
  (error) => {
    document.body.append(make("p", { class: "alert" }, `${error.message} ${error.hint ?? ""}`));
    announce(error.message);
  },
);
