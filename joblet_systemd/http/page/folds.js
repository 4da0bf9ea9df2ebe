// Long lines on several rows: which part of which line is in which row. Pure.

import { plain } from "./ansi.js";
import { firstFrom } from "./log.js";

/** The rows of a view of the log, of `width` characters each; those are taken to be equally wide. */
export class Folds {
  width;
  #log;
  #view;
  #ends = []; // for each line of the view, how many rows there are up to its end, those that have gone included
  #gone = 0; // rows of lines that have gone
  #removed; // lines that had gone when this was last brought up to date
  #settled; // lines before this one have not grown since

  constructor(log, view, width) {
    this.width = width;
    this.#log = log;
    this.#view = view;
    this.#removed = view.removed;
    this.#settled = log.first;
  }

  get count() {
    return (this.#ends.at(-1) ?? this.#gone) - this.#gone;
  }

  get gone() {
    return this.#gone;
  }

  /** Take in what has happened to the view. */
  update() {
    const left = Math.min(this.#view.removed - this.#removed, this.#ends.length);
    if (left > 0) {
      this.#gone = this.#ends[left - 1];
      this.#ends.splice(0, left);
    }
    this.#removed = this.#view.removed;
    const from = Math.min(this.#ends.length, Math.max(0, this.#view.index(this.#settled)));
    this.#ends.length = from;
    let end = this.#ends.at(-1) ?? this.#gone;
    for (let index = from; index < this.#view.count; index += 1) {
      const length = plain(this.#log.line(this.#view.number(index)).text).length;
      end += Math.max(1, Math.ceil(length / this.width));
      this.#ends.push(end);
    }
    this.#settled = this.#log.unsettled;
  }

  /** The place of the line that is in a row, and the character that the row begins with. */
  at(row) {
    const index = firstFrom(this.#ends, row + this.#gone + 1);
    return { index, from: (row - this.row(index)) * this.width };
  }

  /** The first row of the line in the place `index`. */
  row(index) {
    return (this.#ends[index - 1] ?? this.#gone) - this.#gone;
  }
}
