// A long text in the page: cut into sections, of which the browser lays out those that can be seen (`content-visibility`).

/** Characters in a section, about. */
const FULL = 16 * 1024

/** Puts blocks below each other into `target`, and knows at which byte of the text each begins. */
export class Sections {
  #target
  #section = document.createElement("section")
  #remaining = 0
  /** @type {{ node: Node, offset: number }[]} */
  #blocks = []

  /** @param {Element} target */
  constructor(target) {
    this.#target = target
  }

  /** Whether the next block begins a new section: what could go on in the last one should not. */
  get full() {
    return this.#remaining <= 0
  }

  /**
   * Appends a block of so many characters that begins at byte `offset`.
   * @param {Node} node
   * @param {number} offset
   * @param {number} length
   */
  put(node, offset, length) {
    if (this.full) this.#begin()
    this.#blocks.push({ node, offset })
    this.#section.append(node)
    this.grow(length)
  }

  /**
   * The last block has got so many characters more.
   * @param {number} length
   */
  grow(length) {
    this.#remaining -= length
  }

  /**
   * The block in which byte `offset` stands, and the byte at which it begins; null if there is none yet.
   * @param {number} offset
   */
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
    this.#section = document.createElement("section")
    this.#section.className = "run"
    this.#target.append(this.#section)
    this.#remaining = FULL
  }
}

const ASCII = /^[\0-\x7f]*$/
const encoder = new TextEncoder()

/**
 * How many bytes of UTF-8 a text has.
 * @param {string} text
 */
export const bytesOf = (text) => (ASCII.test(text) ? text.length : encoder.encode(text).length)
