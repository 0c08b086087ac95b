// One text in a scroller: fed in slices, one a frame, so that the page answers whatever comes.

import { soon } from "./frames.js"

/** What one slice has at most: characters, and lines. */
const SLICE = 32 * 1024
const LINES = 500

/** Characters that wait to be shown, from which on no more are taken from the network. */
const ENOUGH = 256 * 1024

/**
 * What shows a text in the page.
 * @typedef {object} Renderer
 * @property {(text: string) => void} add
 * @property {() => void} draw
 * @property {() => void} end
 * @property {(offset: number) => { node: Node, before: number } | null} at
 */

/**
 * What takes out of a text, piece by piece, what would not be read but do something.
 * @typedef {{ feed: (text: string) => string, end: () => string }} Sieve
 */

/** Feeds `renderer` in a scroller, with what `filter` leaves of a text. */
export class TextView {
  #renderer
  #scroller
  #filter
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

  /**
   * @param {Renderer} renderer
   * @param {Sieve} filter
   * @param {import("./scroller.js").Scroller} scroller
   * @param {AbortSignal} signal
   */
  constructor(renderer, filter, scroller, signal) {
    this.#renderer = renderer
    this.#filter = filter
    this.#scroller = scroller
    signal.addEventListener("abort", () => this.#undo())
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
    this.#scroller.follow()
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
