// What models write beyond CommonMark: formulas, and emphasis beside East Asian punctuation.
//
// The same as on a terminal (cli/markdown_syntax.py): formulas are shown as they were written, no character of theirs is
// markup; emphasis follows the amendment "CJK friendly" (https://github.com/tats-u/markdown-cjk-friendly) of CommonMark's
// rules for delimiter runs.

/**
 * @typedef {import("../vendor/markdown-it.js").default} MarkdownIt
 * @typedef {import("../vendor/markdown-it.js").StateBlock} StateBlock
 * @typedef {import("../vendor/markdown-it.js").StateInline} StateInline
 */

/** Characters of a formula inside a line, at most: what opens one and is not closed by then opens none. */
const FORMULA = 500

const DOLLARS = new RegExp(`\\$(?![\\s$])(?:\\\\.|[^$\\\\\\n]){1,${FORMULA}}?(?<!\\s)\\$(?!\\d)`, "y")

/** Those that open a formula inside a line, and what closes it. */
const CLOSES = new Map([
  ["\\(", "\\)"],
  ["\\[", "\\]"],
  ["$$", "$$"],
])

/** Characters of East Asian width (UAX 11: wide, full and half), and Korean's letters; of emoji the old ones alone. */
const EAST_ASIAN = new RegExp(
  "[\\u1100-\\u11ff\\u20a9\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3\\uf900-\\ufaff" +
    "\\ufe10-\\ufe19\\ufe30-\\ufe6f\\uff01-\\uffdc\\uffe0-\\uffe6\\uffe8-\\uffee" +
    "\\u{16fe0}-\\u{18dff}\\u{1aff0}-\\u{1b2ff}\\u{20000}-\\u{3ffff}]|(?![\\u{1f000}-\\u{1ffff}])\\p{Emoji_Presentation}",
  "u",
)

const PUNCTUATION = /[\p{P}\p{S}]/u

/**
 * Teaches a parser these.
 * @param {MarkdownIt} parser
 */
export function teach(parser) {
  parser.block.ruler.before("fence", "math_block", mathBlock, { alt: ["paragraph", "reference", "blockquote", "list"] })
  parser.inline.ruler.before("escape", "math", math)
  parser.inline.ruler.at("emphasis", emphasis)
  return parser
}

/**
 * Lines from one that is `$$` or `\[` to one that ends with `$$` or `\]`, or to an empty one.
 * @param {StateBlock} state
 * @param {number} begin
 * @param {number} end
 * @param {boolean} silent
 */
function mathBlock(state, begin, end, silent) {
  const opening = lineOf(state, begin)
  if ((opening !== "$$" && opening !== "\\[") || state.sCount[begin] - state.blkIndent >= 4) return false
  if (silent) return true
  const closing = opening === "$$" ? "$$" : "\\]"
  let after = begin + 1
  while (after < end && lineOf(state, after) && state.sCount[after] >= state.blkIndent) {
    after += 1
    if (lineOf(state, after - 1).endsWith(closing)) break
  }
  const token = state.push("math_block", "", 0)
  token.content = state.getLines(begin, after, state.blkIndent, false)
  token.map = [begin, after]
  state.line = after
  return true
}

/**
 * @param {StateBlock} state
 * @param {number} number
 */
const lineOf = ({ src, bMarks, tShift, eMarks }, number) =>
  src.slice(bMarks[number] + tShift[number], eMarks[number]).trimEnd()

/**
 * @param {StateInline} state
 * @param {boolean} silent
 */
function math(state, silent) {
  const end = formulaEnd(state.src, state.pos, state.posMax)
  if (!end) return false
  if (!silent) state.push("math", "", 0).content = state.src.slice(state.pos, end)
  state.pos = end
  return true
}

/**
 * Where the formula ends that begins here; 0 if none does.
 * @param {string} text
 * @param {number} begin
 * @param {number} end
 */
function formulaEnd(text, begin, end) {
  const closing = CLOSES.get(text.slice(begin, begin + 2))
  if (closing) {
    const within = text.slice(begin, Math.min(end, begin + FORMULA))
    const found = within.indexOf(closing, 3)
    return found > 0 ? begin + found + 2 : 0
  }
  if (text[begin] !== "$") return 0
  DOLLARS.lastIndex = begin
  return DOLLARS.test(text) && DOLLARS.lastIndex <= end ? DOLLARS.lastIndex : 0
}

/**
 * Takes a run of `*` or `_` as delimiters of emphasis.
 * @param {StateInline} state
 * @param {boolean} silent
 */
function emphasis(state, silent) {
  const { src: text, pos: start } = state
  const marker = text[start]
  if (silent || (marker !== "*" && marker !== "_")) return false
  let end = start
  while (end < state.posMax && text[end] === marker) end += 1
  const before = characterBefore(text, start)
  const after = end < state.posMax ? String.fromCodePoint(text.codePointAt(end) ?? 32) : " "
  let opens = flanks(before, after)
  let closes = flanks(after, before)
  if (marker === "_") {
    const both = opens && closes
    opens = opens && (!both || PUNCTUATION.test(before))
    closes = closes && (!both || PUNCTUATION.test(after))
  }
  for (let at = start; at < end; at += 1) {
    state.push("text", "", 0).content = marker
    const token = state.tokens.length - 1
    state.delimiters.push({ marker: marker.charCodeAt(0), length: end - start, token, end: -1, open: opens, close: closes })
  }
  state.pos = end
  return true
}

/**
 * @param {string} text
 * @param {number} at
 */
function characterBefore(text, at) {
  if (!at) return " "
  const pair = at > 1 ? (text.codePointAt(at - 2) ?? 0) : 0
  return pair > 0xffff ? String.fromCodePoint(pair) : text[at - 1]
}

/**
 * Whether a run of delimiters between the two may belong to the text on the inside.
 * @param {string} outside
 * @param {string} inside
 */
function flanks(outside, inside) {
  if (/\s/.test(inside)) return false
  if (!PUNCTUATION.test(inside) || EAST_ASIAN.test(inside)) return true
  return /\s/.test(outside) || PUNCTUATION.test(outside) || EAST_ASIAN.test(outside)
}
