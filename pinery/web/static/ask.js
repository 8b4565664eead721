// The search box: images that are dropped, pasted, chosen or dragged into it, and its keys.

import { csrf, toast } from "./live.js";
import { go, view } from "./navigate.js";
import { addImages } from "./edit.js";

const TILE = "application/x-pinery-id";
let depth = 0;

export function start() {
  document.addEventListener("dragstart", (event) => {
    const link = event.target.closest?.(".to[data-id]");
    if (!link) return;
    event.dataTransfer.setData(TILE, link.dataset.id);
    event.dataTransfer.effectAllowed = "copyLink";
  });
  for (const [name, by] of [["dragenter", 1], ["dragleave", -1]]) document.addEventListener(name, (event) => { if (takes(event)) mark(event, (depth = Math.max(0, depth + by))); });
  document.addEventListener("dragover", (event) => { if (takes(event) && (inBox(event) || hasFiles(event))) event.preventDefault(); });
  document.addEventListener("drop", dropped);
  document.addEventListener("dragend", () => mark(null, (depth = 0)));
  document.addEventListener("paste", (event) => {
    const image = imageIn(event.clipboardData?.files);
    if (!image || !view().querySelector("#upload")) return;
    event.preventDefault();
    searchBy(image);
  });
  document.addEventListener("change", (event) => { if (event.target.id === "file" && event.target.files[0]) searchBy(event.target.files[0]); });
  document.addEventListener("keydown", key);
}

const takes = (event) => Boolean(view().querySelector("#ask")) && (hasFiles(event) || event.dataTransfer.types.includes(TILE));
const hasFiles = (event) => event.dataTransfer.types.includes("Files") && !event.dataTransfer.types.includes(TILE);
const inBox = (event) => Boolean(event.target.closest?.("#ask"));
const imageIn = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/"));

function mark(event, now) {
  const root = document.documentElement;
  root.classList.toggle("dropping", now > 0);
  root.classList.toggle("dropping-files", now > 0 && Boolean(event && hasFiles(event)));
  document.getElementById("main")?.classList.toggle("takes", now > 0 && Boolean(view().querySelector("#add")));
  view().querySelector(".box")?.classList.toggle("over", now > 0 && Boolean(event && inBox(event)));
}

function dropped(event) {
  const into = inBox(event);
  const id = event.dataTransfer.getData(TILE);
  const files = [...event.dataTransfer.files];
  if (!takes(event)) return;
  mark(null, (depth = 0));
  if (!into && !hasFiles(event)) return;
  event.preventDefault();
  if (id) addTerm("id", id);
  else if (!into && view().querySelector("#add")) addImages(files);
  else if (imageIn(files)) searchBy(imageIn(files));
  else toast("That is no image. Drop a picture file, such as a JPEG or a PNG.", true);
}

/** Search by the query as it stands, and one more term. */
function addTerm(name, value) {
  const form = view().querySelector("#query");
  const url = new URL(form.action);
  const pairs = [...new FormData(form)].filter(([key, one]) => key !== "words" && !(key === name && one === value));
  url.search = new URLSearchParams([...pairs, [name, value]]).toString();
  go(url.href);
}

function searchBy(image) {
  const form = view().querySelector("#upload");
  const body = new FormData();
  body.append("csrf", csrf());
  body.append("image", image, image.name || "pasted.png");
  form.reset();
  go(form.action, { body });
}

/** True while somebody types, when no key is a shortcut. */
const types = (target) => target.matches?.("input:not([type=file]), textarea, select, [contenteditable]");

function key(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const words = view().querySelector("#words");
  if (event.key === "Escape") {
    if (document.querySelector("dialog[open], [popover]:popover-open, details.menu[open]") || (types(event.target) && event.target !== words)) return;
    const clear = view().querySelector("#clear");
    if (event.target === words && words.value && words.value !== words.defaultValue) words.value = "";
    else if (clear) clear.click();
    else if (event.target === words) words.value = "";
    return;
  }
  if (types(event.target)) {
    if (event.target === words && event.key === "ArrowDown") { event.preventDefault(); view().querySelector('.grid .to[tabindex="0"]')?.focus(); }
    return;
  }
  if (event.key === "/" && words && !words.disabled) {
    event.preventDefault();
    words.focus();
    words.select();
  } else if (event.key.startsWith("Arrow") && [document.body, document.getElementById("main")].includes(event.target) && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    event.preventDefault();
    view().querySelector('.grid .to[tabindex="0"]')?.focus();
  }
}
