// The view of all jobs: what is going on, live.

import { badge, showState, stateWord } from "./badge.js";
import { announce, explained, h, perFrame, setAttribute, setText } from "./dom.js";
import { JobFeed } from "./feed.js";
import { GROUPS, commandOf, ranFor, resultOf, startOf, titleOf } from "./jobs.js";
import { Rows } from "./rows.js";
import { count, dateTime, duration, printable, shortTime } from "./text.js";

const TICK_MS = 1_000;
const MANY = 1_000; // jobs
const CALM_MS = 150;

const NARROW = matchMedia("(max-width: 720px)");

// `ways` are the two orders by the column, in words.
const COLUMNS = [
  { key: "status", title: "State", ways: ["A to Z", "Z to A"] },
  { key: "name", title: "Job", ways: ["A to Z", "Z to A"] },
  { key: "owner", title: "Owner", ways: ["A to Z", "Z to A"] },
  { key: "start", title: "Started", ways: ["latest first", "earliest first"] },
  { key: "duration", title: "Duration", ways: ["longest first", "shortest first"] },
  { key: "result", title: "Result" },
];

/** The orders that can be chosen where there are no heads of columns; values are a column and "reverse". */
function orders() {
  const all = [{ key: "newest", ways: ["Newest first", "Oldest first"] }, ...COLUMNS];
  return all.flatMap(({ key, title, ways = [] }) =>
    ways.map((way, i) =>
      h("option", { value: `${key}${i ? " reverse" : ""}`, text: title ? `${title}: ${way}` : way }),
    ),
  );
}

