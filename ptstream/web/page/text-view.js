// One text in a scroller: fed in slices, one a frame, so that the page answers whatever comes; held at its end while
// the reader is there, and nowhere else.

import { soon } from "./frames.js"
import { Filter } from "./untrusted.js"

/** What one slice has at most: characters, and lines. */
const SLICE = 32 * 1024
const LINES = 500

/** Characters that wait to be shown, from which on no more are taken from the network. */
const ENOUGH = 256 * 1024

/** Pixels from the end within which a reader is at the end. */
const NEAR = 40

/**
 * What shows a text in the page.
 * @typedef {object} Renderer
 * @property {(text: string) => void} add
 * @property {() => void} draw
 * @property {() => void} end
 * @property {(offset: number) => { node: Node, before: number } | null} at
 */

/**
 * Feeds `renderer` (`add`, `draw`, `end`), which writes into `content`, in `scroller`. Sends "end" when `atEnd`
 * may have changed.
 */
export class TextView extends EventTarget {
  #renderer
  #scroller
  #filter = new Filter()
  /** @type {string[]} */
  #queue = []
  #waiting = 0
  #ended = false
  /** @type {PromiseWithResolvers<void> | null} */
  #drained = null
  /** @type {PromiseWithResolvers<void> | null} */
  #idle = null
  /** @type {PromiseWithResolvers<void>} */
  #finished = Promise.withResolvers()
  #undo = () => {}
  #asked = false
  #last = 0
  #stuck
  #inSight = true

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content
   * @param {Renderer} renderer
   * @param {{ stuck: boolean, signal: AbortSignal }} options
   */
  constructor(scroller, content, renderer, { stuck, signal }) {
    super()
    this.#scroller = scroller
    this.#renderer = renderer
    this.#stuck = stuck
    scroller.classList.toggle("stuck", stuck)
    scroller.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true })
    const sizes = new ResizeObserver(() => this.#stuck && this.#follow())
    sizes.observe(scroller)
    sizes.observe(content)
    // The browser tells, behind the layout: what is asked in between is a guess, as runs have no size yet.
    const end = document.createElement("div")
    scroller.append(end)
    const sight = new IntersectionObserver((seen) => this.#see(seen.at(-1)?.isIntersecting ?? false), {
      root: scroller,
      rootMargin: `0px 0px ${NEAR}px`,
    })
    sight.observe(end)
    signal.addEventListener("abort", () => {
      this.#undo()
      sizes.disconnect()
      sight.disconnect()
    })
  }

  /** Whether the end is in sight. */
  get atEnd() {
    return this.#stuck || this.#inSight
  }

  /**
   * Takes text; returns when more can be taken.
   * @param {string} text
   */
  async take(text) {
    this.#queue.push(text)
    this.#waiting += text.length
    this.#ask()
    if (this.#waiting > ENOUGH) {
      this.#drained ??= Promise.withResolvers()
      await this.#drained.promise
    }
  }

  /** Returns when all that was taken is shown. */
  async shown() {
    this.#ask()
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  /** No more comes; returns when all is shown. */
  async end() {
    this.#ended = true
    this.#ask()
    await this.#finished.promise
  }

  /** To the end, to stay there. */
  jump() {
    this.#stick(true)
    this.#follow()
  }

  #ask() {
    if (this.#asked) return
    this.#asked = true
    this.#undo = soon(() => {
      this.#asked = false
      this.#show()
    })
  }

  #show() {
    const slice = this.#slice()
    this.#renderer.add(this.#filter.feed(slice))
    if (!this.#waiting && this.#ended) this.#close()
    else if (!this.#waiting) this.#renderer.draw()
    if (this.#stuck) this.#follow()
    if (this.#waiting) this.#ask()
    else {
      this.#idle?.resolve()
      this.#idle = null
    }
    if (this.#waiting <= ENOUGH / 2) {
      this.#drained?.resolve()
      this.#drained = null
    }
  }

  #close() {
    this.#renderer.add(this.#filter.end())
    this.#renderer.end()
    this.#finished.resolve()
  }

  /** The next slice of what waits. */
  #slice() {
    let text = ""
    while (this.#queue.length && text.length < SLICE) text += this.#queue.shift() ?? ""
    const length = bounded(text)
    if (length < text.length) this.#queue.unshift(text.slice(length))
    this.#waiting -= length
    return text.slice(0, length)
  }

  #follow() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight
    this.#last = this.#scroller.scrollTop
  }

  /** Only a reader scrolls up; what else moves the text, a reflow, leaves the end in sight or below. */
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller
    const below = scrollHeight - clientHeight - scrollTop
    const stuck = this.#stuck ? scrollTop >= this.#last - 1 || below < 2 : scrollTop > this.#last && below < NEAR
    this.#last = scrollTop
    if (stuck !== this.#stuck) this.#stick(stuck)
  }

  /** @param {boolean} inSight */
  #see(inSight) {
    this.#inSight = inSight
    this.dispatchEvent(new Event("end"))
  }

  /** @param {boolean} stuck */
  #stick(stuck) {
    this.#stuck = stuck
    this.#scroller.classList.toggle("stuck", stuck)
    this.dispatchEvent(new Event("end"))
  }
}

/**
 * How much of a text is a slice: no half of a character at its end.
 * @param {string} text
 */
function bounded(text) {
  let length = Math.min(text.length, SLICE)
  let line = -1
  for (let lines = 0; lines < LINES && line < length; lines += 1) {
    const next = text.indexOf("\n", line + 1)
    if (next < 0) return whole(text, length)
    line = next
  }
  return whole(text, Math.min(length, line + 1))
}

/**
 * @param {string} text
 * @param {number} length
 */
function whole(text, length) {
  const high = text.charCodeAt(length - 1)
  return length < text.length && high >= 0xd800 && high < 0xdc00 ? length - 1 : length
}
