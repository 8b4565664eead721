// The gallery: all images of a corpus as one page that scrolls, of which only the tiles near the window exist.

import { Anchor, Scale } from "./scale.js";
import { Pages } from "./pages.js";
import { say, sentence, toast } from "./live.js";
import { alternative, caption, step } from "./tiles.js";

const MOST_TILES = 600;
const STILL = 160; // milliseconds without a scroll after which nothing moves
const PACE = 80; // milliseconds between two looks at what is to be fetched

export function mount(view) {
  const list = view.querySelector("#gallery");
  if (!list || !Number(list.dataset.total)) return undefined;
  const gallery = new Gallery(view, list);
  return () => gallery.unmount();
}

class Gallery {
  constructor(view, list) {
    this.list = list;
    this.bar = view.querySelector(".bar");
    this.where = view.querySelector("#where");
    this.blank = view.querySelector("#blank").content.firstElementChild;
    this.total = Number(list.dataset.total);
    this.tiles = new Map();
    this.active = -1;
    this.pages = new Pages(list.dataset.items, (start, items, total) => this.arrived(start, items, total), async (response) => toast(await sentence(response), true));
    this.off = new AbortController();
    const heard = { signal: this.off.signal };
    const start = Number(list.dataset.start);
    for (const tile of [...list.children]) {
      const index = Number(tile.dataset.index);
      this.dress(tile, index);
      this.tiles.set(index, tile);
    }
    list.classList.add("windowed");
    this.measure();
    this.anchor = new Anchor(this.scale, start ? this.placeOf(start) : scrollY - this.head);
    if (start) this.show(start);
    else this.render();
    addEventListener("scroll", () => this.scrolled(), { ...heard, passive: true });
    for (const name of ["touchstart", "touchend", "touchcancel"]) addEventListener(name, (event) => { this.touched = event.touches.length > 0; this.wait(); }, { ...heard, passive: true });
    list.addEventListener("keydown", (event) => this.key(event), heard);
    list.addEventListener("focusin", (event) => this.focused(event), heard);
    view.querySelector("#jump")?.addEventListener("submit", (event) => this.jump(event), heard);
    document.addEventListener("pinery:leave", () => this.remember(), heard);
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(list);
    const focus = history.state?.focus;
    if (Number.isInteger(focus) && focus < this.total && this.tiles.has(focus)) this.focus(focus);
  }
  unmount() {
    this.off.abort();
    this.observer.disconnect();
    this.pages.stop();
    clearTimeout(this.still);
    clearTimeout(this.paced);
  }

  // Arithmetic: every place follows from the window's size.
  measure() {
    const style = getComputedStyle(this.list);
    const [least, gap, foot] = ["--tile", "--gap", "--foot"].map((name) => parseFloat(style.getPropertyValue(name)));
    this.width = this.list.clientWidth;
    this.gap = gap;
    this.viewport = innerHeight;
    for (let side = least; ; side *= 1.15) {
      this.columns = Math.max(2, Math.floor((this.width + gap) / (side + gap)));
      this.side = (this.width - gap * (this.columns - 1)) / this.columns;
      this.row = this.side + foot + gap;
      this.seen = Math.ceil(this.viewport / this.row) + 1;
      if (this.columns * (this.seen + 2) < MOST_TILES || this.columns === 2) break;
    }
    this.spare = Math.min(this.seen, Math.floor((MOST_TILES - 1 - this.columns * this.seen) / this.columns / 2));
    this.scale = new Scale(Math.ceil(this.total / this.columns) * this.row - gap, this.viewport);
    this.list.style.height = `${this.scale.shown}px`;
    this.head = this.list.getBoundingClientRect().top + scrollY;
    this.stick = parseFloat(getComputedStyle(this.bar).top) + this.bar.offsetHeight;
    for (const tile of this.tiles.values()) this.size(tile);
  }
  placeOf(index) {
    return Math.floor(index / this.columns) * this.row - this.stick - 4;
  }
  get first() {
    const row = Math.max(0, Math.floor((this.anchor.place + this.stick + this.gap + 1) / this.row));
    return Math.min(this.total - 1, row * this.columns);
  }

  // Scrolling
  scrolled() {
    const bar = scrollY - this.head;
    if (!this.anchor.moved(bar)) this.settle();
    this.render();
    this.wait();
  }
  wait() {
    clearTimeout(this.still);
    this.still = setTimeout(() => {
      if (this.touched) return;
      this.settle();
      this.remember();
    }, STILL);
  }
  settle() {
    const bar = this.anchor.settled();
    if (Math.abs(bar - this.anchor.bar) < 1) return;
    this.put(bar);
    this.render();
  }
  put(bar) {
    scrollTo({ top: this.head + bar, behavior: "instant" });
    const got = scrollY - this.head;
    this.anchor.place += Math.abs(got - bar) < 2 ? 0 : got - bar; // the page's end came first
    this.anchor.bar = got;
  }
  show(index) {
    const highest = this.scale.real - this.viewport + 48;
    this.anchor = new Anchor(this.scale, Math.max(-this.head, Math.min(this.placeOf(index), highest)));
    this.put(this.anchor.bar);
    this.render();
    this.wait();
  }
  resized() {
    if (this.list.clientWidth === this.width && innerHeight === this.viewport) return;
    const first = this.first;
    this.measure();
    for (const tile of this.tiles.values()) tile.moved = undefined;
    if (scrollY < this.head) {
      this.anchor = new Anchor(this.scale, scrollY - this.head);
      this.render();
    } else this.show(first);
  }
  remember() {
    const url = new URL(location);
    if (url.pathname !== "/") return;
    const first = this.anchor.place + this.stick > this.row ? this.first : 0;
    if (first) url.searchParams.set("start", first);
    else url.searchParams.delete("start");
    const focus = this.list.contains(document.activeElement) ? this.active : undefined;
    if (url.href !== location.href || history.state?.focus !== focus) history.replaceState({ ...history.state, focus }, "", url);
  }

