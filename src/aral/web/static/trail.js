// The last answers as a strip of small pictures: what was just done stays in sight, a press goes back to it.

import { byId, fill, make } from "./dom.js";

const LENGTH = 12;

const identity = (answer) => answer.key ?? answer.seq;

export class Trail {
  constructor(state, past, open) {
    this.state = state;
    this.past = past;
    this.open = open;
    this.place = byId("trail");
    this.known = new Map();
  }

  draw() {
    const items = this.past.newest(LENGTH);
    const drawn = items.map((item) => this.item(item));
    this.known = new Map(items.map((item, index) => [identity(item.answer), drawn[index]]));
    fill(this.place, ...drawn);
  }

  item({ card, answer }) {
    const words = this.state.words(answer);
    const before = this.known.get(identity(answer));
    if (before?.dataset.words === words) return before;
    const image = make("img", { src: card.thumbnail, alt: "", width: 56, height: 56 });
    const label = make("span", { class: "trail-label" }, words);
    const press = make(
      "button",
      {
        type: "button", class: "trail-item", title: card.name, "aria-label": `${card.name}: ${words}. Look at it again`,
        on: { click: (event) => this.open(card, answer, event) },
      },
      image, label,
    );
    if (answer.action === "class") label.dataset.colour = this.state.colour(answer.class_id);
    const item = make("li", {}, press);
    item.dataset.words = words;
    return item;
  }
}
