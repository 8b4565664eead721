// What tiles say, and how keys move among them.

export const caption = (item) => String(item.metadata.label || item.id);
export const alternative = (item) => (item.metadata.label ? `${item.id}, label ${item.metadata.label}` : item.id);

/** The index that a key leads to from `at`; undefined for a key that doesn't move. */
export function step(event, at, total, columns, page) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return undefined;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, PageDown: at + page, PageUp: at - page, Home: 0, End: total - 1 }[event.key];
  if (to === undefined) return undefined;
  if (to >= total) return event.key === "ArrowDown" && Math.floor(at / columns) === Math.floor((total - 1) / columns) ? at : total - 1;
  return to < 0 ? (event.key === "ArrowUp" ? at : 0) : to;
}

/** Lets one tile of a short grid be reached by Tab, and the others by arrows. */
export function mount(view) {
  const grids = [...view.querySelectorAll("ul.grid:not(#gallery)")];
  for (const grid of grids) {
    const tiles = [...grid.children];
    const reach = (tile) => { for (const one of tiles) for (const link of one.querySelectorAll("a")) link.tabIndex = one === tile ? 0 : -1; };
    if (tiles.length) reach(tiles[0]);
    grid.addEventListener("focusin", (event) => reach(event.target.closest(".tile")));
    grid.addEventListener("keydown", (event) => {
      const tile = event.target.closest(".tile");
      const act = { "+": "plus", "-": "minus" }[event.key];
      if (act && !event.ctrlKey && !event.metaKey && !event.altKey) tile.querySelector(`[data-act=${act}]`)?.click();
      const columns = Math.max(1, tiles.filter((one) => one.offsetTop === tiles[0].offsetTop).length);
      const to = step(event, tiles.indexOf(tile), tiles.length, columns, columns * 3);
      if (to === undefined) return;
      event.preventDefault();
      tiles[to].querySelector(".to").focus();
    });
  }
}

/** Asks for a picture once more that could not be had, since a busy server makes only so many at once. */
export function start() {
  document.addEventListener("error", (event) => {
    const image = event.target;
    if (!image.matches?.(".frame img") || !image.getAttribute("src")) return;
    image.tries = (image.tries ?? 0) + 1;
    const { src } = image;
    if (image.tries <= 4) setTimeout(() => { if (image.isConnected && image.src === src) image.src = src; }, 800 * image.tries);
  }, true);
}
