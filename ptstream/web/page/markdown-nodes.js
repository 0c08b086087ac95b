// A parser's tokens as nodes of the page. Whatever a model writes, only what is named here can come out: no HTML, no
// picture, no style, and links to the web or to mail alone, which tell nobody where they were followed from.

import MarkdownIt from "../vendor/markdown-it.js"
import { misleads, targetOf } from "./links.js"
import { teach } from "./markdown-syntax.js"
import { clean } from "./untrusted.js"

/** Levels that are shown; the parser leaves out what is nested deeper than it reads. */
const DEEP = 16
const READ = 20

/** Columns of a table that a browser lays out in no time. */
const WIDE = 100

/** @type {Record<string, string>} */
const NAMES = {
  paragraph_open: "p",
  blockquote_open: "blockquote",
  bullet_list_open: "ul",
  ordered_list_open: "ol",
  list_item_open: "li",
  table_open: "table",
  thead_open: "thead",
  tbody_open: "tbody",
  tr_open: "tr",
  th_open: "th",
  td_open: "td",
  em_open: "em",
  strong_open: "strong",
  s_open: "s",
}

const parser = new MarkdownIt("commonmark", { html: false, maxNesting: READ })
teach(parser).enable(["table", "strikethrough"]).disable(["reference"])
parser.validateLink = () => true // `link` below is who decides: what it refuses is shown as it was written

/**
 * @typedef {import("../vendor/markdown-it.js").Token} Token
 * @typedef {{ kind: string, tokens: Token[], begin: number, end: number }} Block
 */

/**
 * The blocks of the top level: `{kind, tokens, begin, end}`, lines counted from 0.
 * @param {string} source
 */
export function parsed(source) {
  /** @type {Block[]} */
  const blocks = []
  /** @type {Token[]} */
  let tokens = []
  for (const token of parser.parse(source, {})) {
    tokens.push(token)
    if (token.level === 0 && token.nesting <= 0) {
      const [begin, end] = linesOf(tokens[0])
      blocks.push({ kind: tokens[0].type, tokens, begin, end })
      tokens = []
    }
  }
  return blocks
}

/**
 * A list's items as such blocks; of any other block none.
 * @param {Block} block
 */
export function itemsOf({ kind, tokens }) {
  /** @type {Block[]} */
  const items = []
  if (kind !== "bullet_list_open" && kind !== "ordered_list_open") return items
  /** @type {Token[]} */
  let item = []
  for (const token of tokens.slice(1, -1)) {
    item.push(token)
    if (token.level === 1 && token.nesting === -1) {
      const [begin, end] = linesOf(item[0])
      items.push({ kind, tokens: item, begin, end })
      item = []
    }
  }
  return items
}

/**
 * The lines of a block: its first one, and the one behind its last.
 * @param {Token} token
 */
const linesOf = ({ map }) => map ?? [0, 0]

/**
 * The nodes of a block; `source` is what it was written as.
 * @param {Block} block
 * @param {string} source
 */
export function built({ tokens }, source) {
  if (tokens.some((token) => token.level > DEEP) || tokens.filter(({ type }) => type === "th_open").length > WIDE) {
    return text("pre", source)
  }
  const root = document.createDocumentFragment()
  /** @type {ParentNode[]} */
  const open = [root]
  const alone = aloneIn(tokens)
  for (const token of tokens) {
    const parent = open[open.length - 1]
    if (token.nesting === -1) open.pop()
    else if (token.nesting === 1) open.push(alone.has(token) ? parent : opened(token, parent))
    else if (token.type === "inline") inline(token.children ?? [], parent)
    else if (token.type === "hr") parent.append(document.createElement("hr"))
    else if (token.type === "math_block") parent.append(formula("div", token.content))
    else if (token.type === "fence" || token.type === "code_block") parent.append(code(token.content, token.info))
    else parent.append(token.content)
  }
  return root
}

/**
 * The paragraphs that are the only one of their list's item: an item is laid out before it is known whether the next one
 * stands apart from it, so that cannot decide how it looks.
 * @param {Token[]} tokens
 */
