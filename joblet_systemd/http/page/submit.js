// The form for a new job.

import { request } from "./api.js";
import { explained, h, setText } from "./dom.js";
import { bodyOf, leftOut, valuesOf } from "./newjob.js";
import { printable, shellWords } from "./text.js";

/** Open the form, filled with what `job` was started with if there is one; `started(id)` is called when it is done. */
export function openForm({ job = null, started }) {
  const fields = {
    command: h("textarea", {
      id: "f-command",
      rows: 3,
      required: true,
      spellcheck: "false",
      autocomplete: "off",
      autocapitalize: "off",
      "aria-describedby": "f-command-help",
    }),
    shell: h("input", { id: "f-shell", type: "checkbox" }),
    name: text("f-name", "64"),
    maxCpu: number("f-cpu"),
    maxMemory: number("f-memory"),
    maxRuntimeMs: number("f-runtime", { step: "any" }),
    schedule: text("f-schedule", "200", "1h30m, 2026-12-24T18:00:00Z, …"),
    retries: number("f-retries"),
    retryDelayMs: number("f-retry-delay", { step: "any", placeholder: "default" }),
    cpuCores: text("f-cores", "200", "0-3,5"),
    maxIoBps: number("f-io"),
    maxDisk: number("f-disk"),
    priority: number("f-priority", { min: -100, placeholder: "0" }),
    environment: h("textarea", {
      id: "f-environment",
      rows: 3,
      spellcheck: "false",
      placeholder: "NAME=value",
      "aria-describedby": "f-environment-help",
    }),
  };
  if (job) fill(fields, valuesOf(job));
  const words = h("p", { class: "hint", id: "f-command-help" });
  const problem = h("div", { class: "form-problem", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: "primary", text: "Start" });
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "form-title", onclose: () => dialog.remove() });

  const explain = () => {
    try {
      setText(
        words,
        fields.shell.checked ? "Runs as: sh -c, with this text." : understood(shellWords(fields.command.value)),
      );
    } catch (error) {
      setText(words, `Not complete: ${error.message}.`);
    }
  };
  const refuse = (...parts) => {
    problem.hidden = parts.length === 0;
    problem.replaceChildren(...parts);
  };
  const send = async (event) => {
    event.preventDefault();
    refuse();
    for (const control of Object.values(fields)) control.removeAttribute("aria-invalid");
    let body;
    try {
      body = bodyOf(read(fields));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refuse(h("p", { text: error.message }));
      return;
    }
    go.disabled = true;
    try {
      const response = await request("v1/jobs", { method: "POST", body });
      const { uuid } = await response.json();
      dialog.close();
      started(uuid);
    } catch (error) {
      refuse(...explained(error));
      const field = fieldOf(fields, error.field);
      if (more.contains(field)) more.open = true;
      field?.setAttribute("aria-invalid", "true");
      field?.focus();
    } finally {
      go.disabled = false;
    }
  };

  const rare = ["cpuCores", "maxIoBps", "maxDisk", "priority", "retryDelayMs"];
  const more = h(
    "details",
    { open: rare.some((key) => fields[key].value) },
    h("summary", { text: "More limits" }),
    h(
      "div",
      { class: "grid" },
      field("CPU cores", fields.cpuCores),
      field("I/O limit, bytes/s", fields.maxIoBps),
      field("Disk limit, MB", fields.maxDisk),
      field("Priority", fields.priority),
      field("Pause before a retry, seconds", fields.retryDelayMs),
    ),
  );
  // A control that is not seen can be complained about, but not to the user.
  more.addEventListener("invalid", () => (more.open = true), true);
  fields.command.addEventListener("input", explain);
  fields.shell.addEventListener("change", explain);
  const form = h(
    "form",
    { onsubmit: send },
    h("h2", { id: "form-title", text: job ? "Run it again" : "New job" }),
    job && missing(leftOut(job)),
    field("Command", fields.command, words),
    h("label", { class: "check", for: "f-shell" }, fields.shell, "Run it by a shell (pipes, variables, several lines)"),
    h(
      "div",
      { class: "grid" },
      field("Name", fields.name),
      field("Time limit, seconds", fields.maxRuntimeMs),
      field("CPU limit, % of one core", fields.maxCpu),
      field("Memory limit, MB", fields.maxMemory),
      field("Schedule", fields.schedule),
      field("Retries", fields.retries),
    ),
    more,
    field(
      "Environment",
      fields.environment,
      h("p", {
        class: "hint",
        id: "f-environment-help",
        text: "One variable a line. For secrets use rnx job run --secret-env.",
      }),
    ),
    problem,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close(), text: "Close" }), go),
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  dialog.append(form);
  document.body.append(dialog);
  explain();
  dialog.showModal();
  fields.command.focus();
}

function text(id, maxlength, placeholder) {
  return h("input", { id, type: "text", maxlength, placeholder, autocomplete: "off", spellcheck: "false" });
}

// The decimal keys of a phone may have no minus.
function number(id, { min = 0, step = 1, placeholder = "none" } = {}) {
  return h("input", { id, type: "number", min, step, inputmode: min < 0 ? "text" : "decimal", placeholder });
}

function field(label, control, help = null) {
  return h("div", { class: "field" }, h("label", { for: control.id, text: label }), control, help);
}

function understood(words) {
  if (words.length === 0) return "The program and its arguments, quoted as for a shell.";
  return words.length === 1
    ? "A program without arguments."
    : `A program and ${words.length - 1} ${words.length === 2 ? "argument" : "arguments"}.`;
}

/** What the new job will be without, although the old one had it; null for nothing. */
function missing(parts) {
  if (parts.length === 0) return null;
  return h(
    "div",
    { class: "form-note", role: "note" },
    h("p", { text: "Not taken over from that job:" }),
    h("ul", {}, ...parts.map(([what, why]) => h("li", { text: `${printable(what)} (${why})` }))),
  );
}

function fill(fields, { shell, ...texts }) {
  fields.shell.checked = shell;
  for (const [key, value] of Object.entries(texts)) fields[key].value = value;
}

function read({ shell, ...others }) {
  const texts = Object.entries(others).map(([key, control]) => [key, control.value]);
  return { shell: shell.checked, ...Object.fromEntries(texts) };
}

/** The control for what the node calls a field, such as `maxCpu` or `args[3]`. */
function fieldOf(fields, name) {
  const key = name.split(/[ [.]/)[0];
  return key === "args" ? fields.command : fields[key];
}
