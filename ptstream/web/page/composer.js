// The prompt box: makes a stream and has it driven; or answers the one that is open.

import { Refusal, Unreachable, pathOf, hasEnded } from "./daemon.js"
import { only } from "./elements.js"
import { hashOf } from "./route.js"
import { oneLine } from "./untrusted.js"

/** Where a prompt that is not sent yet outlives a reload. */
const DRAFT = "ptstream-draft"

/** @typedef {{ name: string, place?: string | null, problem?: string | null }} Model */

/** Sends "created". */
export class Composer extends EventTarget {
  #form
  #prompt
  #model
  #daemon
  #notice
  /** @type {import("./daemon.js").Stream | null} */
  #stream = null
  /** @type {string | null} */
  #models = null
  #sending = false

  /**
   * @param {HTMLFormElement} form
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   */
  constructor(form, daemon, notice) {
    super()
    this.#form = form
    this.#daemon = daemon
    this.#notice = notice
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
    form.addEventListener("change", () => this.#describe())
    this.#model.addEventListener("focus", () => this.#askModels())
    this.#askModels()
  }

  focus() {
    this.#prompt.focus()
  }

  /**
   * The stream that is open, or null: a prompt can answer it, once it has ended.
   * @param {import("./daemon.js").Stream | null} stream
   */
  about(stream) {
    const [fresh, answer] = /** @type {NodeListOf<HTMLInputElement>} */ (this.#form.querySelectorAll("[name=way]"))
    const can = Boolean(stream?.prompt && hasEnded(stream.status) && !stream.command && !stream.generator)
    const other = stream?.id !== this.#stream?.id
    // It has ended just now: what is being typed stays what it was meant to be.
    if (other || !can || (answer.disabled && !this.#prompt.value)) (can ? answer : fresh).checked = true
    answer.disabled = !can
    this.#stream = stream
    only("fieldset", this.#form).hidden = !stream
    this.#describe()
  }

  get #answers() {
    return new FormData(this.#form).get("way") === "answer"
  }

  #describe() {
    const answering = this.#answers
    this.#prompt.placeholder = answering ? "Answer it" : "Ask something"
    const first = this.#model.options[0]
    if (first) first.textContent = answering ? "its model" : (first.dataset.name ?? "default")
  }

  async #send() {
    const prompt = this.#prompt.value
    if (!prompt.trim() || this.#sending) return
    /** @type {{ prompt: string, model?: string, parent?: string }} */
    const body = { prompt }
    if (this.#model.value) body.model = this.#model.value
    if (this.#answers && this.#stream) body.parent = this.#stream.id
    this.#sending = true
    try {
      const { id } = await this.#daemon.ask("streams", { method: "POST", body })
      this.#prompt.value = ""
      sessionStorage.removeItem(DRAFT)
      location.hash = hashOf({ id })
      await this.#daemon.ask(pathOf(id, "drive"), { method: "POST" })
      this.#notice.say("")
    } catch (error) {
      this.#complain(error)
    } finally {
      this.#sending = false
      this.dispatchEvent(new Event("created"))
    }
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
    const chosen = select.value
    const first = new Option("default", "")
    const found = models.find((model) => model.default)
    first.dataset.name = found ? `${oneLine(found.name)} (default)` : "no model found"
    const others = models.filter(({ name }) => !name.startsWith("gguf:") && !name.startsWith("replay:"))
    select.replaceChildren(first, ...others.map(optionOf))
    select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : ""
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
