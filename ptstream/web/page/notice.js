// One line above all else, for what went wrong.

import { only } from "./elements.js"
import { clean } from "./untrusted.js"

export class Notice {
  #element
  #text

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element
    this.#text = only("span", element)
    only("button", element).addEventListener("click", () => this.say(""))
  }

  /** @param {string} message */
  say(message) {
    this.#text.textContent = clean(message)
    this.#element.hidden = !message
  }
}
