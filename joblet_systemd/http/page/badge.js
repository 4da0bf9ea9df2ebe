// How a job's state looks: a word in a colour, with a dot that moves while the job does.

import { h, setAttribute, setText } from "./dom.js";

const WORDS = {
  PENDING: "Pending",
  SCHEDULED: "Scheduled",
  INITIALIZING: "Starting",
  RUNNING: "Running",
  STOPPING: "Stopping",
  COMPLETED: "Completed",
  FAILED: "Failed",
  STOPPED: "Stopped",
  CANCELED: "Canceled",
  TIMEOUT: "Timed out",
};

/** The word for a state; one that this page does not know is shown as it is. */
export function stateWord(status) {
  return WORDS[status] ?? String(status);
}

export function badge() {
  return h("span", { class: "badge" }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", {}));
}

export function showState(element, status) {
  setAttribute(element, "data-state", status);
  setText(element.lastChild, stateWord(status));
}
