// A text as it is, character by character.

import { Runs, bytesOf } from "./runs.js"

/** Characters without a line's end that stay together at most; beyond that a line is cut. */
const LONGEST = 64 * 1024

/** Appends text to `target` in blocks of whole lines. */
export class Plain {
  #runs
  #node = null
  #offset = 0

  constructor(target) {
    this.#runs = new Runs(target)
  }

  /** Appends text. */
  add(text) {
    let rest = text
    while (rest) {
      if (!this.#node) this.#begin()
      const space = this.#spaceFor(rest)
      this.#node.appendData(rest.slice(0, space))
      this.#runs.grow(space)
      this.#offset += bytesOf(rest.slice(0, space))
      rest = rest.slice(space)
      if (this.#runs.full && (this.#node.data.endsWith("\n") || this.#node.length >= LONGEST)) this.#node = null
    }
  }

  draw() {}

  end() {}

  /** Where byte `offset` stands: `{node, before}`, the block and how many of its bytes come before; or null. */
  at(offset) {
    const block = this.#runs.at(offset)
    return block && { node: block.node, before: offset - block.offset }
  }

  /** How many characters go into the block at hand: all, unless it is full; then as far as the line's end. */
  #spaceFor(text) {
    if (!this.#runs.full) return text.length
    const end = text.indexOf("\n") + 1
    return Math.min(end || text.length, Math.max(2, LONGEST - this.#node.length))
  }

  #begin() {
    this.#node = document.createTextNode("")
    const block = document.createElement("pre")
    block.append(this.#node)
    this.#runs.put(block, this.#offset, 0)
  }
}
