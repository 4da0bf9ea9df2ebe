// A job's output on display: as it comes, searched, coloured, copied, downloaded.

import { Stream } from "./api.js";
import { plain } from "./ansi.js";
import { announce, h, perFrame, setAttribute, setText } from "./dom.js";
import { copyLines, downloadOutput } from "./export.js";
import { Folds } from "./folds.js";
import { elementsOf } from "./line.js";
import { KEEP_LINES, Log, STDERR, STDOUT, Selection, View, firstFrom } from "./log.js";
import { Rows } from "./rows.js";
import { clock, count, dateTime } from "./text.js";

const ROW = 20; // px, as in style.css
const SEARCH_PAUSE_MS = 150;
const MARGINS = 30; // px, beside the text
const TIME_COLUMNS = 12;
const NARROW = matchMedia("(max-width: 720px)");

/** The output of the job `id`. `ended(result)` is called at the end of the stream with what it tells of the end. */
export class LogView {
  element;
  #id;
  #log = new Log();
  #selection = new Selection();
  #view;
  #folds = null; // when long lines are wrapped
  #wrap = NARROW.matches;
  #stream;
  #rows;
  #box;
  #search;
  #found;
  #where;
  #only;
  #follow = true;
  #hit = null; // the number of the line that the search stands at
  #drawn = 0; // grows when all rows are to be drawn anew
  #state = "Waiting for output…";
  #controls = {};
  #timer = null;