/** The list, which is kept and goes on while another view is shown. `submit` opens the form, false for who may not. */
export class JobList {
  element;
  feed = new JobFeed(() => this.#changed());
  #filter;
  #chips = {};
  #heads = {};
  #orders;
  #grid;
  #box;
  #rows;
  #foot;
  #empty;
  #group = "all";
  #sort = "newest";
  #reverse = false;
  #jobs = [];
  #selected = null; // the id of a job
  #stale = true;
  #open;

  constructor({ open, submit }) {
    this.#open = open;
    this.#build(submit);
    NARROW.addEventListener("change", () => (this.#rows.height = this.#rowHeight()));
    setInterval(() => this.#tick(), TICK_MS);
  }

  /** The keys of this view. */
  get keys() {
    return [
      { key: ["j", "ArrowDown"], label: "next job", run: () => this.#step(1) },
      { key: ["k", "ArrowUp"], label: "previous job", run: () => this.#step(-1) },
      { key: "PageDown", run: () => this.#step(this.#rows.page) },
      { key: "PageUp", run: () => this.#step(-this.#rows.page) },
      { key: ["g", "Home"], label: "newest job", run: () => this.#step(-Infinity) },
      { key: ["G", "End"], label: "last job of the list", run: () => this.#step(Infinity) },
      { key: "Enter", label: "open the job", run: () => this.#selected !== null && this.#open(this.#selected) },
      { key: "/", label: "filter", run: () => this.#filter.focus() },
      { key: "Escape", label: "clear the filter", run: () => this.#clear() },
    ];
  }

  /** It is on display again. */
  shown() {
    this.#rows.draw();
    this.#grid.focus({ preventScroll: true });
  }

  #rowHeight() {
    return NARROW.matches ? 64 : 44;
  }

  #build(submit) {
    this.#filter = h("input", {
      type: "search",
      placeholder: "Filter by name, command, owner, id",
      "aria-label": "Filter jobs by name, command, owner or id",
      "aria-keyshortcuts": "/",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#changed(true),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === "ArrowDown") {
          event.preventDefault();
          this.#grid.focus();
          if (this.#index() === -1) this.#step(-Infinity);
        }
      },
    });
    const chips = Object.entries(GROUPS).map(([key, { title }]) => {
      const number = h("span", { class: "number" });
      const chip = h(
        "button",
        {
          type: "button",
          class: "chip",
          "data-group": key,
          "aria-pressed": key === "all",
          onclick: () => this.#choose(key),
        },
        title,
        number,
      );
      this.#chips[key] = { chip, number };
      return chip;
    });
    const heads = COLUMNS.map(({ key, title }) => {
      if (key === "result") return h("span", { role: "columnheader", text: title });
      const button = h(
        "button",
        { type: "button", onclick: () => this.#orderBy(key) },
        title,
        h("span", { class: "arrow", "aria-hidden": "true" }),
      );
      this.#heads[key] = h("span", { role: "columnheader" }, button);
      return this.#heads[key];
    });
    this.#orders = h(
      "select",
      {
        class: "orders",
        "aria-label": "Order of the jobs",
        onchange: () => this.#order(...this.#orders.value.split(" ")),
      },
      ...orders(),
    );
    this.#box = h("div", { class: "list-box", role: "rowgroup", tabindex: -1 });
    this.#empty = h("div", { class: "empty", hidden: true });
    this.#foot = h("div", { class: "foot grow" });
    this.#grid = h(
      "div",
      { class: "list", role: "grid", tabindex: 0, "aria-label": "Jobs; the arrow keys select one, Enter opens it" },
      h("div", { class: "list-head", role: "rowgroup" }, h("div", { class: "row head", role: "row" }, ...heads)),
      this.#box,
    );
    this.element = h(
      "section",
      { class: "view jobs", "aria-label": "Jobs" },
      h("h1", { class: "unseen", text: "Jobs" }),
      h(
        "div",
        { class: "bar" },
        h("div", { class: "chips", role: "group", "aria-label": "States" }, ...chips),
        h("span", { class: "grow" }),
        this.#filter,
        submit &&
          h("button", { type: "button", class: "primary", "aria-keyshortcuts": "c", onclick: submit, text: "New job" }),
      ),
      this.#grid,
      this.#empty,
      h("div", { class: "foot" }, this.#foot, this.#orders),
    );
    this.#rows = new Rows(this.#box, {
      height: this.#rowHeight(),
      make: () => this.#make(),
      fill: (element, index) => this.#fill(element, index),
      stamp: (index) => this.#stamp(index),
    });
    this.#box.addEventListener("click", (event) => {
      const row = event.target.closest("[data-id]");
      if (!row || event.target.closest("a") || getSelection().toString()) return;
      this.#select(row.dataset.id);
      this.#open(row.dataset.id);
    });
    this.#changed();
  }

  // --- what is shown -------------------------------------------------------------------------------------------

  #changed(fromTop = false) {
    this.#stale = true;
    if (fromTop) this.#box.scrollTop = 0;
    if (fromTop || this.feed.store.size < MANY) this.#soon();
    else this.#later ??= setTimeout(() => this.#nowAndThen(), CALM_MS);
  }

  #later = null;

  /** To go through all jobs at every change would keep the browser busy when there are many of both. */
  #nowAndThen() {
    this.#later = null;
    this.#soon();
  }

  #soon = perFrame(() => this.#refresh());

  #refresh() {
    if (this.#stale) {
      this.#stale = false;
      const wanted = { group: this.#group, text: this.#filter.value.trim(), sort: this.#sort, reverse: this.#reverse };
      this.#jobs = this.feed.store.select({ ...wanted, now: Date.now() });
      const counts = this.feed.store.counts();
      for (const [key, { number }] of Object.entries(this.#chips))
        setText(number, counts[key] ? String(counts[key]) : "");
    }
    this.#rows.count = this.#jobs.length;
    setAttribute(this.#grid, "aria-rowcount", this.#jobs.length + 1);
    this.#rows.draw();
    this.#point();
    this.#explain();
  }

  #explain() {
    const none = this.#jobs.length === 0;
    this.#empty.hidden = !none;
    if (none) {
      const filtered = this.#filter.value.trim() !== "" || this.#group !== "all";
      if (this.feed.failure) {
        this.#fail(this.feed.failure);
      } else if (this.feed.loading || this.feed.store.version === 0) {
        this.#empty.replaceChildren(h("p", { text: "Loading…" }));
      } else if (filtered) {
        this.#empty.replaceChildren(h("h2", { text: "No job matches" }), h("p", { text: "Esc clears the filter." }));
      } else {
        this.#empty.replaceChildren(
          h("h2", { text: "No jobs yet" }),
          h("p", {}, "Start one here, or with ", h("code", { text: "rnx job run echo hello" }), "."),
        );
      }
    }
    const shown = count(this.#jobs.length, "job");
    const of = this.#jobs.length === this.feed.store.size ? "" : ` of ${count(this.feed.store.size, "job")}`;
    const loading = this.feed.loading ? " · loading…" : "";
    const unknown = this.feed.failure !== null && this.feed.store.size === 0;
    const parts = [h("span", { text: unknown ? loading.slice(3) : `${shown}${of}${loading}` })];
    if (this.feed.failure) {
      if (!none) parts.push(h("span", { class: "problem-text", text: this.feed.failure.message }), this.#again());
    } else if (this.feed.more && !this.feed.loading) {
      parts.push(
        h("span", { text: "There are older ones on the node." }),
        h("button", { type: "button", class: "small", text: "Load older jobs", onclick: () => this.feed.load() }),
      );
    }
    // Made anew only when something has changed: a button must not vanish below a finger.
    const text = parts.map((part) => part.textContent).join("|");
    if (this.#foot.dataset.text === text) return;
    this.#foot.dataset.text = text;
    this.#foot.replaceChildren(...parts);
  }

  /** Say in place of the list why there is none. */
  #fail(problem) {
    const there = this.#empty.querySelector("button") !== null;
    if (there && this.#empty.dataset.problem === problem.message) return; // a button must not vanish below a finger
    this.#empty.dataset.problem = problem.message;
    this.#empty.replaceChildren(h("h2", { text: "The jobs cannot be listed" }), ...explained(problem), this.#again());
  }

  #again() {
    return h("button", { type: "button", class: "small", text: "Try again", onclick: () => this.feed.load() });
  }

  /** Time goes on for what runs. */
  #tick() {
    if (document.hidden || !this.element.isConnected) return;
    this.#rows.draw();
  }

  #stamp(index) {
    const job = this.#jobs[index];
    const live = !job.endTime && job.startTime ? Math.floor(Date.now() / TICK_MS) : 0;
    return `${this.feed.store.version}|${job.uuid}|${this.#selected === job.uuid}|${live}`;
  }

  #make() {
    const link = h("a", { tabindex: -1 });
    const command = h("span", { class: "command" });
    const cells = ["name", "owner", "start", "duration", "result"].map((key) =>
      h("span", { class: `cell ${key}`, role: "gridcell" }),
    );
    cells[0].append(link, command);
    const state = badge();
    const row = h(
      "div",
      { class: "row", role: "row" },
      h("span", { class: "cell status", role: "gridcell" }, state),
      ...cells,
    );
    row.parts = { state, link, command, cells };
    return row;
  }

  #fill(row, index) {
    const job = this.#jobs[index];
    const now = Date.now();
    const { state, link, command, cells } = row.parts;
    row.dataset.id = job.uuid;
    row.id = `job-${job.uuid}`;
    setAttribute(row, "aria-rowindex", index + 2);
    setAttribute(row, "aria-selected", this.#selected === job.uuid);
    showState(state, job.status);
    setText(link, printable(titleOf(job)));
    setText(command, job.name ? printable(commandOf(job)) : "");
    setAttribute(link, "href", `#/jobs/${encodeURIComponent(job.uuid)}`);
    setAttribute(link, "title", printable(commandOf(job)));
    const start = startOf(job);
    const ran = ranFor(job, now);
    setText(cells[1], printable(job.owner ?? ""));
    setText(cells[2], start === null ? queued(job) : started(job, start, now));
    setAttribute(cells[2], "title", start === null ? null : dateTime(start));
    setText(cells[3], ran === null ? "" : duration(ran));
    setText(cells[4], printable(resultOf(job)));
  }

  // --- what one does with it -----------------------------------------------------------------------------------

  #index() {
    return this.#jobs.findIndex((job) => job.uuid === this.#selected);
  }

  #step(by) {
    if (this.#jobs.length === 0) return;
    const at = this.#index();
    const index = Math.min(Math.max(at === -1 && Number.isFinite(by) ? 0 : at + by, 0), this.#jobs.length - 1);
    this.#rows.reveal(index);
    this.#select(this.#jobs[index].uuid);
    const job = this.#jobs[index];
    if (document.activeElement !== this.#grid) this.#grid.focus({ preventScroll: true });
    announce(`${printable(titleOf(job))}, ${stateWord(job.status)}`);
  }

  #select(id) {
    this.#selected = id;
    this.#rows.drawNow();
    this.#point();
  }

  /** Tell which row is the selected one, as long as it is there. */
  #point() {
    const element = this.#rows.element(this.#index());
    setAttribute(this.#grid, "aria-activedescendant", element ? element.id : null);
  }

  #choose(group) {
    this.#group = group;
    for (const [key, { chip }] of Object.entries(this.#chips)) setAttribute(chip, "aria-pressed", key === group);
    this.#changed(true);
  }

  /** Sort by a column; then the other way round; then by age again. */
  #orderBy(key) {
    if (this.#sort !== key) this.#order(key);
    else if (!this.#reverse) this.#order(key, true);
    else this.#order("newest");
  }

  #order(key, reverse = false) {
    this.#sort = key;
    this.#reverse = Boolean(reverse);
    this.#orders.value = `${key}${reverse ? " reverse" : ""}`;
    for (const [column, head] of Object.entries(this.#heads)) {
      const way = this.#reverse ? "descending" : "ascending";
      setAttribute(head, "aria-sort", column === this.#sort ? way : null);
    }
    this.#changed(true);
  }

  #clear() {
    if (document.activeElement === this.#filter && this.#filter.value === "") this.#grid.focus();
    this.#filter.value = "";
    this.#choose("all");
  }
}

function queued(job) {
  return job.queuePosition ? `${job.queuePosition}. in the queue` : "";
}

function started(job, start, now) {
  return job.status === "SCHEDULED" ? `at ${shortTime(start, now)}` : shortTime(start, now);
}