function aloneIn(tokens) {
  /** @type {Set<Token>} */
  const alone = new Set()
  /** @type {(Token[] | undefined)[]} */
  const parents = []
  for (const token of tokens) {
    if (token.type === "paragraph_open") parents.at(-1)?.push(token)
    if (token.nesting === 1) parents.push(token.type === "list_item_open" ? [] : undefined)
    else if (token.nesting === -1) {
      const paragraphs = parents.pop()
      if (paragraphs?.length === 1) alone.add(paragraphs[0])
    }
  }
  return alone
}

/**
 * A list of that kind, whose first item has that number.
 * @param {string} kind
 */
export function listOf(kind, start = 1) {
  if (kind !== "ordered_list_open") return document.createElement("ul")
  const list = document.createElement("ol")
  if (start !== 1) list.start = start
  return list
}

/**
 * A block of code, and what language it says it is in.
 * @param {string} content
 */
export function code(content, info = "") {
  const block = text("pre", "")
  const inner = text("code", content)
  block.append(inner)
  block.className = "code"
  const language = clean(info).trim().split(/\s+/, 1)[0]
  if (language) block.dataset.language = language.slice(0, 30)
  return block
}

/**
 * @param {Token} token
 * @param {ParentNode} parent
 */
function opened(token, parent) {
  const heading = /^h([1-6])$/.exec(token.type === "heading_open" ? token.tag : "")
  const made = heading
    ? document.createElement(`h${Math.min(6, Number(heading[1]) + 1)}`) // the page's own heading is above them
    : token.type === "ordered_list_open"
      ? listOf(token.type, Number(token.attrGet("start") ?? 1))
      : document.createElement(NAMES[token.type] ?? "div")
  const align = /^text-align:(left|center|right)$/.exec(token.attrGet("style") ?? "")
  if (align) made.className = align[1]
  if (token.type !== "table_open") parent.append(made)
  else {
    const frame = document.createElement("div") // scrolls to the side by itself
    frame.className = "table"
    frame.tabIndex = 0
    frame.append(made)
    parent.append(frame)
  }
  return made
}

/**
 * @param {Token[]} tokens
 * @param {ParentNode} parent
 */
function inline(tokens, parent) {
  /** @type {ParentNode[]} */
  const open = [parent]
  for (const token of tokens) {
    const inner = open[open.length - 1]
    if (token.type === "link_open") open.push(link(token.attrGet("href") ?? "", inner))
    else if (token.type === "link_close") close(/** @type {HTMLElement} */ (open.pop()))
    else if (token.nesting === 1) open.push(opened(token, inner))
    else if (token.nesting === -1) open.pop()
    else if (token.type === "softbreak" || token.type === "hardbreak") inner.append(document.createElement("br"))
    else if (token.type === "code_inline") inner.append(text("code", token.content))
    else if (token.type === "math") inner.append(formula("span", token.content))
    else if (token.type === "image") picture(token, inner)
    else inner.append(clean(token.content)) // a character reference brings back what was filtered
  }
}

/**
 * @param {string} address
 * @param {ParentNode} parent
 */
function link(address, parent) {
  const url = targetOf(address)
  const made = url ? anchor(url) : document.createElement("span")
  if (!url) made.dataset.address = address
  parent.append(made)
  return made
}

/** @param {URL} url */
function anchor(url) {
  const made = document.createElement("a")
  made.href = url.href
  made.rel = "noopener noreferrer nofollow"
  made.target = "_blank"
  made.title = url.href
  made.referrerPolicy = "no-referrer"
  return made
}

/**
 * What is no link says where it would have led, and a link whose text names another host, where it leads.
 * @param {HTMLElement} made
 */
function close(made) {
  if (!(made instanceof HTMLAnchorElement)) made.append(` (${made.dataset.address})`)
  else if (misleads(made.textContent ?? "", new URL(made.href))) made.append(` (${made.href})`)
}

/**
 * A picture is not fetched: whoever follows the link wants to see it.
 * @param {Token} token
 * @param {ParentNode} parent
 */
function picture(token, parent) {
  const made = link(token.attrGet("src") ?? "", parent)
  made.append(clean(token.content) || "picture")
  close(made)
}

/**
 * A formula as it was written.
 * @param {string} name
 * @param {string} content
 */
function formula(name, content) {
  const made = text(name, clean(content))
  made.className = "formula"
  return made
}

/**
 * @param {string} name
 * @param {string} content
 */
function text(name, content) {
  const made = document.createElement(name)
  made.textContent = content
  return made
}
