// Text from a model, a command or another person: what would not be read but do something is taken out.
//
// The same as on a terminal: control sequences, control characters, what turns the reading direction. Where text goes,
// it goes as text: nothing here or elsewhere makes HTML of it.

/** Characters that the body of a title, clipboard or picture sequence may have. */
const LIMIT = 8192

const FORBIDDEN = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069"
const IN_STRING = "[^\\n\\r\\x07\\x18\\x1a\\x1b\\x80-\\x9f]"
const CSI = "(?:\\x1b\\[|\\x9b)[0-?]{0,64}[ -/]{0,16}"
const STRING = `(?:\\x1b[PX\\]^_]|[\\x90\\x98\\x9d-\\x9f])${IN_STRING}{0,${LIMIT}}`
const ESCAPE = "\\x1b[ -/]{0,4}"

const SUSPICIOUS = new RegExp(`[${FORBIDDEN}]`)
const UNDECIDED = new RegExp(`(?:\\r|${ESCAPE}|${CSI}|${STRING}\\x1b?)$`)
const UNWANTED = new RegExp(`\\r\\n?|${CSI}[@-~]|${STRING}(?:\\x07|\\x9c|\\x1b\\\\)|${ESCAPE}[0-~]|[${FORBIDDEN}]`, "g")

const stripped = (text) => text.replace(UNWANTED, (found) => (found[0] === "\r" ? "\n" : ""))

/** Takes a text in pieces and gives it back harmless, the same however it was cut. */
export class Filter {
  #held = ""

  /** What can be shown; what may be a sequence is held back until that is known. */
  feed(text) {
    if (!this.#held && !SUSPICIOUS.test(text)) return text
    const whole = this.#held + text
    const from = Math.max(0, whole.length - LIMIT - 4)
    const undecided = UNDECIDED.exec(whole.slice(from))
    const decided = undecided ? from + undecided.index : whole.length
    this.#held = whole.slice(decided)
    return stripped(whole.slice(0, decided))
  }

  /** What was held back. */
  end() {
    const rest = this.#held
    this.#held = ""
    return stripped(rest)
  }
}

/** A whole text in one line, made harmless. */
export const oneLine = (text) => stripped(text ?? "").split(/\s+/).join(" ").trim()

/** A whole text, made harmless. */
export const clean = (text) => stripped(text ?? "")
