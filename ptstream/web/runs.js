// A long text in the page: cut into runs, of which the browser lays out those that can be seen (`content-visibility`).

/** Characters in a run, about. */
const FULL = 16 * 1024

/** Puts blocks below each other into `target`, and knows at which byte of the text each begins. */
export class Runs {
  #target
  #run = null
  #left = 0
  #blocks = []

  constructor(target) {
    this.#target = target
  }

  /** Whether the next block begins a new run: what could go on in the last one should not. */
  get full() {
    return this.#left <= 0
  }

  /** Appends a block of so many characters that begins at byte `offset`. */
  put(node, offset, length) {
    if (this.full) this.#begin()
    this.#blocks.push({ node, offset })
    this.#run.append(node)
    this.grow(length)
  }

  /** The last block has got so many characters more. */
  grow(length) {
    this.#left -= length
  }

  /** The block in which byte `offset` stands, and the byte at which it begins; null if there is none yet. */
  at(offset) {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#blocks[middle].offset <= offset) low = middle + 1
      else high = middle
    }
    return this.#blocks[low - 1] ?? null
  }

  #begin() {
    this.#run = document.createElement("section")
    this.#run.className = "run"
    this.#target.append(this.#run)
    this.#left = FULL
  }
}

const ASCII = /^[\0-\x7f]*$/
const encoder = new TextEncoder()

/** How many bytes of UTF-8 a text has. */
export const bytesOf = (text) => (ASCII.test(text) ? text.length : encoder.encode(text).length)
