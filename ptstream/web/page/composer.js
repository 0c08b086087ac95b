// The prompt box: what is typed there is the next turn of the conversation that is open, else begins one.

import { canBeAnswered } from "./conversation.js"
import { Refusal, Unreachable } from "./daemon.js"
import { only } from "./elements.js"
import { oneLine } from "./untrusted.js"

/** Where a prompt that is not sent yet outlives a reload. */
const DRAFT = "ptstream-draft"

/** @typedef {{ name: string, place?: string | null, problem?: string | null }} Model */

export class Composer {
  #form
  #prompt
  #model
  #place
  #fresh
  #daemon
  #notice
  #questions
  /** @type {import("./daemon.js").Stream | null} What is typed answers it. */
  #parent = null
  /** @type {string | null} */
  #models = null
  #sending = false
  #wanted = ""

  /**
   * @param {HTMLFormElement} form
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   * @param {import("./questions.js").Questions} questions
   */
  constructor(form, daemon, notice, questions) {
    this.#form = form
    this.#daemon = daemon
    this.#notice = notice
    this.#questions = questions
    this.#place = only(".place span", form)
    this.#fresh = only(".place a", form)
    this.#prompt = /** @type {HTMLTextAreaElement} */ (only("[name=prompt]", form))
    this.#model = /** @type {HTMLSelectElement} */ (only("[name=model]", form))
    this.#prompt.value = sessionStorage.getItem(DRAFT) ?? ""
    this.#prompt.addEventListener("input", () => sessionStorage.setItem(DRAFT, this.#prompt.value))
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
      event.preventDefault()
      form.requestSubmit()
    })
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      this.#send()
    })
    this.#model.addEventListener("focus", () => this.#askModels())
    this.#model.addEventListener("change", () => (this.#wanted = ""))
    this.#askModels()
  }

  focus() {
    this.#prompt.focus()
  }

  /**
   * The stream that is open, or null.
   * @param {import("./daemon.js").Stream | null} stream
   */
  about(stream) {
    this.#parent = stream && canBeAnswered(stream) ? stream : null
    this.#fresh.hidden = !this.#parent
    this.#describe()
  }

  /**
   * A prompt that was not sent: before what is being typed.
   * @param {{ prompt: string, model?: string }} question
   */
  takeBack({ prompt, model }) {
    this.#type([prompt, this.#prompt.value].filter(Boolean).join("\n\n"))
    this.#wanted = model ?? ""
    this.#choose()
  }

  /** The models may not be known yet. */
  #choose() {
    if (![...this.#model.options].some(({ value }) => value === this.#wanted)) return
    this.#model.value = this.#wanted
    this.#wanted = ""
  }

  #describe() {
    const answering = this.#parent !== null
    this.#place.textContent = answering ? "Next turn of this conversation" : "A new conversation"
    this.#prompt.placeholder = answering ? "Ask on" : "Ask something"
    const first = this.#model.options[0]
    if (first) first.textContent = answering ? "its model" : (first.dataset.name ?? "default")
  }

  async #send() {
    const prompt = this.#prompt.value
    if (!prompt.trim() || this.#sending) return
    this.#sending = true
    try {
      await this.#questions.ask(this.#model.value ? { prompt, model: this.#model.value } : { prompt }, this.#parent)
      if (this.#prompt.value === prompt) this.#type("")
      this.#notice.say("")
    } catch (error) {
      this.#complain(error)
    } finally {
      this.#sending = false
    }
  }

  /** @param {string} text */
  #type(text) {
    this.#prompt.value = text
    if (text) sessionStorage.setItem(DRAFT, text)
    else sessionStorage.removeItem(DRAFT)
  }

  async #askModels() {
    try {
      const { models } = await this.#daemon.ask("models")
      this.#offer(models)
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    }
  }

  /**
   * The default is whatever it is when a prompt is sent; files cannot be asked for from here.
   * @param {(Model & { default?: boolean })[]} models
   */
  #offer(models) {
    const known = JSON.stringify(models)
    if (known === this.#models) return
    this.#models = known
    const select = this.#model
    this.#wanted ||= select.value
    const first = new Option("default", "")
    const found = models.find((model) => model.default)
    first.dataset.name = found ? `${oneLine(found.name)} (default)` : "no model found"
    const others = models.filter(({ name }) => !name.startsWith("gguf:") && !name.startsWith("replay:"))
    select.replaceChildren(first, ...others.map(optionOf))
    this.#choose()
    this.#describe()
  }

  /** @param {unknown} error */
  #complain(error) {
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    this.#notice.say(error.message)
  }
}

/** @param {Model} model */
function optionOf({ name, place, problem }) {
  const label = problem ? `${name}: ${problem}` : place ? `${name} at ${place}` : name
  const option = new Option(oneLine(label), name)
  option.disabled = Boolean(problem)
  return option
}
