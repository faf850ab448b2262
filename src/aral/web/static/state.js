// What the whole page knows: the project, its classes and settings, who is answering.

import { get, post } from "./api.js";
import { KeyMap } from "./keys.js";

export class State extends EventTarget {
  constructor(project) {
    super();
    this.key = project.key;
    this.model = null;  // number of the newest model
    this.person = localStorage.getItem(`aral:${this.key}:person`) ?? project.annotator;
    this.take(project);
  }

  static async load() {
    return new State(await get("/api/project"));
  }

  take(project) {
    this.project = project;
    this.keys = new KeyMap(project.classes, project.settings.keys);
    this.byId = new Map(project.classes.map((each) => [each.id, each]));
  }

  get classes() {
    return this.project.classes;
  }

  get settings() {
    return this.project.settings;
  }

  /** Tell every part of the page that classes, settings or the person changed. */
  tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** Read the project again, as after another person added a class. */
  async reload() {
    this.take(await get("/api/project"));
    this.tell();
  }

  /** Change something on the server and take over the project it answers with. */
  async change(path, body) {
    this.take(await post(path, { ...body, annotator: this.person }));
    this.tell();
  }

  become(person) {
    this.person = person;
    try {
      localStorage.setItem(`aral:${this.key}:person`, person);
    } catch { /* kept for this page only */ }
    this.dispatchEvent(new Event("person"));
    this.tell();
  }

  /** What people read for an answer. */
  words(answer) {
    if (answer.action === "class") return this.byId.get(answer.class_id)?.name ?? "a class that was merged";
    return { skip: "skipped", unsure: "unsure" }[answer.action] ?? answer.action;
  }

  /** The number of a class's colour, for `data-colour` in the style sheet. */
  colour(id) {
    return (this.byId.get(id)?.colour ?? 0) % 12;
  }
}
