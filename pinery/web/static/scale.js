// How far down a page is, when the rows of its grid are higher together than browsers let a page be.

export const TALLEST = 5_000_000;
/** The pixels at both ends in which a place in the page is the same place in the grid. */
const EXACT = 200_000;

/** Maps places in a grid of `real` pixels to places in an element of `shown` pixels, and back. */
export class Scale {
  constructor(real, viewport) {
    this.real = real;
    this.shown = Math.min(real, TALLEST);
    this.viewport = viewport;
    this.linear = real <= TALLEST;
    this.stretch = this.linear ? 1 : (real - 2 * EXACT) / (TALLEST - 2 * EXACT);
    /** A step of this many pixels is a drag of the scroll bar, whose thumb moves by pixels of its own. */
    this.leap = this.linear ? Infinity : Math.max(1500, TALLEST / viewport / 3);
  }
  toShown(place) {
    if (this.linear || place <= EXACT) return place;
    if (place >= this.real - EXACT) return this.shown - (this.real - place);
    return EXACT + (place - EXACT) / this.stretch;
  }
  toReal(place) {
    if (this.linear || place <= EXACT) return place;
    if (place >= this.shown - EXACT) return this.real - (this.shown - place);
    return EXACT + (place - EXACT) * this.stretch;
  }
}

/**
 * Follows a page that scrolls. Small steps move the grid by as many pixels, so that a wheel moves by rows wherever it is;
 * a leap, which only the scroll bar makes, goes to the place that the bar shows. What small steps leave between bar and
 * grid is made good by `settled`, once nothing moves.
 */
export class Anchor {
  constructor(scale, place) {
    this.scale = scale;
    this.place = place;
    this.bar = scale.toShown(place);
  }
  moved(bar) {
    const step = bar - this.bar;
    this.bar = bar;
    if (this.scale.linear) this.place = bar;
    else if (Math.abs(step) > this.scale.leap) this.place = this.scale.toReal(bar);
    else this.place += step;
    return this.scale.linear || !this.stuck();
  }
  /** True where the bar is at an end and the grid isn't, or the other way round, so that one can't go on. */
  stuck() {
    const last = this.scale.real - this.scale.viewport;
    const lowest = this.scale.shown - this.scale.viewport;
    return (this.bar <= 0 && this.place > 1) || (this.place < 0 && this.bar > 1) || (this.bar >= lowest && this.place < last - 1) || (this.place > last && this.bar < lowest - 1);
  }
  /** The place that the bar has to have. */
  settled() {
    return this.scale.toShown(this.place);
  }
  /** What is to be added to a place in the grid to get its place in the page. */
  get shift() {
    return this.bar - this.place;
  }
}
