// Pages of items by position: fetched when they are wanted, given up when they no longer are, kept as long as there is room.

const PAGE = 60;
const KEPT = 300;

export class Pages {
  /** `address` is that of /api/items with the page's corpus and filter; `arrived(start, items, total)` is told of each page. */
  constructor(address, arrived, failed) {
    this.address = address + (address.endsWith("?") ? "" : "&");
    this.arrived = arrived;
    this.failed = failed;
    this.kept = new Map();
    this.asked = new Map();
    this.wanted = new Set();
  }
  item(index) {
    return this.kept.get(Math.floor(index / PAGE))?.[index % PAGE];
  }
  want(from, to) {
    this.wanted = new Set();
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) this.wanted.add(page);
    for (const [page, request] of this.asked) if (!this.wanted.has(page)) request.abort();
    for (const page of this.wanted) if (!this.kept.has(page) && !this.asked.has(page)) this.fetch(page);
  }
  async fetch(page) {
    const request = new AbortController();
    this.asked.set(page, request);
    let again = 0;
    try {
      const response = await fetch(`${this.address}start=${page * PAGE}&limit=${PAGE}`, { signal: request.signal });
      if (response.ok) {
        const told = await response.json();
        this.keep(page, told.items);
        this.arrived(page * PAGE, told.items, told.total);
      } else if (response.status === 503 || response.status === 429) again = 1000 * (Number(response.headers.get("retry-after")) || 2);
      else this.failed(response);
    } catch (error) {
      if (error.name !== "AbortError") again = 3000;
    } finally {
      this.asked.delete(page);
    }
    if (again) setTimeout(() => { if (this.wanted.has(page) && !this.asked.has(page) && !this.kept.has(page)) this.fetch(page); }, again);
  }
  keep(page, items) {
    this.kept.set(page, items);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      if (!this.wanted.has(oldest)) this.kept.delete(oldest);
    }
  }
  forget() {
    this.stop();
    this.kept.clear();
  }
  stop() {
    this.wanted = new Set();
    for (const request of this.asked.values()) request.abort();
  }
}
