// The learning curve as a picture made of elements: accuracy over labels, with the interval of each estimate.

import { counted, draw } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 300;
const LEFT = 52;
const RIGHT = 16;
const TOP = 14;
const BOTTOM = 44;

/** @param points [{labels, accuracy, low, high}] in the order of the rounds; low and high may be null. */
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
  const measured = points.filter((point) => point.low !== null);
  if (measured.length > 1) {
    const upper = measured.map((point) => `${x(point.labels)},${y(point.high)}`);
    const lower = measured.map((point) => `${x(point.labels)},${y(point.low)}`).reverse();
    picture.append(draw("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  }
  for (const point of measured) {
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
  parts.push(text("labels given", LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, "middle"));
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

const percent = (share) => Math.round(100 * share);
