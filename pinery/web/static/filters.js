// The filter: counts that come after the page, and values that are found while somebody types.

export function mount(view) {
  const off = new AbortController();
  const filters = view.querySelector("#filters");
  if (filters?.dataset.ready === "no") fill(view, filters.dataset.again, off.signal);
  view.addEventListener("input", (event) => {
    const form = event.target.closest("form.find");
    if (!form) return;
    clearTimeout(form.waits);
    form.waits = setTimeout(() => find(view, form, off.signal), 200);
  }, { signal: off.signal });
  return () => off.abort();
}

async function fetched(address, signal) {
  const response = await fetch(address, { signal, headers: { accept: "text/html" } });
  if (!response.ok) throw new Error(String(response.status));
  return new DOMParser().parseFromString(await response.text(), "text/html").getElementById("filters");
}

async function fill(view, address, signal) {
  for (let tries = 0; tries < 60; tries++) {
    try {
      const filters = await fetched(address, signal);
      const before = view.querySelector("#filters");
      if (filters.dataset.ready === "no") continue;
      const language = before.querySelector(".language");
      if (language.contains(document.activeElement)) filters.querySelector(".language").replaceWith(language);
      before.replaceWith(filters);
      return;
    } catch (error) {
      if (error.name === "AbortError") return;
      const told = view.querySelector("#filters .counting");
      if (told) told.textContent = "The values can't be counted right now. Load the page again.";
      return;
    }
  }
}

async function find(view, form, signal) {
  const own = (form.asks = new AbortController());
  signal.addEventListener("abort", () => own.abort());
  const address = new URL(view.querySelector("#filters").dataset.again, location);
  address.searchParams.set("facet", form.dataset.key);
  address.searchParams.set("begins", form.elements.begins.value);
  form.closest(".facet").setAttribute("aria-busy", "true");
  try {
    const filters = await fetched(address, own.signal);
    if (form.asks !== own) return;
    const found = [...filters.querySelectorAll("form.find")].find((one) => one.dataset.key === form.dataset.key);
    if (found) form.closest(".facet").querySelector("ul").replaceWith(found.closest(".facet").querySelector("ul"));
  } catch { /* a newer one, or another page */ } finally {
    form.closest(".facet")?.removeAttribute("aria-busy");
  }
}
