// The charts of one job: what it uses of the host, from what is kept and live.

import { Stream, json } from "./api.js";
import { Chart } from "./chart.js";
import { h, perFrame } from "./dom.js";
import { size } from "./text.js";

export const percent = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
export const rate = (value) => `${size(value)}/s`;

export class JobCharts {
  element;
  #id;
  #cpu = new Chart({ title: "CPU", format: percent, top: 10 });
  #memory = new Chart({ title: "Memory", format: size, top: 1 << 20 });
  #io = new Chart({ title: "I/O", names: ["read", "written"], format: rate, top: 1024 });
  #last = null;
  #stream = null;
  #abort = new AbortController();
  #none = h("p", { class: "hint", text: "Nothing has been measured yet." });

  constructor(id) {
    this.#id = id;
    this.element = h(
      "section",
      { class: "charts", "aria-label": "Resources" },
      h("h2", { class: "unseen", text: "Resources" }),
      this.#cpu.element,
      this.#memory.element,
      this.#io.element,
      this.#none,
    );
    this.#draw();
  }

  close() {
    this.#abort.abort();
    this.#stream?.close();
  }

  /** Show what there is of a job; of one that has not ended, also what comes. */
  async start(ended) {
    const path = `v1/jobs/${encodeURIComponent(this.#id)}/metrics`;
    try {
      const { samples } = await json(path, { signal: this.#abort.signal });
      for (const sample of samples) this.#add(sample);
      this.#draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#none.textContent = error.message;
    }
    if (ended && this.#cpu.samples === 0)
      this.#none.textContent = "It ended before anything was measured; totals are below.";
    if (ended || this.#abort.signal.aborted) return;
    this.#stream = new Stream(path, {
      event: ({ event, data }) => {
        if (event === "end") this.#stream.close();
        else if (event === "message" || event === "sample") this.#add(JSON.parse(data));
        this.#draw();
      },
    });
  }

  #add(sample) {
    const time = Date.parse(sample.time);
    const last = this.#last;
    if (last !== null && time <= last.time) return;
    const seconds = last === null ? 0 : (time - last.time) / 1000;
    const perSecond = (key) => {
      const [before, now] = [last?.sample[key], sample[key]];
      return before === undefined || now === undefined || seconds <= 0 ? null : Math.max(0, now - before) / seconds;
    };
    this.#cpu.add(time, [sample.cpuPercent]);
    this.#memory.add(time, [sample.memoryBytes]);
    this.#io.add(time, [perSecond("ioReadBytes"), perSecond("ioWriteBytes")]);
    this.#last = { time, sample };
  }

  #draw = perFrame(() => {
    const charts = [this.#cpu, this.#memory, this.#io];
    const missing = ["Memory", "I/O"].filter((_, i) => charts[i + 1].empty);
    if (this.#cpu.samples > 2 && missing.length > 0) {
      this.#none.textContent = `${missing.join(" and ")}: not accounted for on this host.`;
    }
    this.#none.hidden = missing.length === 0;
    for (const chart of charts) {
      chart.element.hidden = chart.empty;
      if (!chart.empty) chart.draw();
    }
  });
}
