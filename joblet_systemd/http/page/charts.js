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
  #held = null; // samples of the stream that wait for older ones
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
    await this.#catchUp();
    if (ended && this.#cpu.samples === 0)
      this.#none.textContent = "It ended before anything was measured; totals are below.";
    if (ended || this.#abort.signal.aborted) return;
    this.#stream = new Stream(this.#path, {
      // The stream tells of now only: not of the time that this window was hidden, or had to wait.
      open: () => this.#catchUp(),
      event: ({ event, data }) => {
        if (event === "end") this.#stream.close();
        else if (event === "message") this.#take(JSON.parse(data));
      },
    });
  }

  get #path() {
    return `v1/jobs/${encodeURIComponent(this.#id)}/metrics`;
  }

  /** Take what the node has kept since the last sample; what comes meanwhile waits until then. */
  async #catchUp() {
    const held = [];
    this.#held = held;
    const since = this.#last === null ? "" : `?since=${encodeURIComponent(this.#last.sample.time)}`;
    let samples = [];
    try {
      ({ samples } = await json(`${this.#path}${since}`, { signal: this.#abort.signal }));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#none.textContent = error.message;
    }
    if (this.#held !== held) return; // asked for again meanwhile
    this.#held = null;
    for (const sample of [...samples, ...held]) this.#take(sample);
    this.#draw();
  }

  #take(sample) {
    if (this.#held !== null) {
      this.#held.push(sample);
      return;
    }
    this.#add(sample);
    this.#draw();
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
    // A sample or two tell nothing yet of what the others will have.
    this.#none.hidden = missing.length === 0 || (!this.#cpu.empty && this.#cpu.samples <= 2);
    for (const chart of charts) {
      chart.element.hidden = chart.empty;
      if (!chart.empty) chart.draw();
    }
  });
}
