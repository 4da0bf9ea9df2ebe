// The gateway: requests, and streams that come back by themselves.

import { EventParser } from "./sse.js";

// Everything is asked for below the page's own address, which need not be the root ('rnx dashboard').
const BASE = new URL(".", document.baseURI);

const SILENCE_MS = 45_000; // the server sends a heartbeat every 15 s: after this long it is gone
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 10_000;

/** What went wrong, as RFC 9457 has it: `status` (0 without an answer), `title`, `detail`, `hint`, `field`. */
export class Problem extends Error {
  constructor(status, title, detail, hint, field = "") {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.hint = hint;
    this.field = field;
  }

  /** Whether it may be over in a while, without anybody doing anything. */
  get passing() {
    return this.status === 0 || this.status >= 500 || [408, 429].includes(this.status);
  }
}

function unreachable() {
  return new Problem(0, "The node cannot be reached", "", "Is the daemon running, and is this machine online?");
}

async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Not every answer is one of the gateway's own: then the status has to do.
  }
  return problemFrom(told, response.status);
}

function problemFrom({ title, detail, hint, field, status }, otherwise) {
  const code = Number(status) || otherwise;
  const texts = [title ?? `HTTP status ${code}`, detail ?? "", hint ?? "", field ?? ""];
  return new Problem(code, ...texts.map(String));
}

/** One request; the response, whose status is a good one. Throws Problem. */
export async function request(path, { method = "GET", body, accept = "application/json", signal } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, BASE), { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The JSON that a GET answers with. Throws Problem. */
export async function json(path, options) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
}

/**
 * How the connection is: of all streams that are open, the one that fares worst. Dispatches `change`.
 *
 * `refused` is the problem for which the node lets this client in no longer.
 */
class Connection extends EventTarget {
  refused = null;
  #streams = new Set();

  get state() {
    if (this.refused !== null) return "refused";
    const states = [...this.#streams].map((stream) => stream.state);
    return ["lost", "crowded", "connecting", "open"].find((state) => states.includes(state)) ?? "open";
  }

  /** When the next attempt is made, in ms since the epoch; the problem that made it necessary. */
  get trouble() {
    const lost = [...this.#streams].filter((stream) => stream.state === "lost");
    if (lost.length === 0) return null;
    return { at: Math.min(...lost.map((stream) => stream.retryAt)), problem: lost[0].problem };
  }

  retry() {
    for (const stream of this.#streams) stream.retry();
  }

  add(stream) {
    this.#streams.add(stream);
    this.dispatchEvent(new Event("change"));
  }

  remove(stream) {
    this.#streams.delete(stream);
    this.dispatchEvent(new Event("change"));
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const connection = new Connection();

window.addEventListener("online", () => connection.retry());
document.addEventListener("visibilitychange", () => connection.retry());

// Browsers allow a server six connections, over all windows. One is left for requests, or a stop would have to wait.
const PLACES = 5;
const CROWDED = Symbol("crowded");
const CROWDED_PAUSE_MS = 2_000;

/** What `work` returns, done in one of the places that all windows share; CROWDED if there is none. */
async function withPlace(work) {
  if (navigator.locks === undefined) return work();
  for (let place = 0; place < PLACES; place += 1) {
    const result = await navigator.locks.request(`joblet-stream-${place}`, { ifAvailable: true }, (lock) =>
      lock === null ? CROWDED : work(),
    );
    if (result !== CROWDED) return result;
  }
  return CROWDED;
}

/**
 * A stream of events that is opened again whenever it breaks, behind the last event it got.
 *
 * While the page is hidden it is closed, which leaves its place to other windows.
 * `event(event)` gets each event; `fail(problem)` a refusal, after which there is no other attempt;
 * `open()` is called whenever it is connected.
 */
export class Stream {
  state = "connecting";
  retryAt = 0;
  problem = null;
  #path;
  #on;
  #lastId = "";
  #failures = 0;
  #abort = null;
  #wake = null;
  #closed = false;

  constructor(path, on) {
    this.#path = path;
    this.#on = on;
    connection.add(this);
    this.#run();
  }

  /** End it for good. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort?.abort();
    this.#wake?.();
    connection.remove(this);
  }

  /** Try at once what is being waited for; or let go, if the page has been hidden. */
  retry() {
    if (document.hidden) this.#abort?.abort();
    else this.#wake?.();
  }

  async #run() {
    while (!this.#closed) {
      if (document.hidden) {
        await this.#pause(0);
        continue;
      }
      const problem = await withPlace(() => this.#once());
      if (this.#closed) return;
      if (problem === CROWDED) {
        this.#become("crowded");
        await this.#pause(CROWDED_PAUSE_MS);
        continue;
      }
      if (problem && !problem.passing) {
        if ([401, 403].includes(problem.status)) connection.refused = problem;
        this.close();
        this.#on.fail?.(problem);
        return;
      }
      if (document.hidden) continue;
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
      this.#failures += 1;
      this.problem = problem;
      this.retryAt = Date.now() + pause;
      this.#become("lost");
      await this.#pause(pause);
      this.#become("connecting");
    }
  }

  /** One connection, from its start to its end; what ended it. */
  async #once() {
    const abort = new AbortController();
    this.#abort = abort;
    let silence = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
      const response = await fetch(new URL(this.#path, BASE), { headers, signal: abort.signal, cache: "no-store" });
      if (!response.ok) return await problemOf(response);
      if (response.status === 204) {
        this.close(); // there is no more, and will not be
        return null;
      }
      this.#become("open");
      this.#on.open?.();
      let told = null;
      const parser = new EventParser((event) => {
        if (this.#closed) return;
        if (event.event === "problem") {
          told = problemFrom(JSON.parse(event.data), 500);
          return;
        }
        try {
          if (event.event !== null) this.#on.event(event);
        } catch (error) {
          reportError(error); // a bug of the page's, and no reason to ask for the same again and again
        }
        if (event.id) this.#lastId = event.id;
        this.#failures = 0;
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done || this.#closed) return told;
        clearTimeout(silence);
        silence = setTimeout(() => abort.abort(), SILENCE_MS);
        parser.feed(value);
      }
    } catch {
      return unreachable();
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
  }

  /** Wait for so many ms, or until woken; 0 is without end. */
  #pause(ms) {
    return new Promise((resolve) => {
      const timer = ms ? setTimeout(resolve, ms) : null;
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #become(state) {
    this.state = state;
    if (!this.#closed) connection.changed();
  }
}
