// Adding images, deleting them, and the run that indexes them.

import { csrf, say, sentence, toast } from "./live.js";
import { go, view } from "./navigate.js";

const LOOK = 700;
let follower = null;
let expected = false;

export function mount(page) {
  const off = new AbortController();
  const heard = { signal: off.signal };
  page.querySelector("#files")?.addEventListener("change", (event) => addImages([...event.target.files]), heard);
  page.querySelector("#index")?.addEventListener("submit", (event) => { event.preventDefault(); index(off.signal); }, heard);
  page.querySelector("#delete")?.addEventListener("click", (event) => { event.preventDefault(); confirmDelete(page.querySelector("#delete")); }, heard);
  if (page.querySelector("#progress")) follow(off.signal, false);
  return () => off.abort();
}

const address = (path, more = {}) => {
  const url = new URL(path, location);
  url.search = new URLSearchParams({ corpus: view().dataset.corpus, ...more }).toString();
  return url;
};
const changed = (method, body) => ({ method, body, headers: { "x-csrf-token": csrf(), accept: "application/json" } });

/** Add images to the corpus one after the other, and index them. */
export async function addImages(files) {
  const images = files.filter((file) => file.type.startsWith("image/") || !file.type);
  if (!images.length) return toast("None of these is an image.", true);
  const told = toast(`Adding ${images.length} image${images.length === 1 ? "" : "s"} …`);
  let added = 0;
  for (const image of images) {
    const response = await fetch(address("/api/items", { name: image.name }), changed("POST", image)).catch(() => null);
    if (response?.ok) told.textContent = `Added ${++added} of ${images.length}`;
    else toast(response ? `${image.name}: ${await sentence(response)}` : "The server doesn't answer.", true);
  }
  if (!added) { told.parentElement.remove(); return undefined; }
  say(`${added} images added`);
  return follow(undefined, true); // the server has a run index them
}

async function index(signal, more = {}) {
  const response = await fetch(address("/api/runs", more), changed("POST")).catch(() => null);
  if (!response?.ok) return toast(response ? await sentence(response) : "The server doesn't answer.", true);
  return follow(signal, true);
}

/** Show how far the current run is, until it ends; then what came of it. */
async function follow(signal, awaited) {
  const own = (follower = {}); // the newest one tells; it takes over what the one before waited for
  expected ||= awaited;
  for (;;) {
    const run = await fetch(address("/api/runs/current"), { signal }).then((response) => (response.ok ? response.json() : null)).catch(() => null);
    const place = view().querySelector("#progress");
    if (follower !== own || signal?.aborted || !run || !place) return;
    place.hidden = !run.running;
    if (!run.running && !run.waiting) {
      if (expected) ended(run);
      expected = false;
      return;
    }
    expected = true;
    const [bar, words] = place.children;
    if (run.total) bar.value = run.done / run.total;
    else bar.removeAttribute("value");
    words.textContent = run.total ? `${run.stage} ${run.done.toLocaleString("en")} of ${run.total.toLocaleString("en")}` : run.stage || "starting";
    await new Promise((done) => { setTimeout(done, LOOK); });
  }
}

function ended(run) {
  const told = toast(run.message || (run.exit_code ? "The run failed." : "Indexed."), Boolean(run.exit_code));
  say(run.exit_code ? "The run failed" : "Indexed");
  if (run.allow_deletes) {
    const allow = document.createElement("button");
    allow.type = "button";
    allow.className = "small";
    allow.textContent = "Index and delete the rows";
    allow.addEventListener("click", () => { told.parentElement.remove(); index(undefined, { allow_deletes: "true" }); });
    told.append(document.createElement("br"), allow);
  }
  const typing = document.querySelector("input:focus, textarea:focus");
  if (!run.exit_code && !typing) go(location.href, { history: "none", state: { scroll: scrollY } });
}

function confirmDelete(details) {
  const form = details.querySelector("form");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "delete-head");
  const head = document.createElement("h2");
  head.id = "delete-head";
  head.textContent = "Delete this image?";
  const row = document.createElement("div");
  row.className = "row";
  const [cancel, sure] = ["Cancel", "Delete the image"].map((words) => { const one = document.createElement("button"); one.type = "button"; one.textContent = words; return one; });
  sure.className = "danger";
  row.append(cancel, sure);
  dialog.append(head, form.querySelector("p").cloneNode(true), row);
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  sure.addEventListener("click", async () => {
    sure.disabled = true;
    const id = form.elements.id.value;
    const response = await fetch(address("/api/items", { id }), changed("DELETE")).catch(() => null);
    dialog.close();
    if (!response?.ok) return toast(response ? await sentence(response) : "The server doesn't answer.", true);
    toast(`${id} is deleted from the folder.`);
    await go(address("/").href);
    return follow(undefined, true);
  });
  document.body.append(dialog);
  dialog.showModal();
}
