// The status bar: the budget, the pace, the time left, the estimate, what the trainer does.

import { get } from "./api.js";
import { byId, counted, fill, make, percent } from "./dom.js";
import { showMissingClasses } from "./finish.js";

const POLL_MILLISECONDS = 2000;
const FIRST_MILLISECONDS = 500;  // while the first query or the first model is awaited
const LATE = "Some images joined it later, drawn from those without an answer. If the difficult images had been queried before, the accuracy is too high.";

export class Status {
  /**
   * @param shownImages a function that resolves to the images on this page, whose leases are renewed.
   * @param statusChanged called with every new status and the time of its request.
   */
  constructor(state, shownImages, statusChanged) {
    this.state = state;
    this.shownImages = shownImages;
    this.statusChanged = statusChanged;
    this.changes = 0;
    this.reached = true;
    // Sticky elements and scroll targets stay below the bar, however many lines it has.
    new ResizeObserver(([{ target }]) =>
      document.documentElement.style.setProperty("--status-height", `${target.offsetHeight}px`)).observe(byId("status"));
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.poll(); });
    state.addEventListener("annotator", () => this.poll());
    this.poll();
  }

  async poll() {
    clearTimeout(this.timer);
    if (!document.hidden) {
      const begun = performance.now();
      try {
        const status = await get("/api/status", { ...await this.shownImages(), since: this.changes, annotator: this.state.annotator });
        this.reached = true;
        this.awaiting = status.model === null && ["reading", "choosing", "training", "idle"].includes(status.training.phase);
        this.changes = status.changes;
        this.draw(status);
        this.statusChanged(status, begun);
      } catch (error) {
        this.reached = false;
        this.showError(error);
      }
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), this.awaiting ? FIRST_MILLISECONDS : POLL_MILLISECONDS);
  }

  showError(error) {
    fill(byId("model"), make("span", { class: "error" }, error.status === 401 ? `${error.problem} ${error.hint}` : "The server cannot be reached."));
  }

  draw(status) {
    const { counts, pace, training, estimate, advice } = status;
    this.drawBudget(counts, status.budget ?? status.images);
    const [value, unit] = counted(Math.round(pace.labels_per_minute), "label").split(" ");
    figure("pace", value, `${unit} a minute`, timeLeft(pace, status));
    if (estimate) {
      const range = `${percent(estimate.low)}–${percent(estimate.high)} %`;
      const late = estimate.late ? `, ${estimate.late} of them added late: may be too high` : "";
      figure("estimate", `${percent(estimate.accuracy)} %`, "accuracy", `${range}, on ${counted(estimate.count, "image")}${late}`);
      byId("estimate").title = "Estimated on the estimate set: images drawn at random that are never trained on. The range is the exact 95 % confidence interval."
        + (late ? ` ${LATE}` : "");
    } else {
      figure("estimate", "–", "accuracy", "not estimated yet");
    }
    this.drawModel(training, status.queue_left);
    byId("model").title = training.message;
    this.drawAdvice(advice, training.message);
    showMissingClasses(byId("missing-classes"), this.state, status.estimate_missing);
  }

  /** The advice; in a small window also the trainer's message, which has no room above. */
  drawAdvice(advice, message) {
    const element = byId("advice");
    fill(element, advice ? `${advice.sentence} ` : null, make("span", { class: "message" }, message));
    element.classList.toggle("empty", !advice);
    element.hidden = !advice && !message;
  }

  drawBudget(counts, budget) {
    const bar = byId("budget-bar");
    bar.max = Math.max(1, budget);
    bar.value = Math.min(counts.labelled, budget);
    byId("budget-text").title = [[counts.skipped, "skipped"], [counts.unsure, "unsure"], [counts.bad, "bad"], [counts.none, "none of these"], [counts.conflicts, "with disagreement"]]
      .filter(([count]) => count).map(([count, words]) => `${count} ${words}`).join(", ");
    fill(byId("budget-text"), make("strong", {}, `${counts.labelled} / ${budget}`), " labelled");
  }

  drawModel(training, queueLeft) {
    const round = training.round === null ? "" : ` round ${training.round}`;
    const words = {
      idle: "Waiting for labels", reading: "Reading the images", training: `Training${round}`, choosing: "Choosing the next query",
      failed: "Training failed", off: "Training is off",
    }[training.phase];
    const share = `${percent(training.fraction)} %`;
    const busy = ["reading", "training", "choosing"].includes(training.phase);
    fill(
      byId("model"),
      make("span", { class: `lamp ${training.phase}`, "aria-hidden": "true" }),
      make("span", {}, busy ? `${words}, ${share}` : words),
      busy ? null : make("span", { class: "quiet message" }, training.message || counted(queueLeft, "queried image left", "queried images left")),
    );
  }
}

function figure(id, value, unit, rest) {
  fill(byId(id), make("strong", {}, value), ` ${unit}`, rest ? make("span", { class: "quiet" }, ` · ${rest}`) : null);
}

/** How long this round and the whole budget take at the present pace, or that nothing is left. */
function timeLeft({ left, seconds_left: all, round_seconds_left: round }, { budget, counts, queue_left: waiting }) {
  if (budget !== null && counts.labelled >= budget) return "the budget is spent";
  if (!left) return "every image is answered";
  if (all === null) return "";
  const whole = `${duration(all)} for ${budget === null ? "all images" : "the budget"}`;
  return waiting && round < all ? `${duration(round)} for this round, ${whole}` : whole;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
