// A text as it is, character by character.

import { Sections, bytesOf } from "./sections.js"

/** Characters without a line's end that stay together at most; beyond that a line is cut. */
const LONGEST = 64 * 1024

/** Appends text to `target` in blocks of whole lines. */
export class PlainText {
  #sections
  /** @type {Text | null} */
  #node = null
  #offset = 0

  /** @param {Element} target */
  constructor(target) {
    this.#sections = new Sections(target)
  }

  /**
   * Appends text.
   * @param {string} text
   */
  add(text) {
    let rest = text
    while (rest) {
      const node = (this.#node ??= this.#begin())
      const space = this.#spaceFor(node, rest)
      node.appendData(rest.slice(0, space))
      this.#sections.grow(space)
      this.#offset += bytesOf(rest.slice(0, space))
      rest = rest.slice(space)
      if (this.#sections.full && (node.data.endsWith("\n") || node.length >= LONGEST)) this.#node = null
    }
  }

  draw() {}

  end() {}

  /**
   * Where byte `offset` stands: `{node, before}`, the block and how many of its bytes come before; or null.
   * @param {number} offset
   */
  at(offset) {
    const block = this.#sections.at(offset)
    return block && { node: block.node, before: offset - block.offset }
  }

  /**
   * How many characters go into the block at hand: all, unless it is full; then as far as the line's end.
   * @param {Text} node
   * @param {string} text
   */
  #spaceFor(node, text) {
    if (!this.#sections.full) return text.length
    const end = text.indexOf("\n") + 1
    return Math.min(end || text.length, Math.max(2, LONGEST - node.length))
  }

  #begin() {
    const node = document.createTextNode("")
    const block = document.createElement("pre")
    block.append(node)
    this.#sections.put(block, this.#offset, 0)
    return node
  }
}
