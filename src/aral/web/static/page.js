// The page: brings the parts together and gives each key to the view that is on screen.

import { afterPaint, byId, make, speak, warn } from "./dom.js";
import { belongsToFocus } from "./keys.js";
import { addClass, editClasses } from "./class_dialog.js";
import { dialogOpen } from "./dialogs.js";
import { Grid } from "./grid.js";
import { Labelling } from "./labelling.js";
import { openHelp } from "./help.js";
import { openPerson, openSettings } from "./settings.js";
import { Outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import { Progress } from "./progress.js";
import { State } from "./state.js";
import { Status } from "./status.js";

const VIEWS = ["label", "grid", "progress"];
const PATIENCE = 700;

class Page {
  constructor(state) {
    this.state = state;
    this.late = 0;
    this.outbox = new Outbox(state.key, (news) => this.unsaved(news), (events, answer) => this.saved(events, answer));
    this.panel = new Panel(state, (meaning, at) => this.act(meaning, at));
    this.labelling = new Labelling(state, this.outbox, this.panel);
    this.grid = new Grid(state, this.outbox, this.labelling);
    this.progress = new Progress(state, this.outbox, this.labelling, () => {
      this.grid.group = "near";
      this.grid.offset = 0;
      this.go("grid");
    });
    this.status = new Status(state, () => this.held(), (status) => this.noticed(status));
    this.wire();
    this.turn();
    this.outbox.hurry();
  }

  wire() {
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("click", (event) => letGo(event));
    addEventListener("hashchange", () => this.turn());
    byId("open-help").addEventListener("click", () => openHelp(this.state));
    byId("open-settings").addEventListener("click", () => openSettings(this.state));
    byId("person").addEventListener("click", () => openPerson(this.state));
    byId("add-class").addEventListener("click", () => addClass(this.state));
    byId("edit-classes").addEventListener("click", () => editClasses(this.state, () => this.labelling.deck.current?.card ?? null));
    const name = () => { byId("person").textContent = this.state.person; };
    this.state.addEventListener("change", name);
    this.state.addEventListener("person", () => { if (this.view === "grid") this.grid.enter(); });
    name();
  }

  /** Show the view that the address names. */
  turn() {
    const wanted = location.hash.slice(1);
    const before = this.view;
    this.view = VIEWS.includes(wanted) ? wanted : "label";
    for (const view of VIEWS) {
      byId(`view-${view}`).hidden = view !== this.view;
      if (view === this.view) byId(`tab-${view}`).setAttribute("aria-current", "page");
      else byId(`tab-${view}`).removeAttribute("aria-current");
    }
    document.body.dataset.view = this.view;
    if (this.view === "grid") this.grid.enter();
    if (this.view === "progress") this.progress.enter();
    if (this.view === "label") this.labelling.enter();
    if (before === "grid" && this.view !== "grid") {
      this.grid.holding.leave();
      this.status.poll();
    }
  }

  /** Which images this page shows or is about to show; the server keeps them from others. */
  async held() {
    const { deck } = this.labelling;
    const tab = await deck.tab;
    const tiles = this.grid.holding.ids();
    return { tab, holding: deck.held().join(","), ...(tiles ? { tiles: tiles.join(",") } : {}) };
  }

  go(view) {
    location.hash = this.view === view ? "label" : view;
  }

  key(event) {
    if (dialogOpen() || belongsToFocus(event)) return;
    // Switched off, no single key acts; arrows, Space and Escape still move about in what has the focus.
    const on = this.state.settings.shortcuts_on || event.ctrlKey || event.metaKey;
    const character = event.key.length === 1 && event.key !== " ";
    if ((on || !character) && this.current.ownKey(event)) {
      event.preventDefault();
      return;
    }
    const meaning = on ? this.state.keys.lookup(event) : null;
    if (!meaning) return;
    event.preventDefault();
    if (!event.repeat) this.act(meaning, event.timeStamp);
  }

  act(meaning, at) {
    const { action } = meaning;
    if (action === "help") openHelp(this.state);
    else if (action === "grid" || action === "progress") this.go(action);
    else if (action === "guide") this.guide();
    else if (this.view === "label" && action === "search") this.panel.chooser.open();
    else this.current.act(meaning, at);
  }

  /** The part that fills the screen. */
  get current() {
    return { label: this.labelling, grid: this.grid, progress: this.progress }[this.view];
  }

  guide() {
    const guide = byId("guide");
    guide.open = !guide.open;
    if (guide.open && this.view === "label") guide.scrollIntoView({ block: "nearest" });
  }

  /** The badge that says how many answers are not saved yet; not for those that only just were given. */
  unsaved({ waiting, trouble }) {
    const badge = byId("unsaved");
    badge.dataset.waiting = waiting;
    badge.textContent = `${waiting} not yet saved`;
    badge.classList.toggle("stuck", trouble !== null);
    badge.title = trouble ? trouble.message : "";
    if (!waiting) {
      clearTimeout(this.late);
      this.late = 0;
      badge.hidden = true;
    } else if (trouble) badge.hidden = false;
    else this.late ||= setTimeout(() => { badge.hidden = badge.dataset.waiting === "0"; }, PATIENCE);
    if (trouble && trouble.status && !trouble.passing) warn(`${trouble.problem} ${trouble.hint ?? ""}`, 0);
  }

  saved(events, { receipts, refused }) {
    this.labelling.acknowledge(events, receipts);
    for (const each of refused) warn(`An answer was refused: ${each.problem} ${each.hint}`);
    afterPaint(() => this.status.poll());
  }

  noticed(status) {
    this.state.project.counts = status.counts;
    if (status.model !== this.state.model) {
      this.state.model = status.model;
      this.state.tell();
    }
    if (status.revision !== this.state.project.revision) this.state.reload().catch(() => {});
    this.labelling.deck.refill();
    if (this.view === "progress") this.progress.noticed(status);
    if (this.outbox.trouble) this.outbox.hurry();
  }
}

/** After a press by mouse a button gives up the focus: Space and Enter are keys of the view again. */
function letGo(event) {
  const pressed = event.detail > 0 && event.target instanceof Element && event.target.closest("button, a, summary");
  if (pressed && pressed === document.activeElement && !dialogOpen()) pressed.blur();
}

State.load().then(
  (state) => new Page(state),
  (trouble) => {
    document.body.append(make("p", { class: "alert" }, `${trouble.message} ${trouble.hint ?? ""}`));
    speak(trouble.message);
  },
);
