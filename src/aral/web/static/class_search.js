// Find a class by its name, for projects with more classes than keys.

import { byId, fill, make } from "./dom.js";

const SHOWN = 8;

export class ClassSearch {
  /**
   * @param container the element it fills; it is hidden while the box is closed.
   * @param choose called with (class id, time) when a class was picked.
   */
  constructor(state, container, choose) {
    this.state = state;
    this.container = container;
    this.choose = choose;
    this.matches = [];
    this.active = 0;
    this.fixed = false;
    this.input = make("input", {
      type: "text", role: "combobox", placeholder: "Type a class …  ( / )", autocomplete: "off",
      "aria-label": "Find a class by name", "aria-expanded": "false", "aria-controls": `${container.id}-list`,
      "aria-autocomplete": "list", spellcheck: false,
      on: {
        input: () => this.search(),
        keydown: (event) => this.key(event),
        blur: () => setTimeout(() => this.close(), 150),
      },
    });
    this.list = make("ul", { id: `${container.id}-list`, role: "listbox", "aria-label": "Classes that match", hidden: true });
    fill(this.container, this.input, this.list);
    this.pinned = false;
  }

  /** Whether the box is always visible. */
  set pinned(value) {
    this.fixed = value;
    this.container.hidden = !value;
  }

  open() {
    this.container.hidden = false;
    this.input.value = "";
    this.input.focus();
    this.search();
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    if (!this.fixed) this.container.hidden = true;
  }

  /** Classes whose name begins with the text, then those with a word that does, then those that contain it. */
  search() {
    const text = this.input.value.trim().toLowerCase();
    const rank = (name) => name.startsWith(text) ? 0 : name.includes(` ${text}`) ? 1 : name.includes(text) ? 2 : 3;
    this.matches = this.state.classes
      .map((each, order) => ({ each, order, rank: rank(each.name.toLowerCase()) }))
      .filter((match) => match.rank < 3)
      .sort((a, b) => a.rank - b.rank || a.order - b.order)
      .slice(0, SHOWN)
      .map((match) => match.each);
    this.active = 0;
    this.draw();
  }

  draw() {
    fill(this.list, ...this.matches.map((each, index) => make(
      "li",
      {
        role: "option", id: this.optionId(each), "aria-selected": String(index === this.active),
        on: { pointerdown: (event) => { event.preventDefault(); this.pick(index, event.timeStamp); } },
      },
      each.name,
    )));
    if (!this.matches.length) fill(this.list, make("li", { role: "option", "aria-selected": "false", "aria-disabled": "true" }, "No class has that name."));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    const active = this.matches[this.active];
    if (active) this.input.setAttribute("aria-activedescendant", this.optionId(active));
    else this.input.removeAttribute("aria-activedescendant");
  }

  optionId(each) {
    return `${this.container.id}-${each.id}`;
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const count = this.matches.length || 1;
      this.active = (this.active + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
      this.draw();
    } else if (event.key === "Enter" && !event.repeat) {
      event.preventDefault();
      this.pick(this.active, event.timeStamp);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.leave();
    }
  }

  pick(index, at) {
    const picked = this.matches[index];
    if (!picked) return;
    // A box that is always open keeps the focus: the next name can be typed at once.
    if (this.fixed && document.activeElement === this.input) this.input.value = "";
    else this.leave();
    this.choose(picked.id, at);
    this.list.hidden = true;
  }

  leave() {
    this.input.value = "";
    this.close();
    byId("stage").focus({ preventScroll: true });
  }
}
