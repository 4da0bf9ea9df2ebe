// A small chart of values over time, with its meaning in words.

import { h, setAttribute, setText, svg } from "./dom.js";
import { clock } from "./text.js";

const WIDTH = 300;
const HEIGHT = 64;
const KEEP = 600; // samples
const GAP_MS = 15_000; // further apart than this, two samples are not joined by a line

/** A chart of the series `names`; `format` turns a value into words. */
export class Chart {
  element;
  #title;
  #series; // {name, values}
  #times = [];
  #format;
  /** The least that the axis goes up to. */
  top;
  #peak = h("span", { class: "peak" });
  #value = h("output", { class: "value", text: "–" });
  #graph;
  #paths;
  #cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT });
  #at = null; // the sample that is pointed at

  constructor({ title, names = [title], format, top = 0 }) {
    this.#title = title;
    this.#format = format;
    this.top = top;
    this.#series = names.map((name) => ({ name, values: [] }));
    this.#paths = names.map((_, i) => [
      svg("path", { class: `area series-${i}` }),
      svg("path", { class: `line series-${i}` }),
    ]);
    this.#cursor.setAttribute("visibility", "hidden");
    this.#graph = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
      ...this.#paths.flat(),
      this.#cursor,
    );
    this.#graph.addEventListener("pointermove", (event) => this.#point(event));
    this.#graph.addEventListener("pointerleave", () => this.#leave());
    this.element = h(
      "figure",
      { class: "chart" },
      h("figcaption", {}, h("span", { class: "title", text: title }), this.#peak, this.#value),
      this.#graph,
    );
    this.draw();
  }

  /** Add a sample: its time in ms since the epoch, a value or null for each of the series. */
  add(time, values) {
    if (time <= this.#times.at(-1)) return; // there already: history and stream overlap
    this.#times.push(time);
    this.#series.forEach((series, i) => series.values.push(values[i] ?? null));
    if (this.#times.length > KEEP) {
      this.#times.shift();
      for (const series of this.#series) series.values.shift();
    }
  }

  get samples() {
    return this.#times.length;
  }

  /** Whether there has been any value. */
  get empty() {
    return this.#series.every((series) => series.values.every((value) => value === null));
  }

  draw() {
    const start = this.#times[0] ?? 0;
    const span = Math.max(1, (this.#times.at(-1) ?? 0) - start);
    const most = Math.max(...this.#series.flatMap((series) => series.values.map((value) => value ?? 0)), 0);
    const top = Math.max(most * 1.1, this.top) || 1;
    this.#series.forEach((series, i) => {
      const runs = this.#runs(series.values, start, span, top);
      const line = runs.map((run) => `M${run.map(([x, y]) => `${x} ${y}`).join("L")}`).join("");
      const area = runs
        .map(
          (run) => `M${run[0][0]} ${HEIGHT}L${run.map(([x, y]) => `${x} ${y}`).join("L")}L${run.at(-1)[0]} ${HEIGHT}Z`,
        )
        .join("");
      setAttribute(this.#paths[i][0], "d", area);
      setAttribute(this.#paths[i][1], "d", line);
    });
    this.#label();
  }

  /** The points of a series, cut where nothing was measured. */
  #runs(values, start, span, top) {
    const runs = [];
    let run = null;
    values.forEach((value, i) => {
      if (value === null) {
        run = null;
        return;
      }
      const x = (((this.#times[i] - start) / span) * WIDTH).toFixed(1);
      const y = (HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1);
      if (run === null || this.#times[i] - this.#times[i - 1] > GAP_MS) {
        run = [];
        runs.push(run);
      }
      run.push([x, y]);
    });
    return runs;
  }

  #label() {
    const now = this.#words(this.#at ?? this.#times.length - 1);
    setText(this.#value, this.#at === null ? now : `${clock(this.#times[this.#at]).slice(0, 8)}  ${now}`);
    const peaks = this.#series.map(({ values }) => this.#format(Math.max(0, ...values.map((value) => value ?? 0))));
    const most = this.#series.map(({ name }, i) => `${name} at most ${peaks[i]}`).join(", ");
    setText(this.#peak, peaks.length === 1 ? `peak ${peaks[0]}` : "");
    const seconds = Math.round(((this.#times.at(-1) ?? 0) - (this.#times[0] ?? 0)) / 1000);
    const label = this.empty
      ? `${this.#title}: nothing measured`
      : `${this.#title}: now ${now}; ${most}; over ${seconds} seconds`;
    setAttribute(this.#graph, "aria-label", label);
  }

  #words(index) {
    const parts = this.#series.map(({ name, values }) => {
      const value = values[index] ?? null;
      const words = value === null ? "–" : this.#format(value);
      return this.#series.length > 1 ? `${name} ${words}` : words;
    });
    return parts.join(" · ");
  }

  #point(event) {
    if (this.#times.length === 0) return;
    const box = this.#graph.getBoundingClientRect();
    const span = this.#times.at(-1) - this.#times[0];
    const wanted = this.#times[0] + ((event.clientX - box.left) / box.width) * span;
    let nearest = this.#times.length - 1;
    while (nearest > 0 && Math.abs(this.#times[nearest - 1] - wanted) <= Math.abs(this.#times[nearest] - wanted)) {
      nearest -= 1;
    }
    this.#at = nearest;
    const x = span ? ((this.#times[nearest] - this.#times[0]) / span) * WIDTH : WIDTH;
    setAttribute(this.#cursor, "x1", x);
    setAttribute(this.#cursor, "x2", x);
    setAttribute(this.#cursor, "visibility", "visible");
    this.#label();
  }

  #leave() {
    this.#at = null;
    setAttribute(this.#cursor, "visibility", "hidden");
    this.#label();
  }
}
