// Keeps a page that shows work in progress up to date. Without scripts, the "Refresh" link does the same by hand.
// The content is updated in place, so that focus, selection, scroll position and open <details> survive.

const OFF = "refresh-off";
const MAX_DELAY_SECONDS = 30;

const main = document.querySelector("main");
const control = document.getElementById("refresh");
const button = control.querySelector("button");
const link = control.querySelector("a");
const status = control.querySelector("[role=status]");

let seconds = Number(control.dataset.seconds);
let failures = 0;
let timer;
let request;

/** The elements and text of a node, without the white space that only formats the source. */
const childrenOf = node => [...node.childNodes].filter(child => child.nodeType === Node.ELEMENT_NODE || child.data.trim() !== "");

function update(node, wanted) {
  if (node === control)
    return;
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== wanted.data)
      node.data = wanted.data;
    return;
  }

  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value)
      node.setAttribute(name, value);
  }
  for (const { name } of [...node.attributes]) {
    // The reader has opened this one.
    if (!wanted.hasAttribute(name) && !(name === "open" && node.localName === "details"))
      node.removeAttribute(name);
  }
  updateChildren(node, wanted);
}

function updateChildren(node, wanted) {
  const left = childrenOf(node);
  for (const child of childrenOf(wanted)) {
    // Elements with an id are matched by it: a button must not come to act on another item because a list has moved.
    const match = left.findIndex(each => each.nodeName === child.nodeName && (each.id ?? "") === (child.id ?? ""));
    if (match < 0) {
      node.insertBefore(document.importNode(child, true), left[0] ?? null);
      continue;
    }

    // Moving a node would take its focus away. When nodes before it are gone, remove those instead.
    const skipped = left.slice(0, match);
    const current = left[match];
    const isStillWanted = skipped.some(each => each.id && wanted.querySelector(`:scope > #${CSS.escape(each.id)}`));
    if (isStillWanted) {
      node.insertBefore(current, left[0]);
      left.splice(match, 1);
    } else {
      skipped.forEach(each => each.remove());
      left.splice(0, match + 1);
    }
    update(current, child);
  }
  left.forEach(each => each.remove());
}

async function refresh() {
  stop();
  request = new AbortController();
  const { signal } = request;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal });
    // Signed out, deleted or refused: show that page in place of this one.
    if (response.redirected || response.status >= 400 && response.status < 500 && response.status !== 429) {
      location.reload();
      return;
    }
    if (!response.ok)
      throw new Error(`The server answered ${response.status}.`);

    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (signal.aborted)
      return;
    failures = 0;
    seconds = Number(page.getElementById("refresh")?.dataset.seconds ?? 0);
    document.title = page.title;
    const hadFocus = control.contains(document.activeElement);
    updateChildren(main, page.querySelector("main"));
    // Nothing is left to wait for, and the control is gone.
    if (hadFocus && !control.isConnected)
      main.focus({ preventScroll: true });
  } catch {
    if (signal.aborted)
      return;
    failures++;
  }
  show();
  schedule();
}

function stop() {
  clearTimeout(timer);
  request?.abort();
}

function schedule() {
  stop();
  if (seconds > 0 && isOn() && !document.hidden)
    timer = setTimeout(refresh, Math.min(seconds * 2 ** failures, MAX_DELAY_SECONDS) * 1000);
}

const isOn = () => sessionStorage.getItem(OFF) === null;

function show() {
  const text = failures > 0 ? `Could not refresh${isOn() ? "; trying again" : ""}`
    : isOn() ? `Refreshes every ${seconds === 1 ? "second" : `${seconds} seconds`}`
    : "Auto-refresh is off";
  button.setAttribute("aria-pressed", isOn());
  if (status.textContent !== text)
    status.textContent = text;
}

button.addEventListener("click", () => {
  if (isOn())
    sessionStorage.setItem(OFF, "");
  else
    sessionStorage.removeItem(OFF);
  show();
  schedule();
});
link.addEventListener("click", event => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
    return;
  event.preventDefault();
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden ? stop() : isOn() && refresh());
// A form that is being sent keeps its key: pressed twice, it still takes effect once.
document.addEventListener("submit", stop);
addEventListener("pageshow", event => event.persisted && schedule());

button.hidden = false;
show();
schedule();
