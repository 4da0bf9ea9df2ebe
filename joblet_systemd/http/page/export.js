// Output taken out of the page.

import { Problem, request } from "./api.js";
import { plain } from "./ansi.js";
import { h, toast } from "./dom.js";
import { KEEP_LINES, NOTICE, amount } from "./log.js";
import { count, dateTime, size } from "./text.js";

const MOST_COPIED = 32 << 20; // characters

/** Put the lines of a view into the clipboard, the last ones if they are too many; with `times` before them if wanted. */
export async function copyLines(log, view, times) {
  const texts = [];
  let characters = 0;
  for (let index = view.count - 1; index >= 0 && characters < MOST_COPIED; index -= 1) {
    const line = log.line(view.number(index));
    const text = plain(line.text) + (line.more ? "" : "\n");
    texts.push(times && line.stream !== NOTICE ? `${dateTime(line.time)} ${text}` : text);
    characters += text.length;
  }
  try {
    await navigator.clipboard.writeText(texts.reverse().join(""));
    toast(`${count(texts.length, "line")} copied.`);
  } catch {
    const why = "The browser does not let this page use the clipboard.";
    const hint = "Select the text and press Ctrl+C, or use Download.";
    toast("Nothing was copied", new Problem(0, "", why, hint));
  }
}

/** Have the browser save what the node has of a job's output now, byte for byte; `log` is what the page has of it. */
export async function downloadOutput(id, log) {
  try {
    const path = `v1/jobs/${encodeURIComponent(id)}/logs?follow=false`;
    const blob = await (await request(path, { accept: "text/plain" })).blob();
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `${id}.log` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    const older =
      log.end < KEEP_LINES ? "" : " If anything was lost before the lines shown here, this page does not know.";
    toast(`${size(blob.size)} downloaded.${older}`, missing(log.lost));
  } catch (error) {
    toast("The output could not be downloaded", error);
  }
}

/** The bytes tell of no loss: what to say of it; null if nothing is known to be lost. */
function missing({ places, ...lost }) {
  if (places === 0) return null;
  const where = places === 1 ? "in one place" : `in ${places} places`;
  const what = `It is not all that the job wrote: ${amount(lost)} had been lost before, ${where}.`;
  return new Problem(0, "", what, "In the file nothing tells where; this page and rnx job log do.");
}
