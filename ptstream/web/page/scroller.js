// What a text is scrolled by: held at its end while the reader is there, or at a place until the reader moves; and
// nowhere else.

/** Pixels from the end within which a reader is at the end. */
const NEAR = 40

/** Pixels that are left above a place. */
const ABOVE = 16

/** What a reader scrolls by. */
const MOVES = ["wheel", "touchmove", "keydown", "pointerdown"]

/** Holds `element`, which scrolls `content`. Sends "end" when `atEnd` may have changed. */
export class Scroller extends EventTarget {
  #element
  #last = 0
  #stuck = false
  /** @type {Element | null} */
  #place = null
  #inSight = true

  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} content
   * @param {{ stuck: boolean, signal: AbortSignal }} options
   */
  constructor(element, content, { stuck, signal }) {
    super()
    this.#element = element
    element.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true })
    for (const move of MOVES) element.addEventListener(move, () => this.#hold(this.#stuck, null), { signal, passive: true })
    const sizes = new ResizeObserver(() => this.follow())
    sizes.observe(element)
    sizes.observe(content)
    // The browser tells, behind the layout: what is asked in between is a guess, as runs have no size yet.
    const end = document.createElement("div")
    element.append(end)
    const sight = new IntersectionObserver((seen) => this.#see(seen.at(-1)?.isIntersecting ?? false), {
      root: element,
      rootMargin: `0px 0px ${NEAR}px`,
    })
    sight.observe(end)
    signal.addEventListener("abort", () => {
      sizes.disconnect()
      sight.disconnect()
    })
    this.#hold(stuck, null)
  }

  /** Whether the end is in sight. */
  get atEnd() {
    return this.#stuck || this.#inSight
  }

  /** To the end, to stay there. */
  jump() {
    this.#hold(true, null)
    this.follow()
  }

  /**
   * To where an element begins, to stay there however much comes above it, until the reader moves.
   * @param {Element} place
   */
  show(place) {
    this.#hold(false, place)
    this.follow()
  }

  /** The text has changed: back to where it is held. */
  follow() {
    const element = this.#element
    if (this.#stuck) element.scrollTop = element.scrollHeight
    else if (this.#place) element.scrollTop += topOf(this.#place) - topOf(element) - ABOVE
    else return
    this.#last = element.scrollTop
  }

  /** Only a reader scrolls up; what else moves the text, a reflow, leaves the end in sight or below. */
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#element
    const below = scrollHeight - clientHeight - scrollTop
    const stuck = this.#stuck ? scrollTop >= this.#last - 1 || below < 2 : scrollTop > this.#last && below < NEAR
    this.#last = scrollTop
    if (stuck !== this.#stuck) this.#hold(stuck, null)
  }

  /** @param {boolean} inSight */
  #see(inSight) {
    this.#inSight = inSight
    this.dispatchEvent(new Event("end"))
  }

  /**
   * @param {boolean} stuck
   * @param {Element | null} place
   */
  #hold(stuck, place) {
    this.#stuck = stuck
    this.#place = place
    this.#element.classList.toggle("stuck", stuck || place !== null)
    this.dispatchEvent(new Event("end"))
  }
}

/** @param {Element} element */
const topOf = (element) => element.getBoundingClientRect().top
