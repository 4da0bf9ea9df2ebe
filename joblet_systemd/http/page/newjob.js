// What is asked for with a new job: the values of the form's fields, what they mean, and what of another job they
// cannot say. Pure.

import { shellLine, shellWords } from "./text.js";

// By the keys of the request. With 'schedule' there could be a 'timeZone': the node's is good enough here.
const TEXTS = ["name", "cpuCores", "schedule"];
const NUMBERS = ["maxCpu", "maxMemory", "maxDisk", "maxIoBps", "priority", "retries"];
const SECONDS = ["maxRuntimeMs", "retryDelayMs"]; // in the form; milliseconds in the request
const MOST_NAMES = 10; // in a list of what is left out

/** The values of the fields that start the same job once more, now; texts, but for `shell`. */
export function valuesOf(job) {
  const args = job.args ?? [];
  // No other shell, nor one with a path: what is sent is 'sh'.
  const shell = job.command === "sh" && args.length === 2 && args[0] === "-c";
  const values = { shell, command: shell ? args[1] : shellLine([job.command, ...args]), schedule: "" };
  for (const key of ["name", "cpuCores"]) values[key] = job[key] ?? "";
  for (const key of NUMBERS) values[key] = job[key] ? String(job[key]) : "";
  for (const key of SECONDS) values[key] = job[key] ? String(job[key] / 1000) : "";
  values.environment = Object.entries(job.environment ?? {})
    .filter(([, value]) => !BREAK.test(value))
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");
  return values;
}

const BREAK = /[\r\n]/;

/** What a job was started with and `valuesOf` leaves out: pairs of what it is and why. */
export function leftOut(job) {
  const broken = Object.keys(job.environment ?? {}).filter((key) => BREAK.test(job.environment[key]));
  return [
    ["Uploaded files", few(job.uploads ?? []), "rnx job run can send them"],
    ["Secret variables", few(Object.keys(job.secretEnvironment ?? {})), "the node tells nobody their values"],
    ["Variables", few(broken), "their values have several lines"],
    ["Schedule", job.schedule, "it starts now, unless you give one"],
    ["Input", job.interactive ? "what was sent to it" : "", "rnx job run can send some"],
  ]
    .filter(([, what]) => what)
    .map(([name, what, why]) => [`${name}: ${what}`, why]);
}

/** Some of the names: there may be thousands. */
function few(names) {
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** The request with these values. Throws RangeError with what is wrong in a field. */
export function bodyOf(values) {
  let words;
  try {
    words = values.shell ? ["sh", "-c", values.command] : shellWords(values.command);
  } catch (error) {
    throw new RangeError(`Command: ${error.message}.`);
  }
  if (words.length === 0) throw new RangeError("Command: there is none.");
  const body = { command: words[0], args: words.slice(1) };
  for (const key of TEXTS) if (values[key].trim()) body[key] = values[key].trim();
  for (const key of NUMBERS) if (values[key]) body[key] = Number(values[key]);
  for (const key of SECONDS) if (values[key]) body[key] = Math.round(Number(values[key]) * 1000);
  const environment = {};
  for (const line of values.environment.split("\n")) {
    if (line.trim() === "") continue;
    const equals = line.indexOf("=");
    if (equals < 1) throw new RangeError(`Environment: '${line.trim()}' is no NAME=value.`);
    environment[line.slice(0, equals).trim()] = line.slice(equals + 1);
  }
  if (Object.keys(environment).length > 0) body.environment = environment;
  return body;
}