  // Drawing
  render() {
    const top = Math.floor(this.anchor.place / this.row) - this.spare;
    const from = Math.max(0, Math.min(top * this.columns, this.total - 1));
    const to = Math.min(this.total, Math.max(0, top + this.seen + 2 * this.spare) * this.columns);
    const kept = this.list.contains(document.activeElement) ? this.active : -1;
    for (const [index, tile] of this.tiles) if ((index < from || index >= to) && index !== kept) this.drop(index, tile);
    let next = kept >= to ? this.tiles.get(kept) : null;
    for (let index = to - 1; index >= from; index--) {
      let tile = this.tiles.get(index);
      if (!tile) {
        tile = this.blank.cloneNode(true);
        this.dress(tile, index);
        this.size(tile);
        this.tiles.set(index, tile);
        this.list.insertBefore(tile, next);
        const item = this.pages.item(index);
        if (item) this.fill(tile, item);
      }
      next = tile;
    }
    for (const [index, tile] of this.tiles) this.move(tile, index);
    if (!this.tiles.has(this.active)) this.activate(this.first);
    this.tell();
    this.range = [from, to];
    this.paced ??= setTimeout(() => { this.paced = undefined; this.pages.want(...this.range); }, this.hurry());
  }
  hurry() {
    const now = performance.now();
    const since = now - (this.looked ?? 0);
    this.looked = now;
    return since > PACE ? 0 : PACE;
  }
  dress(tile, index) {
    tile.dataset.index = index;
    tile.setAttribute("aria-posinset", index + 1);
    tile.setAttribute("aria-setsize", this.total);
    const link = tile.firstElementChild;
    link.tabIndex = index === this.active ? 0 : -1;
    if (tile.classList.contains("bare")) link.setAttribute("aria-label", `Image ${index + 1}, not loaded yet`);
  }
  size(tile) {
    tile.style.width = `${this.side}px`;
  }
  move(tile, index) {
    const down = Math.floor(index / this.columns) * this.row + this.anchor.shift;
    if (tile.moved !== undefined && Math.abs(tile.moved - down) < 0.01) return;
    tile.moved = down;
    tile.style.transform = `translate(${(index % this.columns) * (this.side + this.gap)}px, ${down}px)`;
  }
  drop(index, tile) {
    tile.querySelector("img").removeAttribute("src"); // and so no longer fetched
    tile.remove();
    this.tiles.delete(index);
  }
  fill(tile, item) {
    const link = tile.querySelector(".to");
    const image = tile.querySelector("img");
    link.dataset.id = item.id;
    link.removeAttribute("aria-label");
    link.href = `${this.list.dataset.search}${this.list.dataset.search.includes("?") ? "&" : "?"}id=${encodeURIComponent(item.id)}`;
    image.alt = alternative(item);
    image.src = item.thumb;
    tile.querySelector(".label").textContent = caption(item);
    tile.classList.remove("bare");
  }
  arrived(start, items, total) {
    if (total !== this.total && total) return this.grown(total);
    items.forEach((item, number) => {
      const tile = this.tiles.get(start + number);
      if (tile) this.fill(tile, item);
    });
    return undefined;
  }
  /** A run ended meanwhile, and the listing is another one. */
  grown(total) {
    const first = this.first;
    this.total = total;
    this.pages.forget();
    for (const [index, tile] of this.tiles) this.drop(index, tile);
    this.measure();
    this.show(Math.min(first, total - 1));
    this.where.nextElementSibling.textContent = total.toLocaleString("en");
  }
  tell() {
    const [first, rows] = [this.first, Math.max(1, Math.floor((this.viewport - this.stick) / this.row))];
    const words = `${(first + 1).toLocaleString("en")}–${Math.min(this.total, first + rows * this.columns).toLocaleString("en")}`;
    if (this.where.textContent !== words) this.where.textContent = words;
  }

  // Keys
  activate(index) {
    for (const one of [this.active, index]) {
      const link = this.tiles.get(one)?.firstElementChild;
      if (link) link.tabIndex = one === index ? 0 : -1;
    }
    this.active = index;
  }
  focused(event) {
    const tile = event.target.closest(".tile");
    if (tile) this.activate(Number(tile.dataset.index));
  }
  focus(index) {
    const down = Math.floor(index / this.columns) * this.row;
    const { place } = this.anchor;
    if (down < place + this.stick || down + this.row > place + this.viewport || !this.tiles.has(index)) {
      const near = Math.abs(down - place) < 2 * this.viewport;
      if (near) this.show(Math.max(0, index - (down > place + this.stick ? Math.max(0, Math.floor((this.viewport - this.stick) / this.row) - 1) * this.columns : 0)));
      else this.show(index);
    }
    this.activate(index);
    this.tiles.get(index)?.firstElementChild.focus({ preventScroll: true });
  }
  key(event) {
    const page = Math.max(1, Math.floor((this.viewport - this.stick) / this.row)) * this.columns;
    const to = step(event, this.active, this.total, this.columns, page);
    if (to === undefined) return;
    event.preventDefault();
    this.focus(to);
  }
  jump(event) {
    event.preventDefault();
    const index = Math.max(0, Math.min(this.total, Number(event.target.elements.at.value)) - 1);
    this.show(index);
    this.focus(index);
    say(`Image ${(index + 1).toLocaleString("en")} of ${this.total.toLocaleString("en")}`);
  }
}
