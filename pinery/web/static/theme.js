// Runs before the first paint, so that the colours that somebody chose don't come after the others.
document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("pinery-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* a browser that keeps nothing shows what the system prefers */ }