  constructor(id, { ended }) {
    this.#id = id;
    this.#view = new View(this.#log, this.#selection);
    this.#build();
    this.#stream = new Stream(`v1/jobs/${encodeURIComponent(id)}/logs?tail=${KEEP_LINES}`, {
      open: () => this.#say(this.#log.end ? "" : "Waiting for output…"),
      event: (event) => this.#take(event, ended),
      fail: (problem) => {
        this.#log.notice(`The output cannot be read: ${problem.message} ${problem.hint ?? ""}`);
        this.#say("");
        this.#soon();
      },
    });
  }

  close() {
    this.#stream.close();
    clearTimeout(this.#timer);
  }

  get keys() {
    return [
      { key: "/", label: "search the output", run: () => this.#search.focus() },
      { key: "n", label: "next place found", run: () => this.#go(1) },
      { key: "N", label: "previous place found", run: () => this.#go(-1) },
      { key: "f", label: "follow the output", run: () => this.#setFollow(!this.#follow) },
      { key: "w", label: "wrap long lines", run: () => this.#toggleWrap() },
      { key: "t", label: "times", run: () => this.#controls.times.click() },
      { key: ["j", "ArrowDown"], label: "scroll down", run: () => this.#scroll(ROW * 2) },
      { key: ["k", "ArrowUp"], label: "scroll up", run: () => this.#scroll(-ROW * 2) },
      { key: ["PageDown", " "], run: () => this.#scroll(this.#box.clientHeight - ROW) },
      { key: "PageUp", run: () => this.#scroll(ROW - this.#box.clientHeight) },
      { key: ["g", "Home"], label: "start of the output", run: () => this.#toStart() },
      { key: ["G", "End"], label: "end of the output", run: () => this.#setFollow(true) },
    ];
  }

  shown() {
    this.#box.focus({ preventScroll: true });
    this.#rows.draw();
  }

  /** What Esc does here; whether there was anything to do. */
  escape() {
    if (document.activeElement !== this.#search && this.#search.value === "") return false;
    this.#search.value = "";
    this.#searchNow();
    this.#box.focus();
    return true;
  }

  #build() {
    const button = (key, label, title, run, pressed) => {
      const element = h("button", {
        type: "button",
        class: "small",
        title,
        "aria-pressed": pressed,
        onclick: run,
        text: label,
      });
      this.#controls[key] = element;
      return element;
    };
    this.#search = h("input", {
      type: "search",
      placeholder: "Search the output",
      "aria-label": "Search the output",
      "aria-keyshortcuts": "/",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#searchNow(), SEARCH_PAUSE_MS);
      },
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        this.#go(event.shiftKey ? -1 : 1);
      },
    });
    this.#only = h("input", { type: "checkbox", onchange: () => this.#select() });
    this.#found = h("span", { class: "found", role: "status" });
    this.#where = h(
      "select",
      { "aria-label": "Streams shown", onchange: () => this.#select() },
      h("option", { value: "both", text: "all output" }),
      h("option", { value: "stdout", text: "stdout" }),
      h("option", { value: "stderr", text: "stderr" }),
    );
    this.#box = h("div", { class: "log-box", tabindex: 0, role: "region", "aria-label": "Output" });
    this.#controls.bottom = h("button", {
      type: "button",
      class: "to-end",
      hidden: true,
      onclick: () => this.#setFollow(true),
    });
    this.#controls.probe = h("code", { class: "probe", "aria-hidden": "true", text: "0".repeat(100) });
    this.#controls.state = h("span", { class: "log-state", role: "status" });
    this.element = h(
      "section",
      { class: "log", "aria-label": "Output of the job" },
      h(
        "div",
        { class: "bar" },
        this.#search,
        h("label", { class: "check", title: "Show only the lines found" }, this.#only, "only these"),
        this.#found,
        h("span", { class: "grow" }),
        this.#where,
        button("wrap", "Wrap", "Show long lines on several rows (w)", () => this.#toggleWrap(), this.#wrap),
        button("times", "Times", "Show when each line was written (t)", () => this.#toggleTimes(), false),
        button("follow", "Follow", "Stay at the end as output comes (f)", () => this.#setFollow(!this.#follow), true),
        button("copy", "Copy", "Copy the lines shown", () => this.#copy()),
        button("download", "Download", "Download what the node has of the output, byte for byte", () => this.#download()),
      ),
      h("div", { class: "log-frame" }, this.#controls.probe, this.#box, this.#controls.bottom),
      h("div", { class: "foot" }, this.#controls.state),
    );
    this.#rows = new Rows(this.#box, {
      height: ROW,
      make: () =>
        h("div", { class: "line" }, h("time", {}), h("span", { class: "mark", "aria-hidden": "true" }), h("code", {})),
      fill: (element, row) => this.#fill(element, row),
      stamp: (row) => {
        const { number, from } = this.#place(row);
        return `${number}|${from}|${this.#log.line(number)?.text.length}|${this.#drawn}|${number === this.#hit}`;
      },
    });
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.#box);
    this.#say(this.#state);
  }

  // --- what comes ----------------------------------------------------------------------------------------------

  #take({ event, data }, ended) {
    if (event === "message") {
      if (this.#state) this.#say("");
      this.#log.add(JSON.parse(data));
    } else if (event === "dropped") {
      this.#log.lose(JSON.parse(data));
    } else if (event === "end") {
      this.#stream.close();
      const result = JSON.parse(data);
      this.#say(`End of the output${this.#log.end ? "" : ": there was none"}.`);
      ended(result);
    }
    this.#soon();
  }

  #soon = perFrame(() => this.#refresh());

  #refresh() {
    const more = this.#view.advance();
    this.#folds?.update();
    this.#rows.count = this.#folds?.count ?? this.#view.count;
    const gone = this.#folds?.gone ?? this.#view.removed;
    // Rows went at the start: stay with those that are looked at.
    if (!this.#follow && gone > this.#gone) this.#rows.top -= (gone - this.#gone) * ROW;
    this.#gone = gone;
    this.#rows.drawNow();
    if (this.#stay !== null && !this.#follow) this.#rows.top = this.#row(this.#stay) * ROW;
    this.#stay = null;
    if (this.#follow) {
      this.#rows.toEnd();
      this.#rows.drawNow();
    }
    this.#tellFound(more);
    this.#tellState();
    if (more) this.#soon();
  }

  #gone = 0;

  #say(text) {
    this.#state = text;
    this.#tellState();
  }

  #tellState() {
    const lines = count(this.#log.lines.length, "line");
    const parts = [];
    // No more than so many have been asked for.
    if (this.#log.first > 0 || this.#log.end >= KEEP_LINES) parts.push(`the last ${lines}; Download has all that is kept`);
    else if (this.#log.end > 0) parts.push(lines);
    if (this.#state) parts.push(this.#state);
    setText(this.#controls.state, parts.join(" · "));
    const behind = this.#follow ? 0 : this.#log.end - this.#seen;
    this.#controls.bottom.hidden = this.#follow || this.#rows.count === 0;
    setText(this.#controls.bottom, behind > 0 ? `↓ ${count(behind, "new line")}` : "↓ To the end");
  }

  // --- how it looks --------------------------------------------------------------------------------------------

  /** Which line is in a row, by its number, and with which of its characters the row begins. */
  #place(row) {
    if (this.#folds === null) return { number: this.#view.number(row), from: 0 };
    const { index, from } = this.#folds.at(row);
    return { number: this.#view.number(index), from };
  }

  /** The first row of the line with that number. */
  #row(number) {
    const index = this.#view.index(number);
    return this.#folds?.row(index) ?? index;
  }

  #fill(element, row) {
    const { number, from } = this.#place(row);
    const line = this.#log.line(number);
    const [time, , code] = element.children;
    if (line === undefined) {
      code.replaceChildren();
      return;
    }
    element.className = `line ${["out", "err", "notice"][line.stream]}${number === this.#hit ? " hit" : ""}`;
    setAttribute(element, "aria-label", line.stream === STDERR ? `stderr: ${plain(line.text)}` : null);
    const timed = this.#times && from === 0;
    setText(time, timed ? clock(line.time) : "");
    setAttribute(time, "title", timed ? dateTime(line.time) : null);
    code.replaceChildren(...elementsOf(line, this.#selection, from, from + (this.#folds?.width ?? Infinity)));
  }

  #times = false;

  // --- what one does with it -----------------------------------------------------------------------------------

  #searchNow() {
    this.#select();
    this.#hit = null;
  }

  #select() {
    const streams = { both: [STDOUT, STDERR], stdout: [STDOUT], stderr: [STDERR] }[this.#where.value];
    this.#selection = new Selection({ text: this.#search.value, only: this.#only.checked, streams: new Set(streams) });
    this.#view = new View(this.#log, this.#selection);
    this.#refold();
  }

  /** How many characters go into a row. */
  get #columns() {
    const width = this.#controls.probe.getBoundingClientRect().width / this.#controls.probe.textContent.length;
    const columns = Math.floor((this.#box.clientWidth - MARGINS) / width) - (this.#times ? TIME_COLUMNS : 0);
    return Math.max(20, columns || 0);
  }

  /** Lay out all rows anew. */
  #refold() {
    this.#folds = this.#wrap ? new Folds(this.#log, this.#view, this.#columns) : null;
    this.#gone = this.#folds?.gone ?? this.#view.removed;
    this.#drawn += 1;
    this.#soon();
  }

  /** The same, with the line on top staying there. */
  #refoldHere() {
    const top = Math.floor(this.#rows.top / ROW);
    this.#stay = top < this.#rows.count ? this.#place(top).number : null;
    this.#refold();
  }

  #stay = null;

  #resized() {
    if (this.#wrap && this.#folds?.width !== this.#columns) this.#refoldHere();
    this.#soon();
  }

  #toggleWrap() {
    this.#wrap = !this.#wrap;
    setAttribute(this.#controls.wrap, "aria-pressed", this.#wrap);
    this.#refoldHere();
  }

  #tellFound(more) {
    const { matching } = this.#view;
    if (this.#selection.text === "") {
      setText(this.#found, "");
      return;
    }
    const at = this.#hit === null ? "" : `${firstFrom(matching, this.#hit) + 1} of `;
    setText(
      this.#found,
      more ? "searching…" : matching.length === 0 ? "not found" : `${at}${count(matching.length, "line")}`,
    );
  }

  /** To the next line with the searched text, or to the one before; around the end, too. */
  #go(by) {
    if (this.#search.value !== this.#selection.text) this.#searchNow();
    while (this.#view.advance());
    const { matching } = this.#view;
    if (matching.length === 0) {
      this.#soon();
      return;
    }
    const from = this.#hit ?? this.#place(Math.floor(this.#rows.top / ROW)).number - 1;
    let place = firstFrom(matching, by > 0 ? from + 1 : from) + (by > 0 ? 0 : -1);
    place = (place + matching.length) % matching.length;
    this.#hit = matching[place];
    this.#setFollow(false);
    this.#folds?.update();
    this.#rows.count = this.#folds?.count ?? this.#view.count;
    this.#rows.reveal(this.#row(this.#hit), true);
    this.#soon();
    announce(plain(this.#log.line(this.#hit).text).slice(0, 200));
  }

  #scroll(by) {
    this.#rows.top += by;
  }

  #toStart() {
    this.#setFollow(false);
    this.#box.scrollTop = 0;
  }

  #seen = 0; // how many lines there were when following was given up

  #setFollow(follow) {
    if (!follow && this.#follow) this.#seen = this.#log.end;
    this.#follow = follow;
    setAttribute(this.#controls.follow, "aria-pressed", follow);
    this.#soon();
  }

  #top = 0;

  /** To scroll up is to stop following; to be at the end, to go on. */
  #scrolled() {
    const top = this.#box.scrollTop;
    if (this.#rows.atEnd) {
      if (!this.#follow) this.#setFollow(true);
    } else if (this.#follow && top < this.#top - 1) {
      this.#setFollow(false);
    }
    this.#top = top;
  }

  #toggleTimes() {
    this.#times = !this.#times;
    setAttribute(this.#controls.times, "aria-pressed", this.#times);
    this.element.classList.toggle("timed", this.#times);
    this.#refoldHere();
  }

  #copy() {
    while (this.#view.advance());
    return copyLines(this.#log, this.#view, this.#times);
  }

  #download() {
    return downloadOutput(this.#id, this.#log);
  }
}
