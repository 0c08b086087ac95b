// A model's Markdown in the page, while it is being written.
//
// What no further text can change is put down once and never touched again: a list item by item, code line by line.
// Below it stands the tail, the block that is being written, drawn again with each frame. What a block may cost is
// bounded, whatever is written: the same rules as on a terminal (cli/markdown.py).

import { built, code, itemsOf, listOf, parsed } from "./markdown-nodes.js"
import { Sections, bytesOf } from "./sections.js"

/** Characters of an unfinished block from which on it is parsed anew only when it has grown by an eighth. */
const LONG = 4 * 1024

/** Characters of an unfinished block from which on it is put down as it stands. */
const LONGEST = 16 * 1024

/**
 * The code that is being written: its mark and indentation, what it says it is in, where its lines go, and the last one.
 * @typedef {{ mark: string, indent: number, info: string, text: Text, tail: Text }} Fence
 * @typedef {import("./markdown-nodes.js").Block} Block
 */

/** Appends Markdown to `target`. */
export class Markdown {
  #sections
  #tail
  #rest = ""
  #offset = 0
  #due = 0
  #drawn = ""
  /** @type {Fence | null} */
  #fence = null
  /** @type {{ kind: string, node: HTMLElement, number: number } | null} */
  #list = null
  /** @type {HTMLElement | null} */
  #line = null

  /** @param {Element} target */
  constructor(target) {
    const text = document.createElement("div")
    this.#tail = document.createElement("div")
    this.#tail.className = "tail"
    target.append(text, this.#tail)
    this.#sections = new Sections(text)
  }

  /**
   * Appends text.
   * @param {string} text
   */
  add(text) {
    const rest = this.#line ? this.#goOnLine(text) : text
    if (!rest) return
    this.#rest += rest
    if (this.#rest.length >= this.#due) this.#finish(this.#rest.length > LONGEST)
    if (this.#rest.length > LONGEST) this.#beginLine()
  }

  /** Shows what is not finished. */
  draw() {
    if (this.#fence) {
      this.#tail.replaceChildren()
      this.#fence.tail.data = mayEnd(this.#fence, this.#rest) ? "" : this.#rest
    } else if (this.#rest.length < this.#due && this.#drawn && this.#rest.startsWith(this.#drawn)) {
      /** @type {Text} */ (this.#tail.lastChild).data = this.#rest.slice(this.#drawn.length)
    } else {
      const lines = this.#rest.split("\n")
      const nodes = parsed(this.#rest).map((block) => built(block, lines.slice(block.begin, block.end).join("\n")))
      this.#tail.replaceChildren(...nodes, "")
      this.#drawn = this.#rest
    }
  }

  /** No more text comes. */
  end() {
    if (this.#rest && !this.#rest.endsWith("\n")) this.#rest += "\n"
    this.#finish(true)
    this.#rest = ""
    this.#tail.replaceChildren()
    if (this.#fence) this.#fence.tail.data = ""
  }

  /**
   * Where byte `offset` stands: its block, and how many of its bytes come before; or null.
   * @param {number} offset
   */
  at(offset) {
    if (offset >= this.#offset && this.#tail.hasChildNodes()) return { node: this.#tail, before: offset - this.#offset }
    const block = this.#sections.at(offset)
    return block && { node: block.node, before: offset - block.offset }
  }

  /**
   * Puts down the complete lines that are finished, or, as `all`, all of them.
   * @param {boolean} all
   */
  #finish(all) {
    const lines = this.#rest.split("\n")
    const incomplete = lines.pop() ?? ""
    let used = 0
    while (used < lines.length) {
      const more = this.#fence ? this.#code(this.#fence, lines.slice(used)) : this.#blocks(lines.slice(used), all)
      if (!more) break
      this.#offset += bytesOf(lines.slice(used, used + more).join("\n")) + 1
      used += more
    }
    this.#drawn = ""
    this.#rest = [...lines.slice(used), incomplete].join("\n")
    this.#due = this.#rest.length > LONG ? this.#rest.length * 1.125 : 0
  }

  /**
   * Puts down blocks up to code, or up to one that may go on. How many lines that used.
   * @param {string[]} lines
   * @param {boolean} all
   */
  #blocks(lines, all) {
    const blocks = parsed(lines.join("\n"))
    const places = new Places(lines, this.#offset)
    for (const block of blocks) {
      const last = block === blocks.at(-1)
      if (block.kind === "fence" && last) {
        this.#list = null
        this.#open(block, lines[block.begin], places.of(block.begin))
        return block.begin + 1
      }
      const rows = itemsOf(block)
      if (last && !all && !isClosed(block, lines.length)) {
        if (rows.length < 2) return block.begin
        this.#items(rows.slice(0, -1), block, places)
        return rows[rows.length - 1].begin
      }
      if (rows.length) this.#items(rows, block, places)
      else this.#put(block, places)
      this.#list = null
    }
    return lines.length
  }

  /**
   * @param {Block} block
   * @param {Places} places
   */
  #put(block, places) {
    const source = places.source(block)
    this.#sections.put(only(built(block, source)), places.of(block.begin), source.length)
  }

  /**
   * Puts down items, into the list that they go on if there is one.
   * @param {Block[]} items
   * @param {Block} list
   * @param {Places} places
   */
  #items(items, { kind, tokens }, places) {
    for (const item of items) {
      let list = this.#list?.kind === kind ? this.#list : null
      if (!list || this.#sections.full) {
        const number = list?.number ?? Number(tokens[0].attrGet("start") ?? 1)
        const node = listOf(kind, number)
        if (list) node.classList.add("goes-on")
        this.#list = list = { kind, node, number }
        this.#sections.put(node, places.of(item.begin), 0)
      }
      const source = places.source(item)
      list.node.append(built(item, source))
      list.number += 1
      this.#sections.grow(source.length)
    }
  }

  /**
   * Opens a block of code, whose lines come one by one.
   * @param {Block} block
   * @param {string} line
   * @param {number} offset
   */
  #open({ tokens: [token] }, line, offset) {
    const [text, tail] = this.#page(token.info, offset, false)
    this.#fence = { mark: token.markup, indent: indentOf(line), info: token.info, text, tail }
  }

  /**
   * A block for the next lines of the code.
   * @param {string} info
   * @param {number} offset
   * @param {boolean} goesOn
   * @returns {[Text, Text]} the code's, and that of the line that is being written
   */
  #page(info, offset, goesOn) {
    const block = code("", info)
    if (goesOn) {
      block.classList.add("goes-on")
      delete block.dataset.language
    }
    const [text, tail] = [document.createTextNode(""), document.createTextNode("")]
    block.firstElementChild?.append(text, tail)
    this.#sections.put(block, offset, 0)
    return [text, tail]
  }

  /**
   * Puts down code as far as it goes. How many lines that used.
   * @param {Fence} fence
   * @param {string[]} lines
   */
  #code(fence, lines) {
    fence.tail.data = ""
    const end = lines.findIndex((line) => ends(fence, line))
    const inside = end < 0 ? lines : lines.slice(0, end)
    if (inside.length) {
      if (this.#sections.full) [fence.text, fence.tail] = this.#page(fence.info, this.#offset, true)
      const shown = inside.map((line) => `${line.slice(Math.min(fence.indent, indentOf(line)))}\n`).join("")
      fence.text.appendData(shown)
      this.#sections.grow(shown.length)
    }
    if (end < 0) return lines.length
    this.#fence = null
    return end + 1
  }

  // --- a line without an end

  /** What is too long for a parser is text. */
  #beginLine() {
    const text = this.#rest
    this.#rest = ""
    this.#due = 0
    if (this.#fence) {
      this.#fence.tail.data = ""
      this.#fence.text.appendData(text)
      this.#offset += bytesOf(text)
    } else {
      this.#list = null
      this.#drawn = ""
      this.#tail.replaceChildren()
      this.#goOnLine(text)
    }
  }

  /**
   * Appends as far as the line goes; what comes after its end.
   * @param {string} text
   */
  #goOnLine(text) {
    const end = text.indexOf("\n") + 1
    const part = text.slice(0, end || text.length)
    let line = this.#line
    if (!line || this.#sections.full) {
      this.#line = line = document.createElement("p")
      this.#sections.put(line, this.#offset, 0)
    }
    line.append(part)
    this.#sections.grow(part.length)
    this.#offset += bytesOf(part)
    if (end) this.#line = null
    return text.slice(part.length)
  }
}

/** Where lines begin, in bytes, and what blocks were written as. */
class Places {
  #lines
  #line = 0
  #offset

