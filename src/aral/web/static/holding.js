// What a tab's grid has on screen, as it is told to the server, which keeps it from others meanwhile.

export class Holding {
  constructor() {
    this.onScreen = false;
    this.tiles = null;  // null: nothing that the server does not know
  }

  enter() {
    this.onScreen = true;
    this.tiles = null;
  }

  leave() {
    this.onScreen = false;
    this.tiles = [];
  }

  /** A page of the grid is on its way: the server leases it, and ends the leases of the one before. */
  wait() {
    this.tiles = null;
  }

  /** These tiles are on screen, or would be if the view had not been left. */
  show(tiles) {
    this.tiles = this.onScreen ? tiles : [];
  }

  /** Ids of the tiles without an answer; null when there is nothing to tell. That the view was left is told once. */
  ids() {
    const { tiles } = this;
    if (!this.onScreen) this.tiles = null;
    return tiles && tiles.filter(({ element }) => !element.classList.contains("answered")).map(({ cell }) => cell.image_id);
  }
}
