// The colours of a command's text: what of SGR (ECMA-48 8.3.117) has a class of its own, in the page's colours, which can
// be read on light and on dark. Other colours, backgrounds, and what hides a text are left out.

/** What each number sets, and which numbers end it. */
const SETS = new Map([
  [1, "bold"],
  [2, "faint"],
  [3, "italic"],
  [4, "underlined"],
  [9, "struck"],
])
const ENDS = new Map([
  [22, ["bold", "faint"]],
  [23, ["italic"]],
  [24, ["underlined"]],
  [29, ["struck"]],
])

/** Numbers behind one that says in which way a colour is given: its index, or red, green and blue. */
const MORE = new Map([
  [5, 1],
  [2, 3],
])

export class Style {
  /** @type {Set<string>} */
  #set = new Set()
  #colour = ""

  /** The names of the classes, a space between them. */
  get classes() {
    return [...this.#set, this.#colour].filter(Boolean).join(" ")
  }

  /**
   * Takes the parameters of one sequence.
   * @param {string} parameters
   */
  take(parameters) {
    // With colons a colour is one parameter.
    const numbers = parameters.split(";").map((each) => (each.includes(":") ? -1 : Number(each)))
    for (let at = 0; at < numbers.length; at += 1) {
      const number = numbers[at]
      if (number === 38 || number === 48 || number === 58) {
        const index = numbers[at + 1] === 5 ? numbers[at + 2] : -1
        if (number === 38) this.#colour = index >= 0 && index < 16 ? `ansi-${index}` : ""
        at += 1 + (MORE.get(numbers[at + 1]) ?? 0)
      } else this.#one(number)
    }
  }

  /** @param {number} number */
  #one(number) {
    const name = SETS.get(number)
    if (name) this.#set.add(name)
    for (const ended of ENDS.get(number) ?? []) this.#set.delete(ended)
    if (number === 0) this.#set.clear()
    if (number === 0 || number === 39) this.#colour = ""
    if (number >= 30 && number < 38) this.#colour = `ansi-${number - 30}`
    if (number >= 90 && number < 98) this.#colour = `ansi-${number - 90 + 8}`
  }
}
