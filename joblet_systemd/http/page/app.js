// The page: who looks at it, which view is shown, how the connection is.

import { connection, json } from "./api.js";
import { announce, explained, h, setAttribute, setText, toast } from "./dom.js";
import { HostView } from "./host.js";
import { JobView } from "./job.js";
import { always, showHelp, use } from "./keys.js";
import { JobList } from "./list.js";
import { Me } from "./me.js";
import { openForm } from "./submit.js";
import { printable } from "./text.js";
import { themeButton } from "./theme.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const FIRST_RETRY_MS = 2_000;

themeButton(document.getElementById("theme"));
document.getElementById("help").addEventListener("click", showHelp);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # is the view's
  main.focus();
});

let me = null;
let list = null;
let view = null;

start();

async function start() {
  try {
    me = new Me(await json("v1/whoami"));
  } catch (error) {
    main.replaceChildren(
      h(
        "div",
        { class: "empty", role: "alert" },
        h("h1", { text: error.title || "This page cannot be shown" }),
        ...explained(error),
        h("p", { text: "Trying again…" }),
      ),
    );
    setTimeout(start, FIRST_RETRY_MS);
    return;
  }
  setText(document.getElementById("node"), printable(me.node).slice(0, 12));
  setAttribute(document.getElementById("node"), "title", `Node ${printable(me.node)}`);
  nameHost();
  const who = document.getElementById("who");
  who.replaceChildren(
    h("span", { class: "who-name", text: printable(me.name) }),
    h("span", { class: "role", text: me.role }),
  );
  list = new JobList({
    open: (id) => (location.hash = `#/jobs/${encodeURIComponent(id)}`),
    submit: me.maySubmit && submit,
  });
  always({ key: "?", label: "this help", run: showHelp });
  if (me.maySubmit) always({ key: "c", label: "new job", run: submit });
  addEventListener("hashchange", route);
  connection.addEventListener("change", showConnection);
  setInterval(showConnection, 1000);
  showConnection();
  route();
}

function submit() {
  openForm({ started });
}

function started(id) {
  toast("The job is started.");
  location.hash = `#/jobs/${encodeURIComponent(id)}`;
}

/** Show what the address asks for. */
function route() {
  const [, where = "jobs", id] = location.hash.split("/");
  if (view !== list) view?.close();
  if (where === "jobs" && id) {
    let wanted = id;
    try {
      wanted = decodeURIComponent(id);
    } catch {
      // Then it is no id that there is, and the node will say so.
    }
    view = new JobView(wanted, { feed: list.feed, me, again: (job) => openForm({ job, started }) });
    view.element.addEventListener("built", () => use(view.keys));
  } else if (where === "host") {
    view = new HostView(me.version);
    document.title = "Host · Joblet";
  } else {
    view = list;
    document.title = "Jobs · Joblet";
  }
  main.replaceChildren(view.element);
  use(view.keys);
  view.shown();
  for (const name of ["jobs", "host"]) {
    setAttribute(
      document.getElementById(`nav-${name}`),
      "aria-current",
      name === where || (name === "jobs" && where === "") ? "page" : null,
    );
  }
}

const WORDS = { open: "Live", connecting: "Connecting…", lost: "Offline", crowded: "Waiting", refused: "Refused" };
let before = "open";

function showConnection() {
  const { state } = connection;
  const element = document.getElementById("connection");
  setAttribute(element, "data-state", state);
  setText(element, WORDS[state]);
  if (state === "open" && before !== "open") {
    hideBanner();
    announce("Connected again.");
    lookForUpdate();
  }
  if (state === "lost") {
    const { at, problem } = connection.trouble;
    const why = problem?.status ? problem.message : "The connection to the node is lost.";
    const seconds = Math.max(0, Math.ceil((at - Date.now()) / 1000));
    const when = seconds > 0 ? `in ${seconds} s` : "now";
    showBanner(`${why} Next attempt ${when}; nothing will be missed.`, "Try now", () => connection.retry());
  } else if (state === "crowded") {
    showBanner("Other windows of this page use all connections that the browser allows: close or hide one.");
  } else if (state === "refused") {
    const { message, hint } = connection.refused;
    showBanner([message, hint].filter(Boolean).join(" "), "Load the page again", () => location.reload());
  }
  if (state !== before && !banner.hidden) announce(banner.firstChild.textContent);
  before = state;
}

/** Have the banner say `text`, with a button for what helps. It stays the same element while only seconds change. */
function showBanner(text, label = "", run = null) {
  if (banner.hidden || banner.dataset.label !== label) {
    banner.dataset.label = label;
    banner.replaceChildren(h("span", {}));
    if (label) banner.append(h("button", { type: "button", class: "small", text: label, onclick: run }));
  }
  banner.hidden = false;
  setText(banner.firstChild, text);
}

function hideBanner() {
  banner.hidden = true;
}

/** After a break the node may be another version, which this page does not fit. */
async function lookForUpdate() {
  try {
    const { version } = await json("v1/whoami");
    if (version === me.version) return;
  } catch {
    return; // the streams tell what is wrong
  }
  showBanner("The node runs another version now.", "Load the page again", () => location.reload());
}

/** The host's name says more than the node's id. */
async function nameHost() {
  try {
    const { host } = await json("v1/host?parts=host");
    if (host?.hostname) setText(document.getElementById("node"), printable(host.hostname));
  } catch {
    // Then the id has to do.
  }
}
