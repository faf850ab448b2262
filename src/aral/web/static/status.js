// What is always in sight: the budget, the pace, the time left, the estimate, what the model does.

import { get } from "./api.js";
import { byId, counted, fill, make } from "./dom.js";

const EVERY = 2000;
const LATE = "Some came in later, drawn from what had no answer yet: if the difficult images had been chosen already, the accuracy is too high.";

export class Status {
  /**
   * @param held a function that resolves to what this page shows: nobody else is to get it meanwhile.
   * @param noticed called with every new status.
   */
  constructor(state, held, noticed) {
    this.state = state;
    this.held = held;
    this.noticed = noticed;
    this.changes = 0;
    this.reached = true;
    // What stays on top below it, and what is scrolled to, keeps clear of it, however many lines it takes.
    new ResizeObserver(([{ target }]) =>
      document.documentElement.style.setProperty("--status-height", `${target.offsetHeight}px`)).observe(byId("status"));
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.poll(); });
    state.addEventListener("person", () => this.poll());
    this.poll();
  }

  async poll() {
    clearTimeout(this.timer);
    if (!document.hidden) {
      try {
        const status = await get("/api/status", { ...await this.held(), since: this.changes, annotator: this.state.person });
        this.reached = true;
        this.changes = status.changes;
        this.draw(status);
        this.noticed(status);
      } catch (trouble) {
        this.reached = false;
        this.drawTrouble(trouble);
      }
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), EVERY);
  }

  drawTrouble(trouble) {
    fill(byId("model"), make("span", { class: "trouble" }, trouble.status === 401 ? `${trouble.problem} ${trouble.hint}` : "The server cannot be reached."));
  }

  draw(status) {
    const { counts, pace, training, estimate, advice } = status;
    this.drawBudget(counts, status.budget ?? status.images);
    const [value, unit] = counted(Math.round(pace.labels_per_minute), "label").split(" ");
    figure("pace", value, `${unit} a minute`, timeLeft(pace, status));
    if (estimate) {
      const range = `${percent(estimate.low)}–${percent(estimate.high)} %`;
      const late = estimate.late ? `, ${estimate.late} of them drawn late: may be too high` : "";
      figure("estimate", `${percent(estimate.accuracy)} %`, "accuracy", `${range}, on ${counted(estimate.count, "image")}${late}`);
      byId("estimate").title = "Measured on images drawn at random that are never trained on; the range holds the true accuracy in 95 of 100 cases."
        + (late ? ` ${LATE}` : "");
    } else {
      figure("estimate", "–", "accuracy", "not measured yet");
    }
    this.drawModel(training, status.queue_left);
    byId("model").title = training.message;
    this.drawAdvice(advice, training.message);
  }

  /** What the next labels would bring; in a small window also what the model says, which has no room above. */
  drawAdvice(advice, message) {
    const place = byId("advice");
    fill(place, advice ? `${advice.sentence} ` : null, make("span", { class: "message" }, message));
    place.classList.toggle("empty", !advice);
    place.hidden = !advice && !message;
  }

  drawBudget(counts, budget) {
    const bar = byId("budget-bar");
    bar.max = Math.max(1, budget);
    bar.value = Math.min(counts.labelled, budget);
    byId("budget-text").title = [[counts.skipped, "skipped"], [counts.unsure, "unsure"], [counts.bad, "bad"], [counts.none, "none of these"], [counts.conflicts, "in conflict"]]
      .filter(([count]) => count).map(([count, words]) => `${count} ${words}`).join(", ");
    fill(byId("budget-text"), make("strong", {}, `${counts.labelled} / ${budget}`), " labelled");
  }

  drawModel(training, queueLeft) {
    const round = training.round === null ? "" : ` round ${training.round}`;
    const words = {
      idle: "Model waits for answers", training: `Training${round}`, choosing: "Choosing the next images",
      failed: "Training failed", off: "No training",
    }[training.phase];
    const share = `${Math.round(100 * training.fraction)} %`;
    const busy = training.phase === "training" || training.phase === "choosing";
    fill(
      byId("model"),
      make("span", { class: `lamp ${training.phase}`, "aria-hidden": "true" }),
      make("span", {}, busy ? `${words}, ${share}` : words),
      busy ? null : make("span", { class: "quiet message" }, training.message || counted(queueLeft, "chosen image waits", "chosen images wait")),
    );
  }
}

function figure(id, value, unit, rest) {
  fill(byId(id), make("strong", {}, value), ` ${unit}`, rest ? make("span", { class: "quiet" }, ` · ${rest}`) : null);
}

/** A share in 0..1 in whole percent. */
export const percent = (share) => Math.round(100 * share);

/** How long this round and the whole budget take at the present pace, or that nothing is left of it. */
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
