// Answers that are not saved yet. Each lies in the browser's own storage from the moment of its key until the
// server has acknowledged it, so neither a stopped server nor a closed tab loses one. Every answer has a key
// of its own and the server saves a key once: sending it twice, from two tabs as well, does no harm.

import { post } from "./api.js";

const BATCH = 50;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

export class Outbox {
  /**
   * @param project names the project, so that another one on the same port never gets these answers.
   * @param listen called with {waiting, trouble} after every change.
   * @param saved called with (events, answer) when the server has acknowledged events.
   */
  constructor(project, listen, saved) {
    this.prefix = `aral:${project}:answer:`;
    this.aside = `aral:${project}:aside:`;  // answers that the server could not read
    this.lock = `aral:${project}:sending`;
    this.listen = listen;
    this.saved = saved;
    this.memory = new Map();
    this.wait = FIRST_WAIT;
    this.trouble = null;
    this.timer = 0;
    this.sending = false;
    this.last = Number(this.names().at(-1)?.slice(this.prefix.length).split(":")[0] ?? 0);
    addEventListener("storage", (event) => { if (event.key?.startsWith(this.prefix)) this.tell(); });
    addEventListener("online", () => this.hurry());
  }

  /** Keep an answer and send it soon. Runs within the frame of the key, so it does nothing slow. */
  add(events) {
    for (const event of events) {
      // Names sort in the order of the answers, across tabs and restarts of the page as well.
      this.last = Math.max(this.last + 1, Date.now() * 1000);
      const name = `${this.prefix}${String(this.last).padStart(20, "0")}:${event.key}`;
      try {
        localStorage.setItem(name, JSON.stringify(event));
      } catch {
        this.memory.set(name, event);  // storage full or switched off: kept as long as the tab is open
      }
    }
    this.tell();
    this.schedule(0);
  }

  /** Names of the waiting answers, oldest first. */
  names() {
    const stored = [];
    for (let index = 0; index < localStorage.length; index += 1) {
      const name = localStorage.key(index);
      if (name.startsWith(this.prefix)) stored.push(name);
    }
    return [...stored, ...this.memory.keys()].sort();
  }

  /** The waiting answers by name. */
  entries(count = Infinity) {
    const found = [];
    for (const name of this.names().slice(0, count)) {
      try {
        const event = this.memory.get(name) ?? JSON.parse(localStorage.getItem(name));
        if (event) found.push([name, event]);
      } catch {
        this.forget(name);  // not written by this page
      }
    }
    return found;
  }

  /** Ids of the images with a waiting answer. */
  images() {
    return this.entries().map(([, event]) => event.image_id);
  }

  /** The newest waiting event by image. */
  newest() {
    return new Map(this.entries().map(([, event]) => [event.image_id, event]));
  }

  /** Resolves when nothing waits; fails with the trouble that keeps answers from being saved. */
  async settled() {
    while (this.names().length) {
      if (this.trouble) throw this.trouble;
      await new Promise((done) => setTimeout(done, 30));
    }
  }

  forget(name) {
    this.memory.delete(name);
    localStorage.removeItem(name);
  }

  /** Try at once, for instance after the connection came back. */
  hurry() {
    this.wait = FIRST_WAIT;
    this.schedule(0);
  }

  schedule(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), milliseconds);
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      // One tab sends at a time, so answers of one person arrive in the order they were given.
      if (navigator.locks) await navigator.locks.request(this.lock, () => this.drain());
      else await this.drain();
      this.trouble = null;
      this.wait = FIRST_WAIT;
    } catch (trouble) {
      this.trouble = trouble;
      this.schedule(this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    } finally {
      this.sending = false;
      this.tell();
    }
    if (!this.trouble && this.names().length) this.schedule(0);
  }

  async drain() {
    for (let batch = this.entries(BATCH); batch.length; batch = this.entries(BATCH)) {
      const events = batch.map(([, event]) => event);
      let answer;
      try {
        answer = await post("/api/answers", { events });
      } catch (trouble) {
        if (trouble.status !== 422) throw trouble;
        await this.sendSingly(batch);
        continue;
      }
      const settled = new Set([...answer.receipts, ...answer.refused].map((each) => each.key));
      for (const [name, event] of batch) if (settled.has(event.key)) this.forget(name);
      if (!events.some((event) => settled.has(event.key))) throw new Error("The server acknowledged no answer.");
      this.saved(events, answer);
      this.tell();
    }
  }

  /** One of them cannot be read by the server: the others are saved, and it is set aside with its reason. */
  async sendSingly(batch) {
    for (const [name, event] of batch) {
      let answer;
      try {
        answer = await post("/api/answers", { events: [event] });
      } catch (trouble) {
        if (trouble.status !== 422) throw trouble;
        try {
          localStorage.setItem(name.replace(this.prefix, this.aside), JSON.stringify(event));
        } catch { /* no room to keep it: the warning names its trouble all the same */ }
        answer = { receipts: [], refused: [{ key: event.key, problem: trouble.problem, hint: "It is set aside; answer the image again." }] };
      }
      this.forget(name);
      this.saved([event], answer);
      this.tell();
    }
  }

  tell() {
    this.listen({ waiting: this.names().length, trouble: this.trouble });
  }
}
