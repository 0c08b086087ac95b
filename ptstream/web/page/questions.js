// Questions: each makes a stream and has it driven. One that is asked while the answer before it is still being written
// waits for that, in this tab: it outlives a reload, and is sent wherever the page is then.

import { News, Refusal, Unreachable, hasEnded, pathOf } from "./daemon.js"
import { element } from "./elements.js"
import { clean } from "./untrusted.js"

/** Where the questions that wait outlive a reload. */
const WAITING = "ptstream-questions"

/** Milliseconds between two looks at whether what a question waits for has ended. */
const AGAIN = 1000

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {{ prompt: string, model?: string, parent?: string }} Question
 */

/** Sends "asked" with a stream that was made, "waits", and "back" with a question that was not sent. */
export class Questions extends News {
  /** Those that wait for the stream that is open, below its text. */
  element = element("div", { className: "waiting" })
  #daemon
  #notice
  /** @type {Question[]} In the order in which they were asked. */
  #waiting = []
  #open = ""
  #looking = false
  /** @type {Set<string>} The streams whose next question is being sent. */
  #sending = new Set()

  /**
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   */
  constructor(daemon, notice) {
    super()
    this.#daemon = daemon
    this.#notice = notice
    this.#waiting = JSON.parse(sessionStorage.getItem(WAITING) ?? "[]")
    this.#look()
  }

  /**
   * Asks, at once or when the stream that it answers has ended: it is there until then. Throws Refusal, Unreachable.
   * @param {Question} question
   * @param {Stream | null} parent
   */
  async ask(question, parent) {
    if (!parent) await this.#send(question)
    else if (hasEnded(parent.status) && !this.areWaiting(parent.id)) await this.#send({ ...question, parent: parent.id })
    else {
      this.#keep([...this.#waiting, { ...question, parent: parent.id }])
      this.tell("waits")
      this.#look()
    }
  }

  /**
   * Whether any waits for this stream.
   * @param {string} id
   */
  areWaiting(id) {
    return this.#waiting.some(({ parent }) => parent === id)
  }

  /**
   * The stream that is open.
   * @param {string} id
   */
  show(id) {
    this.#open = id
    this.#draw()
  }

  /**
   * What somebody has found out about a stream.
   * @param {Stream} stream
   */
  know({ id, status }) {
    if (hasEnded(status) && this.areWaiting(id) && !this.#sending.has(id)) this.#release(id, status)
  }

  /** As long as any waits, also while nobody sees the page. */
  async #look() {
    if (this.#looking) return
    this.#looking = true
    while (this.#waiting.length) {
      for (const id of new Set(this.#waiting.map(({ parent }) => parent ?? ""))) await this.#lookAt(id)
      await new Promise((resolve) => setTimeout(resolve, AGAIN))
    }
    this.#looking = false
  }

  /** @param {string} id */
  async #lookAt(id) {
    try {
      this.know(await this.#daemon.ask(pathOf(id)))
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) this.#giveBack(id, error.message)
      else if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    }
  }

  /**
   * The first question that waits for a stream which has ended.
   * @param {string} id
   * @param {string} status
   */
  async #release(id, status) {
    if (status !== "done" && status !== "cancelled") {
      this.#giveBack(id, "The answer before it ended in error: what was to be asked next is in the prompt box again.")
      return
    }
    this.#sending.add(id)
    const question = this.#waiting.find(({ parent }) => parent === id)
    try {
      // Those behind it wait for its answer.
      if (question) await this.#send(question, (stream) => this.#moved(question, stream.id))
    } catch (error) {
      if (error instanceof Refusal && error.status !== 401 && error.status !== 409) this.#giveBack(id, error.message)
      else if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    } finally {
      this.#sending.delete(id)
    }
  }

  /**
   * @param {Question} sent
   * @param {string} id
   */
  #moved(sent, id) {
    const rest = this.#waiting.filter((each) => each !== sent)
    this.#keep(rest.map((each) => (each.parent === sent.parent ? { ...each, parent: id } : each)))
  }

  /**
   * Makes the stream of a question, and has it driven.
   * @param {Question} question
   * @param {(stream: Stream) => void} made
   */
  async #send(question, made = () => {}) {
    /** @type {Stream} */
    const stream = await this.#daemon.ask("streams", { method: "POST", body: question })
    made(stream)
    const drive = this.#daemon.ask(pathOf(stream.id, "drive"), { method: "POST" })
    this.tell("asked", stream)
    drive.catch((error) => {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
      this.#notice.say(error.message)
    })
  }

  /**
   * Those that wait for a stream are not sent.
   * @param {string} id
   * @param {string} why
   */
  #giveBack(id, why) {
    for (const question of this.#waiting.filter(({ parent }) => parent === id)) this.#takeBack(question)
    this.#notice.say(why)
  }

  /** @param {Question} question */
  #takeBack(question) {
    this.#keep(this.#waiting.filter((each) => each !== question))
    this.tell("back", question)
  }

  /** @param {Question[]} waiting */
  #keep(waiting) {
    this.#waiting = waiting
    sessionStorage.setItem(WAITING, JSON.stringify(waiting))
    this.#draw()
  }

  #draw() {
    this.element.replaceChildren(
      ...this.#waiting.filter(({ parent }) => parent === this.#open).map((each) => this.#drawn(each)),
    )
  }

  /** @param {Question} question */
  #drawn(question) {
    const back = element("button", { type: "button", textContent: "Take back" })
    back.addEventListener("click", () => this.#takeBack(question))
    const said = element("p", {}, element("span", {}, "Asked when the answer above has ended."), back)
    return element("section", { className: "turn" }, element("div", { className: "prompt", dir: "auto" }, clean(question.prompt)), said)
  }
}
