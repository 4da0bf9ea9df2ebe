// A list of any length in which only the rows that are seen are elements.

import { perFrame } from "./dom.js";

const BEYOND = 8; // rows above and below what is seen, for quick fingers
// Browsers make no element higher than some 17 (Firefox) or 33 million px (Chromium).
const HIGHEST = 10_000_000; // px

/**
 * Rows of one height (px) inside of `box`, an element that scrolls.
 *
 * `make()` makes a row's element, `fill(element, index)` shows something in it, and `stamp(index)` is anything that
 * changes when a row is to be filled again. Rows stand in the document in their order, so that text can be selected.
 */
export class Rows {
  count = 0;
  #box;
  #space = document.createElement("div");
  #window = document.createElement("div");
  #height;
  #source;
  #first = 0;
  #rows = []; // {element, stamp}, from #first on
  #spare = [];

  constructor(box, { height, make, fill, stamp }) {
    this.#box = box;
    this.#height = height;
    this.#source = { make, fill, stamp };
    this.#space.className = "rows";
    for (const element of [this.#space, this.#window]) element.setAttribute("role", "presentation");
    this.#space.append(this.#window);
    box.append(this.#space);
    /** Draw in the next frame. */
    this.draw = perFrame(() => this.drawNow());
    box.addEventListener("scroll", this.draw, { passive: true });
    new ResizeObserver(this.draw).observe(box);
  }

  set height(height) {
    this.#height = height;
    this.draw();
  }

  /** The element of a row, if it is one of those that are there. */
  element(index) {
    return this.#rows[index - this.#first]?.element;
  }

  /** How many rows go into the box. */
  get page() {
    return Math.max(1, Math.floor(this.#box.clientHeight / this.#height) - 1);
  }

  /** How high all rows are, px. */
  get #total() {
    return this.count * this.#height;
  }

  /** So many px of the rows go by with each that the box scrolls: 1, but for more rows than an element can be high. */
  get #scale() {
    if (this.#total <= HIGHEST) return 1;
    this.#stretch();
    const fixed = this.#box.scrollHeight - HIGHEST - this.#box.clientHeight; // padding less what is seen
    return (this.#total + fixed) / (HIGHEST + fixed);
  }

  /** Where in all of the rows the box stands, px. */
  get top() {
    return this.#box.scrollTop * this.#scale;
  }

  set top(top) {
    this.#stretch();
    this.#box.scrollTop = top / this.#scale;
  }

  /** Give the box as much to scroll as there are rows. */
  #stretch() {
    const height = `${Math.min(this.#total, HIGHEST)}px`;
    if (this.#space.style.height !== height) this.#space.style.height = height;
  }

  drawNow() {
    const box = this.#box;
    if (box.clientHeight === 0 && this.count > 0) return; // not on display
    this.#stretch();
    const top = this.top;
    const first = Math.min(Math.max(0, Math.floor(top / this.#height) - BEYOND), this.count);
    const last = Math.min(this.count, Math.ceil((top + box.clientHeight) / this.#height) + BEYOND);
    this.#move(first, last);
    this.#window.style.transform = `translateY(${box.scrollTop + first * this.#height - top}px)`;
    for (let index = first; index < last; index += 1) {
      const row = this.#rows[index - first];
      const stamp = this.#source.stamp(index);
      if (row.stamp === stamp) continue;
      row.stamp = stamp;
      this.#source.fill(row.element, index);
    }
  }

  /** Have the elements of the rows from `first` up to `last`, keeping those that are there. */
  #move(first, last) {
    if (first >= this.#first + this.#rows.length || last <= this.#first) {
      // None of them: what is there is used again where it is, which costs the browser least.
      this.#first = first;
      for (const row of this.#rows) row.stamp = undefined;
    }
    while (this.#rows.length > 0 && this.#first < first) {
      this.#release(this.#rows.shift());
      this.#first += 1;
    }
    while (this.#rows.length > 0 && this.#first + this.#rows.length > last) this.#release(this.#rows.pop());
    while (this.#first > first) {
      this.#first -= 1;
      const row = this.#take();
      this.#rows.unshift(row);
      this.#window.prepend(row.element);
    }
    while (this.#first + this.#rows.length < last) {
      const row = this.#take();
      this.#rows.push(row);
      this.#window.append(row.element);
    }
  }

  #take() {
    return this.#spare.pop() ?? { element: this.#source.make(), stamp: undefined };
  }

  #release(row) {
    row.element.remove();
    row.stamp = undefined;
    if (this.#spare.length < 100) this.#spare.push(row);
  }

  /** Scroll as little as it takes to have a row in sight; with `middle`, into the middle unless it is in sight. */
  reveal(index, middle = false) {
    const seen = this.#box.clientHeight;
    const row = index * this.#height;
    const above = row < this.top;
    if (!above && row + this.#height <= this.top + seen) return;
    if (middle) this.top = row - seen / 2;
    else this.top = above ? row : row + this.#height - seen;
  }

  get atEnd() {
    return this.top + this.#box.clientHeight >= this.#total - this.#height;
  }

  toEnd() {
    this.top = this.#total;
  }
}
