// A job's output as lines, bounded in number and size. Pure.

import { PLAIN, plain, styleAfter } from "./ansi.js";
import { count, size } from "./text.js";

export const KEEP_LINES = 200_000;
const KEEP_CHARACTERS = 64 << 20;
const TRIM_AT_ONCE = 5_000; // lines: to take them off one by one would move all others each time
const LONGEST_PIECE = 4_000; // characters: a longer line is shown as several

export const STDOUT = 0;
export const STDERR = 1;
export const NOTICE = 2; // not of the job: what we have to say about its output

const STREAMS = { stdout: STDOUT, stderr: STDERR };

/**
 * Lines have numbers that never change: `first` is that of the oldest one still kept, `end` the one behind the last.
 *
 * A line is `{number, text, stream, time, style, more}`: `style` is what colours it begins with, `more` whether it goes on in
 * the next line of its stream (it was too long). `version` grows with each change to lines that were there before.
 */
export class Log {
  lines = [];
  first = 0;
  version = 0;
  /** What of the output the node has told to be lost, in how many places. */
  lost = { places: 0, lines: 0, entries: 0, bytes: 0 };
  #limit;
  #characters = 0;
  #open = [null, null]; // a stream's last line, as long as no newline has ended it
  #styles = [PLAIN, PLAIN];

  constructor(limit = KEEP_LINES) {
    this.#limit = limit;
  }

  get end() {
    return this.first + this.lines.length;
  }

  line(number) {
    return this.lines[number - this.first];
  }

  /** The number of the first line that may still grow; `end` if none may. */
  get unsettled() {
    return Math.min(this.end, ...this.#open.map((line) => line?.number ?? Infinity));
  }

  /** Take an event of the stream of output: `{stream, time, text}`, or `base64` in place of `text`. */
  add({ stream, time, text, base64 }) {
    const from = STREAMS[stream] ?? STDOUT;
    const at = Date.parse(time);
    this.#append(text ?? decoded(base64), from, at);
    this.#trim();
  }

  /** Put in a line of our own. */
  notice(text, time = Date.now()) {
    this.#open = [null, null];
    this.#push(text, NOTICE, time);
    this.#trim();
  }

  /** Take an event that tells what is lost here: `{time, reason, lines, entries, bytes}`. */
  lose(loss) {
    this.lost.places += 1;
    for (const key of ["lines", "entries", "bytes"]) this.lost[key] += loss[key] ?? 0;
    this.notice(`${amount(loss)} lost here: ${REASONS[loss.reason] ?? loss.reason}`, Date.parse(loss.time));
  }

  #append(text, stream, time) {
    let from = 0;
    while (from < text.length) {
      const newline = text.indexOf("\n", from);
      const to = newline === -1 ? text.length : newline;
      this.#piece(text.slice(from, to), stream, time);
      if (newline !== -1) this.#close(stream);
      from = to + 1;
    }
  }

  #piece(text, stream, time) {
    let from = 0;
    do {
      let line = this.#open[stream];
      if (line === null) {
        line = this.#push("", stream, time);
        this.#open[stream] = line;
      } else if (text === "") {
        return; // the newline of what came before
      } else if (line.text.length >= LONGEST_PIECE) {
        line.more = true;
        this.#close(stream);
        continue;
      } else {
        this.version += 1;
      }
      const part = text.slice(from, from + LONGEST_PIECE - line.text.length);
      line.text += part;
      from += part.length;
      this.#characters += part.length;
    } while (from < text.length);
  }

  #close(stream) {
    const line = this.#open[stream];
    if (line === null) {
      return;
    }
    this.#styles[stream] = styleAfter(line.text, line.style);
    this.#open[stream] = null;
  }

  #push(text, stream, time) {
    const line = { number: this.end, text, stream, time, style: this.#styles[stream] ?? PLAIN, more: false };
    this.lines.push(line);
    this.#characters += text.length;
    return line;
  }

  #trim() {
    let drop = 0;
    if (this.lines.length > this.#limit + TRIM_AT_ONCE) drop = this.lines.length - this.#limit;
    while (this.#characters > KEEP_CHARACTERS && drop < this.lines.length - 1) {
      const until = Math.min(drop + TRIM_AT_ONCE, this.lines.length - 1);
      for (; drop < until; drop += 1) this.#characters -= this.lines[drop].text.length;
    }
    if (drop === 0) return;
    this.lines.splice(0, drop);
    this.first += drop;
  }
}

