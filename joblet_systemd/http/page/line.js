// A line of output as elements: its colours, and what was searched for in it.

import { needsParsing, parse } from "./ansi.js";

const MOST_MARKS = 100; // in one line

/** The elements that a line is shown by, from one of its characters to another; `selection` tells what to mark. */
export function elementsOf(line, selection, first, last) {
  const { parts } = needsParsing(line.text) ? parse(line.text, line.style) : { parts: [line] };
  const text = parts.map((part) => part.text).join("");
  const marks = marksIn(text, selection);
  const pieces = [];
  let at = 0;
  let mark = 0;
  for (const part of parts) {
    const end = Math.min(at + part.text.length, last);
    let from = Math.max(at, first);
    while (from < end) {
      while (mark < marks.length && marks[mark][1] <= from) mark += 1;
      const [start, stop] = marks[mark] ?? [end, end];
      const marked = start <= from;
      const to = Math.min(end, marked ? stop : start);
      pieces.push(styled(part.text.slice(from - at, to - at), part.style, marked));
      from = to;
    }
    at += part.text.length;
  }
  return pieces;
}

/** Where the searched text is: pairs of start and end. */
function marksIn(text, selection) {
  const marks = [];
  const wanted = selection.text;
  if (wanted === "") return marks;
  let from = selection.find(text, 0);
  while (from !== -1 && marks.length < MOST_MARKS) {
    marks.push([from, from + wanted.length]);
    from = selection.find(text, from + wanted.length);
  }
  return marks;
}

/** An element for a piece of a line. Colours are numbers that have been checked, set by themselves. */
function styled(text, style, marked) {
  let { fg, bg } = style;
  if (style.inverse) [fg, bg] = [bg ?? "page", fg ?? "text"];
  const classes = ["bold", "dim", "italic", "underline", "strike"].filter((name) => style[name]);
  for (const [kind, colour] of [
    ["fg", fg],
    ["bg", bg],
  ]) {
    if (colour !== null && !String(colour).startsWith("rgb")) classes.push(`${kind}-${colour}`);
  }
  const element = document.createElement(marked ? "mark" : "span");
  if (classes.length > 0) element.className = classes.join(" ");
  if (String(fg).startsWith("rgb")) element.style.color = fg;
  if (String(bg).startsWith("rgb")) element.style.backgroundColor = bg;
  element.textContent = text;
  return element;
}
