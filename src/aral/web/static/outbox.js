// Answers that are not saved yet. Each is in the browser's local storage from the key press until the server has
// saved it, so neither a stopped server nor a closed tab loses one. Every answer has a key of its own and the
// server saves a key once: sending it twice, even from two tabs, does no harm.

import { post } from "./api.js";

const BATCH = 50;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

export class Outbox {
  /**
   * @param project names the project, so that another one on the same port never gets these answers.
   * @param listen called with {waiting, error} after every change.
   * @param saved called with (events, answer) when the server has acknowledged events.
   */
  constructor(project, listen, saved) {
    this.prefix = `aral:${project}:answer:`;
    this.rejected = `aral:${project}:rejected:`;  // answers that the server could not read
    this.lock = `aral:${project}:sending`;
    this.listen = listen;
    this.saved = saved;
    this.memory = new Map();
    this.wait = FIRST_WAIT;
    this.error = null;
    this.timer = 0;
    this.sending = false;
    this.last = Number(this.names().at(-1)?.slice(this.prefix.length).split(":")[0] ?? 0);
    addEventListener("storage", (event) => { if (event.key?.startsWith(this.prefix)) this.notify(); });
    addEventListener("online", () => this.retry());
  }

  /** Store answers and send them soon. Runs within the frame of the key press, so it does nothing slow. */
  add(events) {
    for (const event of events) {
      // Names sort in the order of the answers, across tabs and restarts of the page as well.
      this.last = Math.max(this.last + 1, Date.now() * 1000);
      const name = `${this.prefix}${String(this.last).padStart(20, "0")}:${event.key}`;
      try {
        localStorage.setItem(name, JSON.stringify(event));
      } catch {
        this.memory.set(name, event);  // storage full or switched off: stored as long as the tab is open
      }
    }
    this.notify();
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

  /** Resolves when nothing waits; fails with the error that prevents saving. */
  async settled() {
    while (this.names().length) {
      if (this.error) throw this.error;
      await new Promise((done) => setTimeout(done, 30));
    }
  }

  forget(name) {
    this.memory.delete(name);
    localStorage.removeItem(name);
  }

  /** Try at once, for instance after the connection came back. */
  retry() {
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
      // One tab sends at a time, so answers of one annotator are sent in the order they were given.
      if (navigator.locks) await navigator.locks.request(this.lock, () => this.drain());
      else await this.drain();
      this.error = null;
      this.wait = FIRST_WAIT;
    } catch (error) {
      this.error = error;
      this.schedule(this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    } finally {
      this.sending = false;
      this.notify();
    }
    if (!this.error && this.names().length) this.schedule(0);
  }

  async drain() {
    for (let batch = this.entries(BATCH); batch.length; batch = this.entries(BATCH)) {
      const events = batch.map(([, event]) => event);
      let answer;
      try {
        answer = await post("/api/answers", { events });
      } catch (error) {
        if (error.status !== 422) throw error;
        await this.sendSingly(batch);
        continue;
      }
      const settled = new Set([...answer.receipts, ...answer.refused].map((each) => each.key));
      for (const [name, event] of batch) if (settled.has(event.key)) this.forget(name);
      if (!events.some((event) => settled.has(event.key))) throw new Error("The server acknowledged no answer.");
      this.saved(events, answer);
      this.notify();
    }
  }

  /** The server cannot read one of them: the others are saved, and it is set aside with the reason. */
  async sendSingly(batch) {
    for (const [name, event] of batch) {
      let answer;
      try {
        answer = await post("/api/answers", { events: [event] });
      } catch (error) {
        if (error.status !== 422) throw error;
        try {
          localStorage.setItem(name.replace(this.prefix, this.rejected), JSON.stringify(event));
        } catch { /* no room: the warning names the reason all the same */ }
        answer = { receipts: [], refused: [{ key: event.key, problem: error.problem, hint: "It is set aside; answer the image again." }] };
      }
      this.forget(name);
      this.saved([event], answer);
      this.notify();
    }
  }

  notify() {
    this.listen({ waiting: this.names().length, error: this.error });
  }
}
