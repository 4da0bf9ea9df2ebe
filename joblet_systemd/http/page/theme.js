// Light or dark: as the system has it, unless something else was chosen here.

import { setAttribute } from "./dom.js";

const KEY = "joblet-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser may refuse to keep anything
  }
}

/** Make `button` change between the two. */
export function themeButton(button) {
  let choice = chosen();
  const now = () => choice ?? (dark.matches ? "dark" : "light");
  const show = () => {
    setAttribute(document.documentElement, "data-theme", choice);
    button.textContent = now() === "dark" ? "☀" : "☾";
    setAttribute(button, "aria-label", now() === "dark" ? "Change to light colours" : "Change to dark colours");
  };
  button.addEventListener("click", () => {
    const other = now() === "dark" ? "light" : "dark";
    // What the system has is no choice: then it is followed again when it changes.
    choice = other === (dark.matches ? "dark" : "light") ? null : other;
    try {
      if (choice === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, choice);
    } catch {
      // Then it lasts as long as the page.
    }
    show();
  });
  dark.addEventListener("change", show);
  show();
}
