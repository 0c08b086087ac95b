// Search: every place where some words stand, in all that is kept; a click leads there.

import { Refusal, Unreachable } from "./daemon.js"
import { element, only } from "./elements.js"
import { counted } from "./format.js"
import { hashOf } from "./route.js"
import { clean, oneLine } from "./untrusted.js"

const LIMIT = 100

/** @typedef {{ id: string, title: string | null, offset: number, line: string, where: string }} Hit */

/** The field, and what was found below it. */
export class Search {
  #form
  #field
  #results
  #daemon
  #asked = new AbortController()

  /**
   * @param {HTMLFormElement} form
   * @param {HTMLElement} results
   * @param {import("./daemon.js").Daemon} daemon
   */
  constructor(form, results, daemon) {
    this.#form = form
    this.#field = /** @type {HTMLInputElement} */ (only("input", form))
    this.#results = results
    this.#daemon = daemon
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      this.#search(this.#field.value)
    })
    this.#field.addEventListener("input", () => this.#field.value || this.clear())
  }

  focus() {
    this.#field.focus()
    this.#field.select()
  }

  /** Back to the list; whether there was anything to clear. */
  clear() {
    this.#asked.abort()
    const was = !this.#results.hidden || this.#field.value !== ""
    this.#form.reset()
    this.#results.hidden = true
    this.#results.replaceChildren()
    return was
  }

  /** @param {string} words */
  async #search(words) {
    this.#asked.abort()
    if (!words) return
    const asked = (this.#asked = new AbortController())
    this.#say("Searching…")
    try {
      const query = new URLSearchParams({ q: words, limit: String(LIMIT) })
      const { hits, complete } = await this.#daemon.ask(`search?${query}`, { signal: asked.signal })
      this.#show(hits, complete, words)
    } catch (error) {
      if (asked.signal.aborted) return
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
      this.#say(error.message)
    }
  }

  /**
   * @param {Hit[]} hits
   * @param {boolean} complete
   * @param {string} words
   */
  #show(hits, complete, words) {
    const many = complete ? counted(hits.length, "place") : `the first ${counted(hits.length, "place")}`
    const nowhere = complete ? "Found nowhere." : "Found nowhere in the time that a search has."
    this.#say(hits.length ? `Found: ${many}` : nowhere)
    this.#results.append(element("ol", {}, ...hits.map((hit) => element("li", {}, resultOf(hit, words)))))
  }

  /** @param {string} said */
  #say(said) {
    const close = element("button", { type: "button", textContent: "Close" })
    close.addEventListener("click", () => {
      this.clear()
      this.#field.focus()
    })
    this.#results.replaceChildren(element("p", {}, element("span", { role: "status", textContent: said }), close))
    this.#results.hidden = false
  }
}

/**
 * @param {Hit} hit
 * @param {string} words
 */
function resultOf({ id, title, offset, line, where }, words) {
  const name = element("span", { className: "title", dir: "auto" }, oneLine(title) || id)
  const inText = where === "text"
  const place = element("span", { className: "about" }, `${id} · ${inText ? `byte ${offset.toLocaleString("en")}` : where}`)
  const around = element("span", { className: "line", dir: "auto" }, ...marked(clean(line), words))
  return element("a", { href: hashOf(inText ? { id, at: offset, words } : { id }) }, name, around, place)
}

/**
 * The line, with what was looked for as elements of their own.
 * @param {string} line
 * @param {string} words
 */
function marked(line, words) {
  const pattern = new RegExp(`(${words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")})`, words === words.toLowerCase() ? "iu" : "u")
  return line.split(pattern).map((part, index) => (index % 2 ? element("mark", {}, part) : part))
}
