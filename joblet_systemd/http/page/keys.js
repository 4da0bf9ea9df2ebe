// The keyboard: which key does what in which view, and the dialog that tells.

import { h } from "./dom.js";

/** Keys that work everywhere: `{key, label, run}`. */
const everywhere = [];
let current = [];

/** Add keys that work in all views. */
export function always(...bindings) {
  everywhere.push(...bindings);
}

/** Have these keys, besides those that always work, from now on. */
export function use(bindings) {
  current = bindings;
}

function typing(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return; // which has keys of its own
  if (typing(event.target) && event.key !== "Escape") return;
  const native = event.target instanceof HTMLElement && event.target.matches("button, a, summary");
  if (native && (event.key === "Enter" || event.key === " ")) return;
  const binding = [...current, ...everywhere].find(({ key }) => [key].flat().includes(event.key));
  if (!binding) return;
  if (binding.run(event) !== false) event.preventDefault();
});

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", PageDown: "PgDn", PageUp: "PgUp", " ": "Space" };

/** Show what the keys do. */
export function showHelp() {
  const rows = [...current, ...everywhere]
    .filter(({ label }) => label)
    .map(({ key, label }) =>
      h(
        "tr",
        {},
        h("td", {}, ...[key].flat().map((one) => h("kbd", { text: NAMES[one] ?? one }))),
        h("td", { text: label }),
      ),
    );
  const dialog = h(
    "dialog",
    { "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    h("h2", { id: "help-title", text: "Keyboard" }),
    h("table", { class: "keys" }, h("tbody", {}, ...rows)),
    h("form", { method: "dialog", class: "actions" }, h("button", { text: "Close", autofocus: true })),
  );
  document.body.append(dialog);
  dialog.showModal();
}
