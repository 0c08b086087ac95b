// Text from a model, a command or another person: what would not be read but do something is taken out.
//
// The same as on a terminal (cli/control_sequences.py, which says why): control sequences, control characters, what turns
// the reading direction, what hides text. Where text goes, it goes as text: nothing here or elsewhere makes HTML of it.

/** Characters that the body of a title, clipboard or picture sequence may have. */
const LIMIT = 8192

const FORBIDDEN =
  "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff0-\\ufffb" +
  "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}"
const UNSEEN = "\\u034f\\u180b-\\u180f\\u200b-\\u200d\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}"

/** How many of those may follow each other. */
const IN_A_ROW = 3

const IN_STRING = "[^\\n\\r\\x07\\x18\\x1a\\x1b\\x80-\\x9f]"
const CSI = "(?:\\x1b\\[|\\x9b)[0-?]{0,64}[ -/]{0,16}"
const STRING = `(?:\\x1b[PX\\]^_]|[\\x90\\x98\\x9d-\\x9f])${IN_STRING}{0,${LIMIT}}`
const ESCAPE = "\\x1b[ -/]{0,4}"

const SUSPICIOUS = new RegExp(`[${FORBIDDEN}${UNSEEN}]`, "u")
const UNDECIDED = new RegExp(`(?:\\r|${ESCAPE}|${CSI}|${STRING}\\x1b?)$`, "u")
const UNWANTED = new RegExp(`\\r\\n?|${CSI}[@-~]|${STRING}(?:\\x07|\\x9c|\\x1b\\\\)|${ESCAPE}[0-~]|[${FORBIDDEN}]`, "gu")
const TOO_MANY = new RegExp(`([${UNSEEN}]{${IN_A_ROW}})[${UNSEEN}]+`, "gu")
const LAST_UNSEEN = new RegExp(`[${UNSEEN}]{0,${IN_A_ROW}}$`, "u")

const SGR = /^(?:\x1b\[([\d;:]*)|\x9b([\d;:]+))m$/

const RETURN = /\r+(\n?)/g

/** @param {string} found */
const nothing = (found) => ("\r\u2028\u2029".includes(found[0]) ? "\n" : "")

/** @param {string} found */
function kept(found) {
  if (found[0] === "\r") return found
  const sgr = SGR.exec(found)
  return sgr ? `\x1b[${sgr[1] ?? sgr[2]}m` : nothing(found)
}

/** Takes a text in pieces and gives it back harmless, the same however it was cut. */
export class Filter {
  #held = ""
  #unseen = ""
  #instead

  /** @param {(found: string) => string} instead what stands where something was taken out */
  constructor(instead = nothing) {
    this.#instead = instead
  }

  /**
   * What can be shown; what may be a sequence is held back until that is known.
   * @param {string} text
   */
  feed(text) {
    if (!this.#held && !SUSPICIOUS.test(text)) {
      if (text) this.#unseen = ""
      return text
    }
    const whole = this.#held + text
    const from = Math.max(0, whole.length - LIMIT - 4)
    const undecided = UNDECIDED.exec(whole.slice(from))
    const decided = undecided ? from + undecided.index : whole.length
    this.#held = whole.slice(decided)
    return this.#thinned(whole.slice(0, decided).replace(UNWANTED, this.#instead))
  }

  /** What was held back. */
  end() {
    const rest = this.#held
    this.#held = ""
    const last = this.#thinned(rest.replace(UNWANTED, this.#instead))
    this.#unseen = ""
    return last
  }

  /**
   * Without the unseen characters that are too many in a row, wherever the text was cut.
   * @param {string} text
   */
  #thinned(text) {
    const before = this.#unseen.length
    const kept = (this.#unseen + text).replace(TOO_MANY, "$1")
    this.#unseen = LAST_UNSEEN.exec(kept)?.[0] ?? ""
    return kept.slice(before)
  }
}

/**
 * The same for a text as a terminal shows it, for who knows what is left in: a lone CR, which begins its line anew, and
 * colours, as ESC [ … m (SGR, ECMA-48 8.3.117).
 */
export class LineFilter {
  #filter = new Filter(kept)
  #returned = ""

  /** @param {string} text */
  feed(text) {
    return this.#shown(this.#filter.feed(text))
  }

  end() {
    return this.#shown(this.#filter.end())
  }

  /**
   * What ends in CR stands there until something else does: CR CR LF is an end of a line, too.
   * @param {string} text
   */
  #shown(text) {
    if (!text) return ""
    const whole = this.#returned + text
    this.#returned = whole.endsWith("\r") ? "\r" : ""
    return whole.replace(/\r+$/, "").replace(RETURN, (_, end) => end || "\r")
  }
}

/**
 * A whole text in one line, made harmless.
 * @param {string | null | undefined} text
 */
export const oneLine = (text) => clean(text).split(/\s+/).join(" ").trim()

/**
 * A whole text, made harmless.
 * @param {string | null | undefined} text
 */
export const clean = (text) => {
  const filter = new Filter()
  return filter.feed(text ?? "") + filter.end()
}
