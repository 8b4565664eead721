// What the page says: to screen readers, and in a corner.

export function say(words) {
  const live = document.getElementById("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = words; });
}

export function toast(words, bad = false) {
  const one = document.createElement("div");
  one.className = bad ? "toast bad" : "toast";
  one.setAttribute("role", bad ? "alert" : "status");
  const text = document.createElement("p");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "plain";
  close.textContent = "×";
  close.setAttribute("aria-label", "Close this message");
  close.addEventListener("click", () => one.remove());
  one.append(text, close);
  const toasts = document.getElementById("toasts");
  toasts.append(one);
  while (toasts.children.length > 3) toasts.firstElementChild.remove();
  if (!bad) setTimeout(() => one.remove(), 8000);
  return text;
}

/** The sentence of an answer that isn't what was asked for. */
export async function sentence(response) {
  try {
    const told = await response.clone().json();
    if (told.error) return told.error;
  } catch { /* a page, or nothing */ }
  return `The server answered ${response.status}. Load the page again, and try once more.`;
}

export const csrf = () => document.querySelector('meta[name="csrf"]').content;
