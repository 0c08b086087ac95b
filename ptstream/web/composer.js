// The prompt box: makes a stream and has it driven; or answers the one that is open.

import { Refusal, Unreachable, pathOf } from "./daemon.js"
import { hashOf } from "./place.js"
import { hasEnded } from "./units.js"
import { oneLine } from "./untrusted.js"

/** Where a prompt that is not sent yet outlives a reload. */
const DRAFT = "ptstream-draft"

/** Sends "created". */
export class Composer extends EventTarget {
  #form
  #prompt
  #daemon
  #notice
  #stream = null
  #models = null
  #sending = false

  constructor(form, daemon, notice) {
    super()
    this.#form = form
    this.#daemon = daemon
    this.#notice = notice
    this.#prompt = form.elements.prompt
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
    form.elements.model.addEventListener("focus", () => this.#askModels())
    this.#askModels()
  }

  focus() {
    this.#prompt.focus()
  }

  /** The stream that is open, or null: a prompt can answer it, once it has ended. */
  about(stream) {
    const [fresh, answer] = this.#form.elements.way
    const can = Boolean(stream?.prompt && hasEnded(stream.status) && !stream.command && !stream.generator)
    const other = stream?.id !== this.#stream?.id
    // It has ended just now: what is being typed stays what it was meant to be.
    if (other || !can || (answer.disabled && !this.#prompt.value)) (can ? answer : fresh).checked = true
    answer.disabled = !can
    this.#stream = stream
    this.#form.querySelector("fieldset").hidden = !stream
    this.#describe()
  }

  #describe() {
    const answering = this.#form.elements.way.value === "answer"
    this.#prompt.placeholder = answering ? "Answer it" : "Ask something"
    const first = this.#form.elements.model.options[0]
    if (first) first.textContent = answering ? "its model" : (first.dataset.name ?? "default")
  }

  async #send() {
    const prompt = this.#prompt.value
    if (!prompt.trim() || this.#sending) return
    const body = { prompt }
    if (this.#form.elements.model.value) body.model = this.#form.elements.model.value
    if (this.#form.elements.way.value === "answer") body.parent = this.#stream.id
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

  /** The default is whatever it is when a prompt is sent; files cannot be asked for from here. */
  #offer(models) {
    const known = JSON.stringify(models)
    if (known === this.#models) return
    this.#models = known
    const select = this.#form.elements.model
    const chosen = select.value
    const first = new Option("default", "")
    const found = models.find((model) => model.default)
    first.dataset.name = found ? `${oneLine(found.name)} (default)` : "no model found"
    const others = models.filter(({ name }) => !name.startsWith("gguf:") && !name.startsWith("replay:"))
    select.replaceChildren(first, ...others.map(optionOf))
    select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : ""
    this.#describe()
  }

  #complain(error) {
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    this.#notice.say(error.message)
  }
}

function optionOf({ name, place, problem }) {
  const label = problem ? `${name}: ${problem}` : place ? `${name} at ${place}` : name
  const option = new Option(oneLine(label), name)
  option.disabled = Boolean(problem)
  return option
}
