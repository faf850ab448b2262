// Charts of the progress view: the learning curve, accuracy by class, the confusion matrix.

import { counted, draw, make, percent } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 300;
const LEFT = 52;
const RIGHT = 16;
const TOP = 14;
const BOTTOM = 44;

/** The learning curve: accuracy over labels, with the interval of each estimate.
 *
 * @param points [{labels, accuracy, low, high}] in the order of the rounds; low and high may be null.
 */
export function curve(points) {
  const most = Math.max(...points.map((point) => point.labels), 10);
  const lowest = Math.min(...points.map((point) => point.low ?? point.accuracy));
  const step = lowest < 0.5 ? 0.2 : 0.1;
  const floor = Math.max(0, Math.floor(lowest / step - 0.2)) * step;
  const x = (labels) => LEFT + (labels / most) * (WIDTH - LEFT - RIGHT);
  const y = (share) => HEIGHT - BOTTOM - ((share - floor) / (1 - floor)) * (HEIGHT - TOP - BOTTOM);
  const picture = draw("svg", {
    class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `Learning curve: ${points.map((point) => `${counted(point.labels, "label")}, ${percent(point.accuracy)} %`).join("; ")}`,
  });
  picture.append(...grid(floor, step, most, x, y));
  const estimated = points.filter((point) => point.low !== null);
  if (estimated.length > 1) {
    const upper = estimated.map((point) => `${x(point.labels)},${y(point.high)}`);
    const lower = estimated.map((point) => `${x(point.labels)},${y(point.low)}`).reverse();
    picture.append(draw("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  }
  for (const point of estimated) {
    picture.append(draw("line", { class: "whisker", x1: x(point.labels), x2: x(point.labels), y1: y(point.low), y2: y(point.high) }));
  }
  picture.append(draw("polyline", { class: "line", points: points.map((point) => `${x(point.labels)},${y(point.accuracy)}`).join(" ") }));
  for (const point of points) picture.append(dot(point, x, y));
  return picture;
}

function dot(point, x, y) {
  const range = point.low === null ? "" : ` (${percent(point.low)} to ${percent(point.high)} %)`;
  const title = draw("title");
  title.textContent = `${counted(point.labels, "label")}: ${percent(point.accuracy)} %${range}`;
  return draw("circle", { class: "dot", cx: x(point.labels), cy: y(point.accuracy), r: 4.5 }, title);
}

function grid(floor, step, most, x, y) {
  const parts = [];
  for (let share = floor; share <= 1.0001; share += step) {
    parts.push(draw("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share) }));
    parts.push(text(`${percent(share)} %`, LEFT - 8, y(share) + 4, "end"));
  }
  for (const labels of ticks(most)) parts.push(text(String(labels), x(labels), HEIGHT - BOTTOM + 20, "middle"));
  parts.push(text("labels", LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, "middle"));
  return parts;
}

function text(words, x, y, anchor) {
  const element = draw("text", { class: "tick", x, y, "text-anchor": anchor });
  element.textContent = words;
  return element;
}

/** Round numbers from 0 up to at most `most`, five or so. */
function ticks(most) {
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough));
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}

/** Labels and recall of each class, the lowest first. */
export function classTable(state, model) {
  const rows = model.per_class.filter((each) => state.classById.has(each.class_id))
    .sort((a, b) => (a.recall?.accuracy ?? 2) - (b.recall?.accuracy ?? 2));
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Recall of each class" },
    make("table", {},
      make("thead", {}, make("tr", {}, head("Class"), head("Labels"), head("Recall"), head("95 % interval"))),
      make("tbody", {}, ...rows.map((each) => classRow(state.classById.get(each.class_id), each)))));
}

function classRow(known, { labels, recall }) {
  const bar = recall ? make("span", { class: "meter", "aria-hidden": "true" }, make("span", { class: "meter-range",
    style: { left: `${100 * recall.low}%`, width: `${100 * (recall.high - recall.low)}%` } }),
  make("span", { class: "meter-dot", style: { left: `${100 * recall.accuracy}%` } })) : null;
  return make("tr", {},
    make("th", { scope: "row" }, known.name),
    make("td", {}, String(labels)),
    make("td", {}, recall ? `${percent(recall.accuracy)} % of ${recall.count}` : "unknown"),
    make("td", { class: "meter-cell" }, bar, recall ? `${percent(recall.low)}–${percent(recall.high)} %` : ""));
}

function head(words) {
  return make("th", { scope: "col" }, words);
}

/** Rows are labels, columns predictions; a darker cell is a larger share of its row. */
export function confusionTable(state, model) {
  const known = model.class_ids.map((id, index) => ({ id, index })).filter(({ id }) => state.classById.has(id));
  const name = (id) => state.classById.get(id).name;
  const rows = known.map((row) => {
    const counts = model.confusion[row.index];
    const total = counts.reduce((sum, count) => sum + count, 0);
    return make("tr", {}, make("th", { scope: "row" }, name(row.id)), ...known.map((column) => {
      const count = counts[column.index];
      const cell = make("td", { class: row.id === column.id ? "right" : "wrong" }, count ? String(count) : "·");
      cell.style.setProperty("--share", String(total ? Math.min(0.45, count / total * 0.45) : 0));
      if (count && row.id !== column.id) cell.title = `${count} of ${name(row.id)} predicted as ${name(column.id)}`;
      return cell;
    }));
  });
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Confusion matrix" },
    make("table", { class: "confusion" },
      make("thead", {}, make("tr", {}, head("Label ↓ · prediction →"), ...known.map(({ id }) => head(name(id))))),
      make("tbody", {}, ...rows)));
}
