// Output taken out of the page.

import { Problem, request } from "./api.js";
import { plain } from "./ansi.js";
import { h, toast } from "./dom.js";
import { NOTICE } from "./log.js";
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

/** Have the browser save all that a job has written up to now, byte for byte. */
export async function downloadOutput(id) {
  try {
    const path = `v1/jobs/${encodeURIComponent(id)}/logs?follow=false`;
    const blob = await (await request(path, { accept: "text/plain" })).blob();
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `${id}.log` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    toast(`${size(blob.size)} downloaded.`);
  } catch (error) {
    toast("The output could not be downloaded", error);
  }
}
