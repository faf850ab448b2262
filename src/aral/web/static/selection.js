// Which tiles of the grid are selected, by mouse and by keyboard.

export class Selection {
  /** @param counted called with the number of selected tiles after every change. */
  constructor(counted) {
    this.counted = counted;
    this.columns = 6;
    this.tiles = [];
    this.selected = new Set();
    this.anchor = 0;
    this.at = 0;
  }

  /** Begin anew with other tiles: [{element, …}]. */
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

  /** Move the focus; only one tile takes part in the order of Tab. */
  move(index) {
    if (!this.tiles[index]) return false;
    if (this.current) this.current.element.tabIndex = -1;
    this.at = index;
    this.current.element.tabIndex = 0;
    this.current.element.focus();
    return true;
  }

  /** Arrow keys, Space, Home, End, Ctrl A, Escape. Gives whether the key was one of them. */
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
