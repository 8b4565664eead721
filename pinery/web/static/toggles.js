// The choice of colours, and the menu of corpora.

const NAMES = { auto: "as the system has them", light: "light", dark: "dark" };

export function mount(view) {
  const off = new AbortController();
  const button = view.querySelector("#theme");
  if (button) {
    button.hidden = false;
    describe(button);
    button.addEventListener("click", () => {
      const order = matchMedia("(prefers-color-scheme: dark)").matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
      choose(order[(order.indexOf(chosen()) + 1) % 3]);
      describe(button);
    });
  }
  document.addEventListener("click", (event) => { for (const menu of view.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false; }, { signal: off.signal });
  view.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details.menu[open]");
    if (menu && event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); event.preventDefault(); }
  }, { signal: off.signal });
  return () => off.abort();
}

const chosen = () => document.documentElement.dataset.theme ?? "auto";

function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "auto") localStorage.removeItem("pinery-theme");
    else localStorage.setItem("pinery-theme", theme);
  } catch { /* then it lasts as long as the page */ }
}

function describe(button) {
  button.title = `Colours: ${NAMES[chosen()]}`;
  button.setAttribute("aria-label", `Colours: ${NAMES[chosen()]}`);
}
