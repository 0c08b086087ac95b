// A text as it is, character by character; as a terminal shows it, where a command redraws a line or sets colours.

import { Sections, bytesOf } from "./sections.js"
import { Style } from "./sgr.js"

/** Characters without a line's end that stay together at most; beyond that a line is cut. */
const LONGEST = 64 * 1024

/** What a LineFilter lets through: a sequence that sets colours, CR, or text. */
const PARTS = /\x1b\[([\d;:]*)m|\r|[^\x1b\r]+/g

/** Appends text to `target` in blocks of whole lines. */
export class PlainText {
  #sections
  #style = new Style()
  /** @type {HTMLElement | null} */
  #block = null
  #length = 0
  /** @type {Run | null} Where the next character goes. */
  #run = null
  /** @type {{ run: Run | null, at: number }} Where its line begins: in a run of the block, or with it. */
  #line = { run: null, at: 0 }
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
    for (const [part, parameters] of text.matchAll(PARTS)) {
      if (parameters !== undefined) this.#style.take(parameters)
      else if (part === "\r") this.#beginAnew()
      else this.#write(part)
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

  /** @param {string} text */
  #write(text) {
    let rest = text
    while (rest) {
      const block = (this.#block ??= this.#begin())
      const part = rest.slice(0, this.#spaceFor(rest))
      const run = this.#runIn(block)
      run.text.appendData(part)
      const end = part.lastIndexOf("\n") + 1
      if (end) this.#line = { run, at: run.text.length - part.length + end }
      this.#grow(part.length)
      this.#offset += bytesOf(part)
      rest = rest.slice(part.length)
      if (this.#sections.full && (part.endsWith("\n") || this.#length >= LONGEST)) this.#block = null
    }
  }

  /** What stands in the line goes: the next character is its first. */
  #beginAnew() {
    this.#offset += 1
    const { run, at } = this.#line
    const last = run?.node ?? null
    while (this.#block && this.#block.lastChild !== last) {
      this.#grow(-(this.#block.lastChild?.textContent?.length ?? 0))
      this.#block.lastChild?.remove()
    }
    if (run) {
      this.#grow(at - run.text.length)
      run.text.deleteData(at, run.text.length - at)
    }
    this.#run = run
  }

  /**
   * Text in the style that is set.
   * @param {HTMLElement} block
   */
  #runIn(block) {
    const classes = this.#style.classes
    if (this.#run?.classes === classes) return this.#run
    const text = document.createTextNode("")
    const node = classes ? document.createElement("span") : text
    if (node instanceof HTMLElement) {
      node.className = classes
      node.append(text)
    }
    block.append(node)
    return (this.#run = { node, text, classes })
  }

  /** @param {number} length */
  #grow(length) {
    this.#length += length
    this.#sections.grow(length)
  }

  /**
   * How many characters go into the block at hand: all, unless it is full; then as far as the line's end.
   * @param {string} text
   */
  #spaceFor(text) {
    if (!this.#sections.full) return text.length
    const end = text.indexOf("\n") + 1
    return Math.min(end || text.length, Math.max(2, LONGEST - this.#length))
  }

  #begin() {
    const block = document.createElement("pre")
    this.#sections.put(block, this.#offset, 0)
    this.#length = 0
    this.#run = null
    this.#line = { run: null, at: 0 }
    return block
  }
}

/** @typedef {{ node: ChildNode, text: Text, classes: string }} Run */