  /**
   * @param {string[]} lines
   * @param {number} offset
   */
  constructor(lines, offset) {
    this.#lines = lines
    this.#offset = offset
  }

  /**
   * The byte at which a line begins; to be asked in order.
   * @param {number} line
   */
  of(line) {
    for (; this.#line < line; this.#line += 1) this.#offset += bytesOf(this.#lines[this.#line]) + 1
    return this.#offset
  }

  /** @param {Block} block */
  source({ begin, end }) {
    return this.#lines.slice(begin, end).join("\n")
  }
}

/**
 * Whether nothing can be added to the last block of so many complete lines.
 * @param {Block} block
 * @param {number} lines
 */
function isClosed({ kind, end }, lines) {
  if (kind === "heading_open" || kind === "hr") return true
  return (kind === "paragraph_open" || kind === "table_open") && end < lines
}

/** @param {string} line */
const indentOf = (line) => line.length - line.trimStart().length

/**
 * Whether this beginning of a line may become one that closes the code.
 * @param {Fence} fence
 * @param {string} line
 */
function mayEnd({ mark }, line) {
  const said = line.trim()
  return Boolean(said) && !/^ {4}|\t/.test(line) && [...said].every((character) => character === mark[0])
}

/**
 * @param {Fence} fence
 * @param {string} line
 */
const ends = (fence, line) => mayEnd(fence, line) && line.trim().length >= fence.mark.length

/**
 * A fragment's one element; more than one in a frame of its own.
 * @param {DocumentFragment | Element} nodes
 */
function only(nodes) {
  if (nodes.childNodes.length === 1 || !(nodes instanceof DocumentFragment)) return nodes.firstElementChild ?? nodes
  const frame = document.createElement("div")
  frame.append(nodes)
  return frame
}
