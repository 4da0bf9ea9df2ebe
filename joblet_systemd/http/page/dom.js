// Making elements. Text only ever becomes text: nothing here, or anywhere in the page, parses markup.

/** An element; `props` are attributes, but `class`, `text`, and `on…` for listeners. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || (value === false && !name.startsWith("aria-"))) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same in SVG. */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set an element's text unless it is that already, which spares the browser a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, unless it is so already. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** `work` once in the next frame, however often this is called until then. */
export function perFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

const said = document.getElementById("said");

/** Tell it to those who listen to the page rather than look at it. */
export function announce(text) {
  said.textContent = text;
}

const toasts = document.getElementById("toasts");

/** Show a message for a while. A problem stays until it is closed, and has its hint with it. */
export function toast(message, problem = null) {
  const close = h("button", {
    class: "icon",
    "aria-label": "Close this message",
    text: "×",
    onclick: () => box.remove(),
  });
  const box = h(
    "div",
    { class: problem ? "toast problem" : "toast", role: problem ? "alert" : "status" },
    h("div", {}, h("strong", { text: message }), ...explained(problem)),
    close,
  );
  toasts.append(box);
  while (toasts.children.length > 4) toasts.firstChild.remove();
  if (!problem) setTimeout(() => box.remove(), 4000);
}

/** Paragraphs with what a problem says and what helps. */
export function explained(problem) {
  if (!problem) return [];
  const parts = [h("p", { text: problem.detail || problem.title || problem.message })];
  if (problem.hint) parts.push(h("p", { class: "hint", text: problem.hint }));
  return parts;
}
