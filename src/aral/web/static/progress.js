// The progress view: how good the classifier is, where it errs, and which labels deserve a second look.

import { get } from "./api.js";
import { asCard } from "./deck.js";
import { button, byId, counted, fill, make, warn } from "./dom.js";
import { classTable, confusionTable } from "./figures.js";
import { curve } from "./curve.js";
import { Doubts } from "./doubts.js";

const AGAIN = 20_000;

export class Progress {
  /** @param openNear shows the near-duplicates in the grid. */
  constructor(state, outbox, labelling, openNear) {
    this.state = state;
    this.labelling = labelling;
    this.openNear = openNear;
    this.doubts = new Doubts(state, outbox, labelling);
    this.changes = null;
    this.readAt = 0;
  }

  enter() {
    this.read();
  }

  /** A new status came while this view is on screen: read again, but not all the time. */
  noticed(status) {
    if (status.changes !== this.changes && performance.now() - this.readAt > AGAIN) this.read(status.changes);
  }

  async read(changes = null) {
    this.readAt = performance.now();
    this.changes = changes;
    try {
      this.draw(await get("/api/round"), (await get("/api/disagreements")).disagreements);
    } catch (trouble) {
      warn(`${trouble.message} ${trouble.hint ?? ""}`);
    }
  }

  ownKey() {
    return false;
  }

  act(meaning) {
    if (this.doubts.act(meaning)) return;
    if (meaning.action === "undo") this.labelling.undo().then(() => this.read());
  }

  draw(round, conflicts) {
    const { model } = round;
    this.doubts.show(round.suspects);
    fill(byId("view-progress"),
      column(
        section("Learning curve", round.curve.length ? curve(round.curve) : quiet("The first point comes with the first model."),
          quiet("Measured on images drawn at random that are never trained on. Images that the model chose to ask about are no fair sample, so they are not counted here.")),
        model?.per_class.length ? section("Each class", classTable(this.state, model)) : null,
        section("What each class looks like", ...this.gallery(round.gallery)),
        round.near.count ? section(`Near-duplicates · ${counted(round.near.count, "group")}`, this.near(round.near)) : null),
      column(
        model ? section("Labels worth a second look", this.doubts.place) : null,
        model?.confusion.length ? section("What is taken for what", confusionTable(this.state, model)) : null,
        conflicts.length ? section("People disagree", ...conflicts.map((each) => this.conflict(each))) : null,
        this.people(round),
        round.generated === null ? null : section("Images the model made up", make("img", { class: "generated", src: `/generated/${round.generated}`, alt: "Generated images" })),
        this.counts(),
        round.unreadable.count ? this.unreadable(round.unreadable) : null));
  }

  counts() {
    const { counts } = this.state.project;
    const rows = [["For training", counts.for_training], ["For measuring", counts.for_estimate], ["Skipped", counts.skipped], ["Unsure", counts.unsure],
      ["Bad image", counts.bad], ["None of these", counts.none], ["In conflict", counts.conflicts]];
    return section("Answers so far", make("dl", { class: "counts" },
      ...rows.map(([words, count]) => make("div", {}, make("dt", {}, words), make("dd", {}, String(count))))));
  }

  gallery(groups) {
    return groups.map((group) => make("div", { class: "gallery" },
      make("h3", {}, `${this.state.byId.get(group.class_id)?.name ?? "?"} · ${group.count}`),
      group.cells.length ? this.thumbs(group.cells, { action: "class", class_id: group.class_id }) : quiet("No image yet.")));
  }

  /** @param answer what the images are known to be, if they all are the same. */
  thumbs(cells, answer = null) {
    return make("ul", { class: "thumbs" }, ...cells.map((cell) => make("li", {}, make("button", {
      type: "button", class: "thumb", title: cell.name, "aria-label": `Look at ${cell.name}`,
      on: { click: () => this.look(cell, answer) },
    }, make("img", { src: cell.thumbnail, alt: "", width: 72, height: 72, loading: "lazy" })))));
  }

  look(cell, answer) {
    const own = this.labelling.past.newest(Infinity).find(({ card }) => card.image_id === cell.image_id);
    this.labelling.open(asCard(cell), own?.answer ?? answer);
    location.hash = "label";
  }

  conflict(each) {
    const votes = each.votes.map((vote) => `${vote.annotator}: ${this.state.words(vote)}`).join(" · ");
    return make("div", { class: "row" }, this.thumbs([each]), make("p", {}, votes));
  }

  people({ agreement, anchoring }) {
    const parts = [];
    if (agreement.images) {
      const kappa = agreement.kappa === null ? "" : ` ${agreement.measure === "cohen" ? "Cohen's" : "Fleiss'"} kappa ${agreement.kappa.toFixed(2)}.`;
      parts.push(make("p", {}, `${counted(agreement.images, "image was", "images were")} answered by more than one of ${agreement.annotators} people, who agree on ${Math.round(100 * agreement.equal)} % of them.${kappa}`));
    }
    if (anchoring.hidden && anchoring.shown) {
      const share = (equal, all) => `${Math.round(100 * equal / all)} % of ${counted(all, "image")}`;
      parts.push(make("p", {}, `The answer equals the suggestion in ${share(anchoring.shown_equal, anchoring.shown)} where it was shown, and in ${share(anchoring.hidden_equal, anchoring.hidden)} where it was withheld at random. A much larger first share means that suggestions pull.`));
    }
    return parts.length ? section("People", ...parts) : null;
  }

  near({ groups }) {
    const open = button("Open them in the grid", () => this.openNear(), { class: "plain" });
    return make("div", {}, ...groups.slice(0, 6).map((cells) => this.thumbs(cells)), open);
  }

  unreadable({ count, files }) {
    return section(`Files left out · ${count}`, make("details", {}, make("summary", {}, "Which, and why"),
      make("ul", { class: "files" }, ...files.map((file) => make("li", {}, make("strong", {}, file.path), ` ${file.detail || file.reason}`))),
      count > files.length ? quiet(`${count - files.length} more are not shown here.`) : null,
      quiet("All of them, with their reasons, are in unreadable.csv of aral export and in aral status --json.")));
  }
}

function column(...sections) {
  return make("div", { class: "column" }, ...sections);
}

function section(title, ...body) {
  return make("section", { class: "card" }, make("h2", {}, title), ...body);
}

function quiet(words) {
  return make("p", { class: "quiet" }, words);
}
