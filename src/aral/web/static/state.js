// What the whole page shares: the project with its classes and settings, the annotator, the name of this tab.

import { get, post } from "./api.js";
import { KeyMap } from "./keys.js";

export class State extends EventTarget {
  constructor(project) {
    super();
    this.key = project.key;
    this.suggestions = null;  // number of the model that makes the suggestions; negative if they are zero-shot
    this.searchable = false;  // whether images can be searched by words
    this.tab = tabName(project.key);
    this.annotator = localStorage.getItem(`aral:${this.key}:person`) ?? project.annotator;
    this.take(project);
  }

  static async load() {
    return new State(await get("/api/project"));
  }

  take(project) {
    this.project = project;
    this.keys = new KeyMap(project.classes, project.settings.keys);
    this.classById = new Map(project.classes.map((each) => [each.id, each]));
  }

  get classes() {
    return this.project.classes;
  }

  get settings() {
    return this.project.settings;
  }

  /** Tell every part of the page that classes, settings or the annotator changed. */
  notify() {
    this.dispatchEvent(new Event("change"));
  }

  /** Read the project again, as after another annotator added a class. */
  async reload() {
    this.take(await get("/api/project"));
    this.notify();
  }

  /** Change something on the server and take over the project of its response. */
  async change(path, body) {
    this.take(await post(path, { ...body, annotator: this.annotator }));
    this.notify();
  }

  setAnnotator(name) {
    this.annotator = name;
    try {
      localStorage.setItem(`aral:${this.key}:person`, name);
    } catch { /* stored for this page only */ }
    this.dispatchEvent(new Event("annotator"));
    this.notify();
  }

  /** An answer as it is displayed. */
  answerText(answer) {
    if (answer.action === "class") return this.classById.get(answer.class_id)?.name ?? "a class that was merged";
    return { skip: "skipped", conflict: "disagreement" }[answer.action] ?? answer.action;
  }

  /** The number of a class's colour, for `data-colour` in the style sheet. */
  colour(id) {
    return (this.classById.get(id)?.colour ?? 0) % 12;
  }
}

/** Whether a suggestion was made from the class names, without a model. */
export function isZeroShot(suggestion) {
  return suggestion.model_number < 0;
}

const TRIES = 5;
const PAUSE = 60;

/** Resolves to a name for this tab that a reload keeps, and that a copy of the tab does not share. */
async function tabName(project) {
  const item = `aral:${project}:tab`;
  const stored = sessionStorage.getItem(item);
  // A copied tab has the name of the original; the lock shows that it is in use. Right after a reload the old page
  // may hold the lock for a moment.
  for (let attempt = 0; stored && attempt < TRIES; attempt += 1) {
    if (await claimed(`${item}:${stored}`)) return stored;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem(item, fresh);
  await claimed(`${item}:${fresh}`);
  return fresh;
}

/** Take a lock for as long as the page is open; whether it was free. */
function claimed(name) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((answer) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      answer(lock !== null);
      return lock ? new Promise(() => {}) : null;
    });
  });
}
