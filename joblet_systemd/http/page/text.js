// Texts: what others wrote, made harmless to look at; numbers and times, made readable. Pure.

/** For a regular expression's brackets: controls but tab, and what turns the direction of text or is not seen. */
export const UNSEEN =
  "\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff";
// In a name they would pose as something else.
const TRICKS = new RegExp(`[\\t${UNSEEN}]`, "g");

const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `text` with everything written out that would not be seen, or would make the rest be seen wrongly. */
export function printable(text) {
  return String(text).replace(TRICKS, (c) => SHORT[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The words as one line for a shell. */
export function shellLine(words) {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** A line split into words as a shell would, without expanding anything. Throws RangeError for an open quote. */
export function shellWords(line) {
  const words = [];
  let word = null;
  let quote = "";
  for (let i = 0; i < line.length; i += 1) {
    const c = line[i];
    if (quote === "'") {
      if (c === "'") quote = "";
      else word += c;
    } else if (c === "\\" && i + 1 < line.length && (quote === "" || '"\\$`'.includes(line[i + 1]))) {
      i += 1;
      word = (word ?? "") + line[i];
    } else if (quote === '"') {
      if (c === '"') quote = "";
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word = word ?? "";
    } else if (/\s/.test(c)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? "") + c;
    }
  }
  if (quote) throw new RangeError(`the quote ${quote} is not closed`);
  if (word !== null) words.push(word);
  return words;
}

/** Bytes with a unit; 1 KB is 2^10 bytes. */
export function size(bytes) {
  let value = bytes;
  for (const unit of ["bytes", "KB", "MB", "GB"]) {
    if (value < 1024) return unit === "bytes" ? `${Math.round(value)} ${unit}` : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TB`;
}

/** `3661` seconds as `1 h 1 min`. */
export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** The time of day, with milliseconds; `at` in ms since the epoch. */
export function clock(at) {
  const date = new Date(at);
  const day = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day}.${pad(date.getMilliseconds(), 3)}`;
}

/** Date and time as in `2026-11-25 18:04:05`. */
export function dateTime(at) {
  const date = new Date(at);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(at).slice(0, 8)}`;
}

/** The same without the date if that is today's. */
export function shortTime(at, now) {
  const text = dateTime(at);
  return text.slice(0, 10) === dateTime(now).slice(0, 10) ? text.slice(11) : text.slice(0, 16);
}

/** How many of what: `1 line`, `1 234 lines`. */
export function count(number, what) {
  return `${number.toLocaleString("en").replaceAll(",", "\u202f")} ${what}${number === 1 ? "" : "s"}`;
}
