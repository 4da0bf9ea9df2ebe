// What a terminal would make of a line of output: colours and weights (ECMA-48, SGR), and nothing else. Pure.
//
// The output is hostile. Sequences that would move a cursor, set a title or make a link are left out, what is no
// complete sequence is shown as it stands, and each character is looked at twice at most.

import { UNSEEN } from "./text.js";

export const PLAIN = Object.freeze({
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
});

const ESC = "\x1b";
const MOST_PARAMETERS = 32;
const SPECIAL = new RegExp(`[${UNSEEN}]`);
const EACH_SPECIAL = new RegExp(SPECIAL, "g");

/** What is not seen, as a picture of itself. */
function visible(text) {
  return text.replace(EACH_SPECIAL, (c) => {
    const code = c.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\u27e8${code.toString(16)}\u27e9`;
  });
}

/**
 * The parts of a line, `{text, style}`, and the style it leaves behind. `style` is the one it begins with.
 *
 * A carriage return inside of a line starts it anew, as progress bars want it: the last state is what is left.
 */
export function parse(line, style = PLAIN) {
  const end = line.endsWith("\r") ? line.length - 1 : line.length;
  let parts = [];
  let from = 0;
  let noStringEnd = false; // there is no end of a control string behind here: do not look for one again
  const take = (to, upTo) => {
    if (to > from) parts.push({ text: visible(line.slice(from, to)), style });
    from = upTo;
  };
  for (let i = 0; i < end;) {
    const c = line[i];
    if (c === "\r") {
      parts = [];
      i += 1;
      from = i;
      continue;
    }
    if (c !== ESC) {
      i += 1;
      continue;
    }
    const next = line[i + 1];
    let after = -1;
    let sgr = null;
    if (next === "[") {
      after = endOfCsi(line, i + 2, end);
      if (after !== -1 && line[after - 1] === "m") sgr = line.slice(i + 2, after - 1);
    } else if (next !== undefined && "]PX^_".includes(next)) {
      after = noStringEnd ? -1 : endOfString(line, i + 2, end);
      noStringEnd = after === -1;
    } else {
      after = endOfEscape(line, i + 1, end);
    }
    if (after === -1) {
      i += 1; // it stays in the text and becomes visible there
      continue;
    }
    take(i, after);
    i = after;
    if (sgr !== null) style = applied(style, sgr);
  }
  take(end, end);
  return { parts, style };
}

/** A line as text, without what only a terminal has use for. */
export function plain(line) {
  if (!needsParsing(line)) return line;
  return parse(line)
    .parts.map((part) => part.text)
    .join("");
}

/** Whether there is anything in the line but text. */
export function needsParsing(line) {
  return SPECIAL.test(line);
}

/** The style a line leaves behind. */
export function styleAfter(line, style) {
  return line.includes(ESC) ? parse(line, style).style : style;
}

// Parameter bytes, intermediate bytes, a final byte (ECMA-48, 5.4).
function endOfCsi(line, i, end) {
  while (i < end && within(line, i, 0x30, 0x3f)) i += 1;
  while (i < end && within(line, i, 0x20, 0x2f)) i += 1;
  return i < end && within(line, i, 0x40, 0x7e) ? i + 1 : -1;
}

// Intermediate bytes and a final one: character sets, reset, and the like.
function endOfEscape(line, i, end) {
  while (i < end && within(line, i, 0x20, 0x2f)) i += 1;
  return i < end && within(line, i, 0x30, 0x7e) ? i + 1 : -1;
}

// A title, a link: up to BEL or ESC \.
function endOfString(line, i, end) {
  for (; i < end; i += 1) {
    if (line[i] === "\x07") return i + 1;
    if (line[i] === ESC && line[i + 1] === "\\") return i + 2;
  }
  return -1;
}

function within(line, i, least, most) {
  const code = line.charCodeAt(i);
  return code >= least && code <= most;
}

const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };

function applied(style, parameters) {
  if (!/^[0-9;:]*$/.test(parameters)) return style; // private ones
  const codes = parameters.split(/[;:]/, MOST_PARAMETERS).map(Number);
  let now = { ...style };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) now = { ...PLAIN };
    else if (code in FLAGS) now[FLAGS[code]] = true;
    else if (code in OFF) for (const flag of OFF[code]) now[flag] = false;
    else if (code >= 30 && code <= 37) now.fg = code - 30;
    else if (code >= 40 && code <= 47) now.bg = code - 40;
    else if (code >= 90 && code <= 97) now.fg = code - 82;
    else if (code >= 100 && code <= 107) now.bg = code - 92;
    else if (code === 39) now.fg = null;
    else if (code === 49) now.bg = null;
    else if (code === 38 || code === 48) {
      const wanted = codes[i + 1] === 5 ? 2 : codes[i + 1] === 2 ? 4 : 0;
      const values = codes.slice(i + 2, i + 1 + wanted);
      if (!wanted || values.length < wanted - 1 || values.some((value) => !(value <= 255))) break;
      now[code === 38 ? "fg" : "bg"] = wanted === 2 ? palette(values[0]) : rgb(...values);
      i += wanted;
    }
  }
  return Object.freeze(now);
}

// Colours below 16 are the page's own, by their number; the others are fixed (xterm's cube and greys).
function palette(index) {
  if (index < 16) return index;
  if (index >= 232) return rgb(...Array(3).fill(8 + (index - 232) * 10));
  const level = (value) => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function rgb(red, green, blue) {
  return `rgb(${red}, ${green}, ${blue})`;
}
