// Reading text/event-stream (WHATWG HTML, 9.2.6) without EventSource, which tells neither the status nor the hint of
// a refusal, and cannot be told where to go on after it has given up.

/** Takes the stream's text in pieces of any size and calls `handle({event, data, id})` for each event; `event` is null for a bare id. */
export class EventParser {
  #handle;
  #rest = "";
  #event = "";
  #data = [];
  #id = "";

  constructor(handle) {
    this.#handle = handle;
  }

  /** Every character is looked at once, however the pieces are cut. */
  feed(text) {
    let from = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", from)) {
      const line = this.#rest + text.slice(from, end);
      this.#rest = "";
      from = end + 1;
      this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
    }
    this.#rest += text.slice(from);
  }

  #line(line) {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: the server's heartbeat
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const event = this.#event || "message";
    const data = this.#data;
    this.#event = "";
    this.#data = [];
    // An event without data is none, but its id counts.
    if (data.length > 0 || this.#id !== "") {
      this.#handle({ event: data.length > 0 ? event : null, data: data.join("\n"), id: this.#id });
    }
  }
}
