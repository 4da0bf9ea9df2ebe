// The jobs of the node, kept up: changes as they happen, and the list in pages.

import { Stream, json } from "./api.js";
import { JobStore } from "./jobs.js";

const FIRST_PAGE = 100; // soon on display
const PAGE = 1_000;
const RETRY_MS = 5_000;
const LOAD_AT_ONCE = 10_000; // jobs; older ones when they are asked for

/** `changed()` is called after each change of what there is to show. */
export class JobFeed {
  store = new JobStore();
  /** Why the jobs could not be listed, or null. */
  failure = null;
  #changed;
  #next = null; // where the list goes on
  #loading = null; // what is being loaded, to be told from what was asked for before a reset
  #watchers = new Map();
  #retry = null;

  constructor(changed) {
    this.#changed = changed;
    this.#stream();
  }

  get loading() {
    return this.#loading !== null;
  }

  /** Whether there are older jobs on the node. */
  get more() {
    return this.#next !== null;
  }

  /** Call `watcher(job)` for each change of the job `id`, with null when it is deleted; returns what ends that. */
  watch(id, watcher) {
    this.#watchers.set(watcher, id);
    return () => this.#watchers.delete(watcher);
  }

  #stream() {
    let begun = false;
    new Stream("v1/events", {
      open: () => {
        // Only when changes are being heard is the list asked for: between the two none can be missed.
        if (!begun || this.failure) this.#load();
        begun = true;
      },
      event: ({ event, data }) => {
        if (event === "job") this.#change(JSON.parse(data));
        else if (event === "deleted") this.#delete(JSON.parse(data).uuid);
        else if (event === "reset") this.#load();
      },
      fail: (problem) => {
        this.failure = problem;
        this.#changed();
      },
    });
  }

  #change(job) {
    this.store.change(job);
    this.#tell(job.uuid, job);
    this.#changed();
  }

  #delete(id) {
    this.store.delete(id);
    this.#tell(id, null);
    this.#changed();
  }

  #tell(id, job) {
    for (const [watcher, wanted] of this.#watchers) if (wanted === id) watcher(job);
  }

  /** Ask for the list from its start. */
  #load() {
    this.#next = null;
    this.store.clear();
    return this.load(FIRST_PAGE);
  }

  /** Ask for `LOAD_AT_ONCE` jobs more, in pages; the first has `limit`. */
  async load(limit = PAGE) {
    const mine = {};
    this.#loading = mine;
    clearTimeout(this.#retry);
    try {
      for (let loaded = 0; loaded < LOAD_AT_ONCE; limit = PAGE) {
        const mark = this.store.mark();
        const before = this.#next === null ? "" : `&before=${encodeURIComponent(this.#next)}`;
        const page = await json(`v1/jobs?limit=${limit}${before}`);
        if (this.#loading !== mine) return;
        this.failure = null;
        this.store.page(page.jobs, mark);
        for (const id of this.#watchers.values()) if (this.store.get(id)) this.#tell(id, this.store.get(id));
        loaded += page.jobs.length;
        this.#next = page.next;
        this.#changed();
        if (page.next === null) break;
      }
    } catch (error) {
      if (this.#loading !== mine) return;
      this.failure = error;
      // The stream may be all right, so that it will not be opened again. When it is, it asks for the list.
      if (error.passing) this.#retry = setTimeout(() => document.hidden || this.load(limit), RETRY_MS);
    }
    this.#loading = null;
    this.#changed();
  }
}
