// Elements from plain values. Text is only ever set as text: no string becomes markup anywhere on this page.

/** The element with an id; the page has it. */
export const byId = (id) => document.getElementById(id);

/**
 * An element with properties and children.
 *
 * Keys of `properties` with a dash, and `role`, are set as attributes; `class` sets the class list; `on` holds
 * listeners; everything else is a property of the element. Children are elements or strings; null is left out.
 */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key === "class") element.className = value;
    else if (key === "on") for (const [type, listen] of Object.entries(value)) element.addEventListener(type, listen);
    else if (key === "style") for (const [name, text] of Object.entries(value)) element.style.setProperty(name, text);
    else if (key.includes("-") || key === "role") element.setAttribute(key, String(value));
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace everything inside an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/** A number and what it counts: 1 image, 2 images. */
export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A share in 0..1 in whole percent. */
export const percent = (share) => Math.round(100 * share);

/** An SVG element with attributes. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** A button that runs something. */
export function button(text, press, properties = {}) {
  return make("button", { type: "button", on: { click: press }, ...properties }, text);
}

/** A badge that shows a key; empty when the action has none. */
export function badge(key) {
  return key ? make("kbd", {}, key) : null;
}

/** Call something once the browser has painted what was changed just now. */
export function afterPaint(call) {
  requestAnimationFrame(() => setTimeout(call, 0));
}

let spoken = 0;

/** Have a screen reader say something; the same words twice in a row are said twice. */
export function announce(text) {
  spoken += 1;
  byId("spoken").textContent = text + (spoken % 2 ? "" : "\u00a0");
}

const NOTICE_SECONDS = 8;
let noticeTimer = 0;
let notices = 0;

/** Show a short message, which screen readers say too; it stays until the next one, or for some seconds. */
export function tell(text) {
  notices += 1;
  const element = byId("notice");
  element.textContent = text && text + (notices % 2 ? "" : "\u00a0");
  clearTimeout(noticeTimer);
  if (text) noticeTimer = setTimeout(() => { element.textContent = ""; }, NOTICE_SECONDS * 1000);
}

let alertTimer = 0;

/** Show a sentence that needs attention; it stays until the next one, or for some seconds. */
export function warn(text, seconds = 8) {
  const element = byId("alert");
  element.textContent = text;
  element.hidden = !text;
  clearTimeout(alertTimer);
  if (text && seconds) alertTimer = setTimeout(() => { element.hidden = true; }, seconds * 1000);
}
