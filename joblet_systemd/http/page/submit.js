// The form for a new job.

import { request } from "./api.js";
import { explained, h, setText } from "./dom.js";
import { shellLine, shellWords } from "./text.js";

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
    runtime: number("f-runtime"),
    schedule: text("f-schedule", "200", "1h30m, 2026-12-24T18:00:00Z, …"),
    retries: number("f-retries"),
    environment: h("textarea", {
      id: "f-environment",
      rows: 3,
      spellcheck: "false",
      placeholder: "NAME=value",
      "aria-describedby": "f-environment-help",
    }),
  };
  if (job) fill(fields, job);
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
      body = bodyOf(fields);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refuse(h("p", { text: error.message }));
      return;
    }
    go.disabled = true;
    try {
      const response = await request("v1/jobs", { method: "POST", body });
      const answer = await response.json();
      dialog.close();
      started(answer.uuid ?? answer.job_uuid);
    } catch (error) {
      refuse(...explained(error));
      const field = fieldOf(fields, error.field);
      field?.setAttribute("aria-invalid", "true");
      field?.focus();
    } finally {
      go.disabled = false;
    }
  };

  fields.command.addEventListener("input", explain);
  fields.shell.addEventListener("change", explain);
  const form = h(
    "form",
    { onsubmit: send },
    h("h2", { id: "form-title", text: job ? "Run it again" : "New job" }),
    field("Command", fields.command, words),
    h("label", { class: "check", for: "f-shell" }, fields.shell, "Run it by a shell (pipes, variables, several lines)"),
    h(
      "div",
      { class: "grid" },
      field("Name", fields.name),
      field("Time limit, seconds", fields.runtime),
      field("CPU limit, % of one core", fields.maxCpu),
      field("Memory limit, MB", fields.maxMemory),
      field("Schedule", fields.schedule),
      field("Retries", fields.retries),
    ),
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

function number(id) {
  return h("input", { id, type: "number", min: 0, step: 1, inputmode: "numeric", placeholder: "none" });
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

function fill(fields, job) {
  const args = job.args ?? [];
  const byShell = /(^|\/)(ba|da)?sh$/.test(job.command) && args.length === 2 && args[0] === "-c";
  fields.shell.checked = byShell;
  fields.command.value = byShell ? args[1] : shellLine([job.command, ...args]);
  fields.name.value = job.name ?? "";
  fields.maxCpu.value = job.maxCpu || "";
  fields.maxMemory.value = job.maxMemory || "";
  fields.runtime.value = job.maxRuntimeMs ? job.maxRuntimeMs / 1000 : "";
  fields.retries.value = job.retries || "";
  fields.environment.value = Object.entries(job.environment ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");
}

/** The control for what the node calls a field, such as `maxCpu` or `args[3]`. */
function fieldOf(fields, name) {
  const key = name.split(/[ [.]/)[0];
  return { args: fields.command, maxRuntimeMs: fields.runtime }[key] ?? fields[key];
}

/** What is sent. Throws RangeError with what is wrong in a field. */
function bodyOf(fields) {
  let words;
  try {
    words = fields.shell.checked ? ["sh", "-c", fields.command.value] : shellWords(fields.command.value);
  } catch (error) {
    throw new RangeError(`Command: ${error.message}.`);
  }
  if (words.length === 0) throw new RangeError("Command: there is none.");
  const body = { command: words[0], args: words.slice(1) };
  for (const key of ["name", "schedule"]) if (fields[key].value.trim()) body[key] = fields[key].value.trim();
  for (const key of ["maxCpu", "maxMemory", "retries"]) if (fields[key].value) body[key] = Number(fields[key].value);
  if (fields.runtime.value) body.maxRuntimeMs = Number(fields.runtime.value) * 1000;
  const environment = {};
  for (const line of fields.environment.value.split("\n")) {
    if (line.trim() === "") continue;
    const equals = line.indexOf("=");
    if (equals < 1) throw new RangeError(`Environment: '${line.trim()}' is no NAME=value.`);
    environment[line.slice(0, equals).trim()] = line.slice(equals + 1);
  }
  if (Object.keys(environment).length > 0) body.environment = environment;
  return body;
}