const REASONS = { limit: "the job has used up its share of the log", journal: "it is not in the journal any more" };

/** How much output is lost, in words: ends of lines and bytes of it, or journal entries, as far as they are known. */
export function amount({ lines, entries, bytes }) {
  const parts = [];
  if (lines) parts.push(count(lines, "line"));
  if (entries) parts.push(`output in ${count(entries, "piece")}`);
  return `${parts.join(" and ") || "output"}${bytes ? ` (${size(bytes)})` : ""}`;
}

/** The bytes of a base64 text as text: what is no UTF-8 becomes U+FFFD. */
function decoded(base64) {
  const binary = atob(base64);
  return new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
}

/**
 * Which lines are looked at: those of `streams`, and if `only`, those that have `text` in them.
 *
 * `text` is looked for as it is; without capitals in it, small and capital letters are the same.
 */
export class Selection {
  constructor({ text = "", only = false, streams = new Set([STDOUT, STDERR]) } = {}) {
    this.text = text;
    this.only = only && text !== "";
    this.streams = streams;
    this.fold = text === text.toLowerCase();
  }

  get everything() {
    return !this.only && this.streams.size === 2;
  }

  matches(line) {
    return this.text !== "" && this.find(plain(line.text), 0) !== -1;
  }

  /** Where in `text` it is found from `from` on, or -1. */
  find(text, from) {
    return (this.fold ? folded(text) : text).indexOf(this.text, from);
  }
}

/** In small letters, where that does not change the places of letters. */
function folded(text) {
  const small = text.toLowerCase();
  return small.length === text.length ? small : text;
}

const LINES_AT_ONCE = 10_000; // about 5 ms

/** The numbers of lines that a selection shows, and of those that have its text; kept up as lines come and go. */
export class View {
  /** Of lines that are shown; null when that is all of them. */
  shown = null;
  matching = [];
  /** How many of its lines have gone since it was made. */
  removed = 0;
  #log;
  #selection;
  #start;
  #next;

  constructor(log, selection) {
    this.#log = log;
    this.#selection = selection;
    this.#start = log.first;
    this.#next = log.first;
    if (!selection.everything) this.shown = [];
  }

  get count() {
    return this.shown === null ? this.#log.lines.length : this.shown.length;
  }

  /** The number of the line in the place `index`. */
  number(index) {
    return this.shown === null ? this.#log.first + index : this.shown[index];
  }

  /** The place of a line, or of the one behind it if it is not shown. */
  index(number) {
    return this.shown === null ? number - this.#log.first : firstFrom(this.shown, number);
  }

  /** Look at some of the lines that came; whether there are more to be looked at. */
  advance() {
    const log = this.#log;
    const selection = this.#selection;
    if (this.shown === null) this.removed = log.first - this.#start;
    else this.removed += this.shown.splice(0, firstFrom(this.shown, log.first)).length;
    if (this.matching[0] < log.first) this.matching.splice(0, firstFrom(this.matching, log.first));
    this.#next = Math.max(this.#next, log.first);
    if (this.shown === null && selection.text === "") {
      this.#next = log.end;
      return false;
    }
    const until = Math.min(log.end, this.#next + LINES_AT_ONCE);
    for (; this.#next < until; this.#next += 1) {
      const line = log.line(this.#next);
      const listed = line.stream === NOTICE || selection.streams.has(line.stream);
      const matching = listed && line.stream !== NOTICE && selection.matches(line);
      if (matching) this.matching.push(this.#next);
      if (this.shown !== null && listed && (!selection.only || matching || line.stream === NOTICE)) {
        this.shown.push(this.#next);
      }
    }
    return this.#next < log.end;
  }
}

/** The index of the first number that is `wanted` or more, in numbers that grow. */
export function firstFrom(numbers, wanted) {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
