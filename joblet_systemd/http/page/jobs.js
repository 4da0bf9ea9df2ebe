// The jobs of the node as this page knows them: pages of the list and changes, put together. Pure.

import { shellLine } from "./text.js";

export const FINAL = new Set(["COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT"]);
export const WAITING = new Set(["PENDING", "SCHEDULED"]);

/** The choices of the list, by the states that each is. */
export const GROUPS = {
  all: { title: "All", states: null },
  active: { title: "Active", states: new Set(["PENDING", "INITIALIZING", "RUNNING", "STOPPING"]) },
  scheduled: { title: "Scheduled", states: new Set(["SCHEDULED"]) },
  completed: { title: "Completed", states: new Set(["COMPLETED"]) },
  failed: { title: "Failed", states: new Set(["FAILED", "TIMEOUT"]) },
  stopped: { title: "Stopped", states: new Set(["STOPPED", "CANCELED"]) },
};

/** What a job is called: its name, else its command line. */
export function titleOf(job) {
  return job.name || commandOf(job);
}

export function commandOf(job) {
  const line = shellLine([job.command, ...(job.args ?? [])]);
  return job.omitted?.includes("args") ? `${line} …` : line;
}

/** Seconds that it has run, at `now` (ms since the epoch) if it still does; null before its start. */
export function ranFor(job, now) {
  const start = Date.parse(job.startTime ?? "");
  if (Number.isNaN(start)) return null;
  const end = Date.parse(job.endTime ?? "");
  if (FINAL.has(job.status) && Number.isNaN(end)) return null;
  return Math.max(0, ((Number.isNaN(end) ? now : end) - start) / 1000);
}

/** When it started, else when it is to start, ms since the epoch; null for a job that waits for its turn. */
export function startOf(job) {
  const at = Date.parse(job.startTime || job.scheduledTime || "");
  return Number.isNaN(at) ? null : at;
}

/** How it ended, in words; empty before. */
export function resultOf(job) {
  if (job.reason) return job.reason.replace(/^exit-code /, "exit code ");
  return job.exitCode === null || job.exitCode === undefined ? "" : `exit code ${job.exitCode}`;
}

/**
 * Jobs by their id.
 *
 * Pages of the list and changes of jobs come over two connections. A page may be older than a change that has come
 * before it, so that `page` leaves alone what has changed since `mark` was taken, which is to be before asking for it.
 */
export class JobStore {
  version = 0; // grows with every change
  #jobs = new Map(); // id -> {job, submitted, order, changed}
  #gone = new Map(); // id -> when deleted
  #clock = 0;
  #newest = 0;
  #oldest = 0;

  get size() {
    return this.#jobs.size;
  }

  get(id) {
    return this.#jobs.get(id)?.job;
  }

  mark() {
    return this.#clock;
  }

  /** Take a page of the list. */
  page(jobs, mark) {
    for (const job of jobs) {
      const known = this.#jobs.get(job.uuid);
      if ((this.#gone.get(job.uuid) ?? -1) > mark) continue;
      if (known === undefined) {
        this.#oldest -= 1;
        this.#add(job, this.#oldest, 0);
      } else if (known.changed <= mark) {
        known.job = job;
      }
    }
    this.version += 1;
  }

  /** Take a change; whether the job is a new one. */
  change(job) {
    this.#clock += 1;
    this.version += 1;
    this.#gone.delete(job.uuid);
    const known = this.#jobs.get(job.uuid);
    if (known === undefined) {
      this.#newest += 1;
      this.#add(job, this.#newest, this.#clock);
      return true;
    }
    known.job = job;
    known.changed = this.#clock;
    return false;
  }

  /** `order` tells jobs apart that were submitted at the same time: of them the higher one is the newer. */
  #add(job, order, changed) {
    this.#jobs.set(job.uuid, { job, submitted: Date.parse(job.submitTime) || 0, order, changed });
  }

  delete(id) {
    this.#clock += 1;
    this.version += 1;
    this.#jobs.delete(id);
    this.#gone.set(id, this.#clock);
    if (this.#gone.size > 10_000) this.#gone.delete(this.#gone.keys().next().value);
  }

  /** Forget everything. */
  clear() {
    this.#jobs.clear();
    this.#gone.clear();
    this.version += 1;
  }

  /** How many there are in each of the groups. */
  counts() {
    const counts = Object.fromEntries(Object.keys(GROUPS).map((key) => [key, 0]));
    for (const { job } of this.#jobs.values()) {
      for (const [key, { states }] of Object.entries(GROUPS)) {
        if (states === null || states.has(job.status)) counts[key] += 1;
      }
    }
    return counts;
  }

  /**
   * The jobs of a group that have `text` in their name, command, owner or id, sorted by a column or by age, the
   * newest first; those that are alike in the column are sorted by age as well.
   */
  select({ group = "all", text = "", sort = "newest", reverse = false, now = 0 }) {
    const { states } = GROUPS[group];
    const wanted = text.toLowerCase();
    const found = [];
    for (const entry of this.#jobs.values()) {
      const { job } = entry;
      if (states !== null && !states.has(job.status)) continue;
      if (wanted && !haystack(entry).includes(wanted)) continue;
      found.push(entry);
    }
    const sign = reverse ? -1 : 1;
    const key = SORTS[sort];
    if (key === undefined) found.sort((one, other) => sign * byAge(one, other));
    else {
      for (const entry of found) entry.key = key(entry.job, now); // once each, not at each comparison
      found.sort((one, other) => sign * compare(one.key, other.key) || byAge(one, other));
    }
    return found.map((entry) => entry.job);
  }
}

function haystack(entry) {
  const { job } = entry;
  if (entry.hayOf !== job) {
    entry.hayOf = job;
    entry.hay = [job.name, commandOf(job), job.owner, job.uuid, job.reason].join("\n").toLowerCase();
  }
  return entry.hay;
}

const SORTS = {
  status: (job) => job.status,
  name: (job) => titleOf(job).toLowerCase(),
  owner: (job) => (job.owner ?? "").toLowerCase(),
  start: (job) => -(startOf(job) ?? Infinity),
  duration: (job, now) => -(ranFor(job, now) ?? -1),
};

function byAge(one, other) {
  return other.submitted - one.submitted || other.order - one.order;
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
