// The view of one job: what it is, how it fares, what it writes.

import { json, request } from "./api.js";
import { badge, showState } from "./badge.js";
import { JobCharts } from "./charts.js";
import { explained, h, setText, toast } from "./dom.js";
import { FINAL, WAITING, commandOf, ranFor, resultOf, titleOf } from "./jobs.js";
import { LogView } from "./logview.js";
import { dateTime, duration, printable, size } from "./text.js";

const RETRY_MS = 2_000;

export class JobView {
  element = h("section", { class: "view job", "aria-label": "Job" });
  #id;
  #feed;
  #me;
  #again;
  #job = null;
  #whole = null; // as the node tells of it alone
  #log = null;
  #charts = null;
  #unwatch;
  #timer;
  #retry = null;
  #abort = new AbortController();
  #parts = {};

  /** `again(job)` opens the form with what the job was started with. */
  constructor(id, { feed, me, again }) {
    this.#id = id;
    this.#feed = feed;
    this.#me = me;
    this.#again = again;
    this.#unwatch = feed.watch(id, (job) => (job === null ? this.#deleted() : this.#update(job)));
    this.#timer = setInterval(() => this.#tick(), 1000);
    const known = feed.store.get(id);
    if (known) this.#update(known);
    this.#load();
  }

  close() {
    this.#unwatch();
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    this.#abort.abort();
    this.#log?.close();
    this.#charts?.close();
  }

