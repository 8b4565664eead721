// From page to page without losing the place: pages are fetched as the server makes them, and take the place of the one
// before. A new one gives up the request of the one before. Without scripts the same links and forms do the same.

import { csrf, say, toast } from "./live.js";

const PATHS = new Set(["/", "/search", "/compare", "/status"]);
const PATIENCE = 200; // milliseconds until a page that is awaited says so
const mounts = [];
let leave = [];
let going = null;

export const view = () => document.getElementById("view");

/** Have `mount(view)` called for each page; what it returns is called when the page goes. */
export function onPage(mount) {
  mounts.push(mount);
}

export function start() {
  history.scrollRestoration = "manual";
  document.addEventListener("click", clicked);
  document.addEventListener("submit", submitted);
  addEventListener("popstate", (event) => go(location.href, { history: "none", state: event.state }));
  arrive();
}

function arrive() {
  leave = mounts.map((mount) => mount(view())).filter(Boolean);
}

function clicked(event) {
  const link = event.target.closest?.("a[href]");
  if (event.defaultPrevented || !link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !PATHS.has(url.pathname) || url.hash || link.target || "plain" in link.dataset) return;
  event.preventDefault();
  go(url.href, link.id === "more" ? { keep: true } : {});
}

function submitted(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "get") return;
  const url = new URL(form.action);
  if (url.origin !== location.origin || !PATHS.has(url.pathname)) return;
  event.preventDefault();
  const pairs = [...new FormData(form, event.submitter)].filter(([name, value]) => value !== "" || name === "words");
  url.search = new URLSearchParams(pairs).toString();
  go(url.href);
}

/** Show the page at `url`; with `body`, the page that posting it leads to. Returns once it is shown, or given up. */
export async function go(url, { history: how = "push", state = null, keep = false, body = null } = {}) {
  going?.abort();
  const own = (going = new AbortController());
  document.dispatchEvent(new Event("pinery:leave"));
  const root = document.documentElement;
  const busy = setTimeout(() => { root.classList.add("busy"); document.getElementById("main")?.setAttribute("aria-busy", "true"); }, PATIENCE);
  const waiting = waitForModel(url, body, own.signal);
  try {
    const asked = { signal: own.signal, headers: { accept: "text/html" } };
    const response = await fetch(url, body ? { ...asked, method: "POST", body, headers: { ...asked.headers, "x-csrf-token": csrf() } } : asked);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (own.signal.aborted) return;
    if (!page.getElementById("view")) {
      if (body && !response.ok) toast(page.querySelector("main p")?.textContent ?? `The server answered ${response.status}.`, true);
      else location.assign(response.url);
      return;
    }
    if (how === "push") {
      if (!keep) history.replaceState({ ...history.state, scroll: scrollY }, "");
      if (response.url === location.href || keep) history.replaceState(history.state, "", response.url);
      else history.pushState(null, "", response.url);
    }
    swap(page, { keep, state });
  } catch (error) {
    if (error.name !== "AbortError") toast("The server doesn't answer. Is it still running? Try once more.", true);
  } finally {
    waiting.stop();
    clearTimeout(busy);
    if (going === own) { root.classList.remove("busy"); document.getElementById("main")?.removeAttribute("aria-busy"); }
  }
}

function swap(page, { keep, state }) {
  const before = view();
  const [scroll, focus] = [scrollY, document.activeElement];
  const typing = before.contains(focus) && focus.id === "words";
  const held = keep ? before.querySelectorAll("#hits > li").length : 0;
  const filters = before.querySelector("#filters")?.scrollTop ?? 0;
  const after = document.adoptNode(page.getElementById("view"));
  for (const end of leave) end();
  before.replaceWith(after);
  document.title = page.title;
  document.querySelector('meta[name="csrf"]').content = page.querySelector('meta[name="csrf"]').content;
  const sidebar = after.querySelector("#filters");
  if (sidebar) sidebar.scrollTop = filters;
  scrollTo({ top: keep ? scroll : state?.scroll ?? 0, behavior: "instant" });
  if (held) after.querySelectorAll("#hits > li")[held]?.querySelector(".to").focus({ preventScroll: true });
  else if (typing && !after.querySelector("#words")?.disabled) after.querySelector("#words")?.focus({ preventScroll: true });
  else document.getElementById("main")?.focus({ preventScroll: true });
  arrive();
  const said = after.querySelector("[data-said]")?.dataset.said;
  if (said) say(said);
}

/** Tells of a model that is being loaded, as long as a search waits for it. */
function waitForModel(url, body, signal) {
  const to = new URL(url, location);
  const asks = body || [...to.searchParams.keys()].some((name) => /^(words|(not_)?(text|image))$/.test(name));
  let text, timer;
  let over = false;
  const look = async () => {
    try {
      const told = await (await fetch("/ready", { signal })).json();
      if (over) return;
      const own = told.corpora?.find((one) => one.corpus === view().dataset.corpus);
      const words = own?.model === "failed" ? `The model can't be loaded: ${own.why}` : own?.model !== "loaded" ? "The model is being loaded. Your search waits for it." : "The model is loaded; searching …";
      if (!text) { text = toast(words); say(words); } else text.textContent = words;
      timer = setTimeout(look, 500);
    } catch { /* given up, or gone */ }
  };
  if (asks) timer = setTimeout(look, 900);
  return { stop: () => { over = true; clearTimeout(timer); text?.parentElement.remove(); } };
}
