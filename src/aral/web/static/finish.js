// What comes after the last label: when the model is there, the export, a review of the labels, a larger budget. Also
// the notice that the estimate set has no image of a class.

import { post } from "./api.js";
import { attempt } from "./dialogs.js";
import { button, byId, counted, fill, make, percent, tell } from "./dom.js";

const MORE_ESTIMATE_IMAGES = 20;
const MOST_ADDED = 10_000_000;

/** The card that is shown instead of an image when the budget is spent or every image has an answer. */
export class FinishCard {
  /** @param review called when the annotator wants to look through their answers. */
  constructor(state, review) {
    this.state = state;
    this.review = review;
    this.element = byId("finish");
    this.drawn = "";
  }

  get shown() {
    return !this.element.hidden;
  }

  hide() {
    this.element.hidden = true;
    byId("view-label").classList.remove("finished");
  }

  /** Show it; `status` is the server's newest. The focus moves to it if it was in the view or nowhere. */
  show(status) {
    const before = this.shown;
    this.element.hidden = false;
    byId("view-label").classList.add("finished");
    const { finish, images, counts, estimate, estimate_missing: missing, training, advice, model } = status;
    const content = JSON.stringify([finish, images, counts.labelled, estimate, missing, training.phase, advice, model]);
    const { activeElement } = document;
    const onTitle = activeElement?.id === "finish-title";
    // Not drawn again while its form or a button has the focus: a number that is being typed stays.
    if (content !== this.drawn && (onTitle || !this.element.contains(activeElement))) {
      this.drawn = content;
      this.draw(status);
      if (onTitle) byId("finish-title").focus({ preventScroll: true });
    }
    if (before) return;
    if (activeElement === document.body || byId("view-label").contains(activeElement)) {
      byId("finish-title").focus({ preventScroll: true });
    } else tell(byId("finish-title").textContent);
  }

  draw(status) {
    const { finish } = status;
    fill(this.element,
      make("h2", { id: "finish-title", tabIndex: -1 }, finish ? "The budget is spent" : "Every image has an answer"),
      make("p", {}, finish ? `${finish.labels} of ${counted(finish.budget, "label")} given.` : `${counted(status.counts.labelled, "image has", "images have")} a label.`,
        ` ${modelSentence(finish, status)}`),
      accuracy(status.estimate),
      missingClasses(this.state, status.estimate_missing),
      finish ? part("Add to the budget", this.budgetForm(status)) : null,
      part("Review", make("div", { class: "row" },
        button("Look through your answers", () => this.review()),
        button("Check labels and figures", () => { location.hash = "progress"; }))),
      part("Export", make("p", {}, "Labels, classifier and report are written by this command:"), command(this.state.project.export_command)));
  }

  budgetForm({ finish, advice }) {
    const error = make("p", { class: "error", role: "alert", hidden: true });
    const input = make("input", { type: "number", min: 1, max: MOST_ADDED, step: 1, required: true, inputMode: "numeric",
      value: String(Math.max(10, 10 * Math.round(finish.budget / 40))) });
    const form = make("form", { class: "row" }, make("label", { class: "row" }, "Labels to add", input),
      make("button", { type: "submit", class: "main" }, "Add and go on"), error);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(error, async () => {
        const add = Number(input.value);
        this.state.take(await post("/api/budget", { add }));
        byId("stage").focus({ preventScroll: true });
        this.state.notify();
        tell(`${counted(add, "label was", "labels were")} added to the budget.`);
      });
    });
    return make("div", {}, advice ? make("p", { class: "quiet" }, advice.sentence) : null, form);
  }
}

/** When a model that has learned from all labels is ready. */
function modelSentence(finish, { training, model }) {
  const newest = finish?.model_round ?? null;
  if (!finish) return model === null ? "There is no model yet." : "";
  const present = newest === null ? "There is no model yet." : `The newest model is that of round ${newest}.`;
  if (training.phase === "off" || training.phase === "failed") {
    const learned = finish.minutes_left === 0 ? " It has learned from all labels." : "";
    return `${present}${learned} ${training.phase === "off" ? "Training is off." : `Training failed: ${training.message}`}`;
  }
  if (finish.minutes_left === null) return `${present} How long the next one takes is not known yet.`;
  if (finish.minutes_left === 0 && training.phase === "idle") return `${present} It has learned from all labels.`;
  const minutes = Math.ceil(finish.minutes_left);
  return `The model that learns from all labels is ready in ${minutes > 1 ? `about ${minutes} minutes` : "about a minute"}. ${present}`;
}

function accuracy(estimate) {
  if (!estimate) return null;
  return make("p", {}, "Accuracy ", make("strong", {}, `${percent(estimate.accuracy)} %`),
    ` (95 % confidence interval ${percent(estimate.low)}–${percent(estimate.high)} %, on ${counted(estimate.count, "image")} of the estimate set).`);
}

function part(title, ...body) {
  return make("section", {}, make("h3", {}, title), ...body);
}

/** A command for the terminal, with a button that copies it. */
function command(text) {
  const code = make("code", {}, text);
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell("The command was copied.");
    } catch {
      getSelection().selectAllChildren(code);
      tell("The command is selected: copy it with Ctrl C.");
    }
  }, { class: "plain", "aria-label": "Copy the command" });
  return make("div", { class: "command" }, code, copy);
}

/** Show in an element which classes the estimate set lacks; drawn again only when they change, for the button's focus. */
export function showMissingClasses(element, state, names) {
  const content = names.join("\n");
  if (element.dataset.names === content) return;
  element.dataset.names = content;
  fill(element, missingClasses(state, names));
}

/** The classes that the estimate set lacks, with a button that draws more images for it; null if there are none. */
function missingClasses(state, names) {
  if (!names?.length) return null;
  const error = make("p", { class: "error", role: "alert", hidden: true });
  const draw = button(`Draw ${counted(MORE_ESTIMATE_IMAGES, "more image")}`, () => attempt(error, async () => {
    draw.disabled = true;
    try {
      const project = await post("/api/estimate/more", { add: MORE_ESTIMATE_IMAGES });
      tell(`${counted(project.drawn, "image was", "images were")} drawn for the estimate set. Label them next.`);
      state.take(project);
      state.notify();
    } finally {
      draw.disabled = false;
    }
  }));
  return make("div", { class: "missing-classes" },
    make("p", {}, "The estimate set has no image of ", make("strong", {}, names.join(", ")), ": the accuracy says nothing about ",
      names.length === 1 ? "this class." : "these classes."),
    draw, error);
}