  get keys() {
    const { stop, again } = this.#parts;
    const stopping = { key: "s", label: "stop the job", run: () => !stop.hidden && stop.click() };
    return [
      ...(this.#log?.keys ?? []),
      ...(this.#job && this.#me.mayStop(this.#job) ? [stopping] : []),
      ...(again ? [{ key: "r", label: "run it again", run: () => again.click() }] : []),
      { key: "Escape", label: "back to the list", run: () => this.#log?.escape() || (location.hash = "#/jobs") },
    ];
  }

  shown() {
    this.#log?.shown();
  }

  async #load() {
    const mark = this.#feed.store.mark();
    try {
      const job = await json(`v1/jobs/${encodeURIComponent(this.#id)}`, { signal: this.#abort.signal });
      if (job.uuid !== this.#id) {
        location.replace(`#/jobs/${encodeURIComponent(job.uuid)}`); // it was asked for by name or by part of its id
        return;
      }
      this.#whole = job;
      this.#feed.store.page([job], mark);
      this.#update(this.#feed.store.get(this.#id) ?? job);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.passing) this.#retry = setTimeout(() => this.#load(), RETRY_MS);
      if (this.#job !== null) return;
      this.element.replaceChildren(
        h(
          "div",
          { class: "empty", role: "alert" },
          h("h1", { text: "This job cannot be shown" }),
          ...explained(error),
          h("p", {}, h("a", { href: "#/jobs", text: "All jobs" })),
        ),
      );
    }
  }

  #deleted() {
    toast("The job has been deleted.");
    location.hash = "#/jobs";
  }

  #build(job) {
    const parts = this.#parts;
    parts.badge = badge();
    parts.title = h("h1", { tabindex: -1 });
    parts.command = h("p", { class: "command" });
    parts.meta = h("p", { class: "meta" });
    parts.stop = h("button", {
      type: "button",
      class: "danger",
      hidden: true,
      "aria-keyshortcuts": "s",
      onclick: () => this.#stop(),
    });
    if (this.#me.maySubmit) {
      parts.again = h("button", {
        type: "button",
        "aria-keyshortcuts": "r",
        disabled: true,
        onclick: () => this.#again(this.#job),
        text: "Run again…",
      });
    }
    parts.facts = h("dl", { class: "facts" });
    this.#log = new LogView(this.#id, { ended: () => this.#load() });
    this.#charts = new JobCharts(this.#id);
    this.#charts.start(FINAL.has(job.status));
    this.element.replaceChildren(
      h(
        "header",
        { class: "job-head" },
        h("a", { class: "back", href: "#/jobs", "aria-label": "All jobs" }, "‹"),
        h(
          "div",
          { class: "job-title" },
          h("div", { class: "title-line" }, parts.title, parts.badge),
          parts.command,
          parts.meta,
        ),
        h("div", { class: "actions" }, parts.again, parts.stop),
      ),
      h(
        "div",
        { class: "job-body" },
        this.#log.element,
        h(
          "aside",
          { "aria-label": "About the job" },
          this.#charts.element,
          h("details", { open: true }, h("summary", { text: "Details" }), parts.facts),
        ),
      ),
    );
  }

  #update(changed) {
    const first = this.#job === null;
    if (first) this.#build(changed);
    // Lists and changes leave out what is long.
    const omitted = this.#whole === null ? [] : (changed.omitted ?? []);
    const job = { ...changed, ...Object.fromEntries(omitted.map((key) => [key, this.#whole[key]])) };
    if (omitted.length > 0) job.omitted = [];
    this.#job = job;
    const parts = this.#parts;
    // Not before all of it is known: without its arguments it would be another job.
    if (parts.again) parts.again.disabled = this.#whole === null;
    const title = printable(titleOf(job));
    document.title = `${title} · Joblet`;
    setText(parts.title, title);
    showState(parts.badge, job.status);
    setText(parts.command, job.name ? printable(commandOf(job)) : "");
    parts.command.hidden = !job.name;
    const waiting = WAITING.has(job.status);
    parts.stop.hidden = FINAL.has(job.status) || job.status === "STOPPING" || !this.#me.mayStop(job);
    setText(parts.stop, waiting ? "Cancel" : "Stop");
    parts.facts.replaceChildren(
      ...factsOf(job).flatMap(([name, value]) => [
        h("dt", { text: name }),
        h("dd", { class: VERBATIM.has(name) && "verbatim", text: value }),
      ]),
    );
    this.#tick();
    if (!first) return;
    this.element.dispatchEvent(new CustomEvent("built"));
    this.#log.shown();
  }

  #tick() {
    if (this.#job === null) return;
    const job = this.#job;
    const words = [];
    if (resultOf(job)) words.push(printable(resultOf(job)));
    const ran = ranFor(job, Date.now());
    if (ran !== null) words.push(FINAL.has(job.status) ? `ran ${duration(ran)}` : `for ${duration(ran)}`);
    if (job.status === "SCHEDULED" && job.scheduledTime) words.push(`at ${dateTime(Date.parse(job.scheduledTime))}`);
    if (job.queuePosition) words.push(`${job.queuePosition}. in the queue`);
    if (job.owner) words.push(printable(job.owner));
    setText(this.#parts.meta, words.join(" · "));
  }

  #stop() {
    const waiting = WAITING.has(this.#job.status);
    const what = waiting
      ? "It has not begun and will not."
      : "Its processes get SIGTERM, and SIGKILL if they have not ended after the grace period.";
    const go = h("button", { class: "danger", value: "yes", text: waiting ? "Cancel the job" : "Stop the job" });
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": "stop-title",
        onclose: () => {
          dialog.remove();
          if (dialog.returnValue === "yes") this.#stopNow();
        },
      },
      h("h2", { id: "stop-title", text: waiting ? "Cancel this job?" : "Stop this job?" }),
      h("p", { class: "command", text: printable(titleOf(this.#job)) }),
      h("p", { text: what }),
      h("form", { method: "dialog", class: "actions" }, h("button", { value: "no", text: "Leave it" }), go),
    );
    document.body.append(dialog);
    dialog.showModal();
    go.focus();
  }

  async #stopNow() {
    const { stop } = this.#parts;
    stop.disabled = true;
    try {
      await request(`v1/jobs/${encodeURIComponent(this.#id)}`, { method: "DELETE" });
      toast("The job is stopped.");
    } catch (error) {
      toast("The job could not be stopped", error);
    } finally {
      stop.disabled = false;
    }
  }
}

const VERBATIM = new Set(["Id", "Command", "Environment", "Unit"]);

/** What is known of a job and is not empty, as pairs of texts. */
function factsOf(job) {
  const at = (time) => time && dateTime(Date.parse(time));
  const bytes = (value) => (value === null || value === undefined ? "" : size(value));
  const variables = [
    ...Object.entries(job.environment ?? {}).map(([key, value]) => `${key}=${value}`),
    ...Object.keys(job.secretEnvironment ?? {}).map((key) => `${key}=*** (secret)`),
  ];
  const facts = [
    ["Id", job.uuid],
    ["Command", commandOf(job)],
    ["Owner", job.owner],
    ["Scheduled", at(job.scheduledTime)],
    ["Schedule", job.schedule],
    ["Started", at(job.startTime)],
    ["Ended", at(job.endTime)],
    ["Attempt", job.retries ? `${job.attempt || 0} of ${job.retries + 1}` : ""],
    ["CPU time", job.cpuUsec === null || job.cpuUsec === undefined ? "" : duration(job.cpuUsec / 1e6)],
    ["Peak memory", bytes(job.memoryPeakBytes)],
    ["Read", bytes(job.ioReadBytes)],
    ["Written", bytes(job.ioWriteBytes)],
    ["CPU limit", job.maxCpu ? `${job.maxCpu} %` : ""],
    ["CPU cores", job.cpuCores],
    ["Memory limit", job.maxMemory ? `${job.maxMemory} MB` : ""],
    ["Disk limit", job.maxDisk ? `${job.maxDisk} MB` : ""],
    ["I/O limit", job.maxIoBps ? `${size(job.maxIoBps)}/s` : ""],
    ["Time limit", job.maxRuntimeMs ? duration(job.maxRuntimeMs / 1000) : ""],
    ["Priority", job.priority ? String(job.priority) : ""],
    ["Runtime", job.runtime],
    ["Network", job.network],
    ["Volumes", (job.volumes ?? []).join(", ")],
    ["Uploads", (job.uploads ?? []).join(", ")],
    ["Environment", variables.join("\n")],
    ["Unit", job.unit],
  ];
  return facts.filter(([, value]) => value).map(([name, value]) => [name, value.split("\n").map(printable).join("\n")]);
}
