// What the newest model is worth: figures of each class, and what it takes for what.

import { make } from "./dom.js";
import { percent } from "./status.js";

/** Labels and accuracy of each class, the weakest first. */
export function classTable(state, model) {
  const rows = model.per_class.filter((each) => state.byId.has(each.class_id))
    .sort((a, b) => (a.recall?.accuracy ?? 2) - (b.recall?.accuracy ?? 2));
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Accuracy of each class" },
    make("table", {},
      make("thead", {}, make("tr", {}, head("Class"), head("Labels"), head("Recognised"), head("95 % interval"))),
      make("tbody", {}, ...rows.map((each) => classRow(state.byId.get(each.class_id), each)))));
}

function classRow(known, { labels, recall }) {
  const bar = recall ? make("span", { class: "meter", "aria-hidden": "true" }, make("span", { class: "meter-range",
    style: { left: `${100 * recall.low}%`, width: `${100 * (recall.high - recall.low)}%` } }),
  make("span", { class: "meter-dot", style: { left: `${100 * recall.accuracy}%` } })) : null;
  return make("tr", {},
    make("th", { scope: "row" }, known.name),
    make("td", {}, String(labels)),
    make("td", {}, recall ? `${percent(recall.accuracy)} % of ${recall.count}` : "not measured"),
    make("td", { class: "meter-cell" }, bar, recall ? `${percent(recall.low)}–${percent(recall.high)} %` : ""));
}

function head(words) {
  return make("th", { scope: "col" }, words);
}

/** Rows are the labels, columns what the model says; darker is more of the row. */
export function confusionTable(state, model) {
  const known = model.class_ids.map((id, index) => ({ id, index })).filter(({ id }) => state.byId.has(id));
  const name = (id) => state.byId.get(id).name;
  const rows = known.map((row) => {
    const counts = model.confusion[row.index];
    const total = counts.reduce((sum, count) => sum + count, 0);
    return make("tr", {}, make("th", { scope: "row" }, name(row.id)), ...known.map((column) => {
      const count = counts[column.index];
      const cell = make("td", { class: row.id === column.id ? "right" : "wrong" }, count ? String(count) : "·");
      cell.style.setProperty("--share", String(total ? Math.min(0.45, count / total * 0.45) : 0));
      if (count && row.id !== column.id) cell.title = `${count} of ${name(row.id)} taken for ${name(column.id)}`;
      return cell;
    }));
  });
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "What is taken for what" },
    make("table", { class: "confusion" },
      make("thead", {}, make("tr", {}, head("Label ↓ · model →"), ...known.map(({ id }) => head(name(id))))),
      make("tbody", {}, ...rows)));
}
