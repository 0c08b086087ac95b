// Questions: each makes a stream and has it driven. One that is asked while the answer before it is still being written
// waits for that, in this browser: its tab sends it, also after a reload, and another one when that tab is gone.

import { News, Refusal, Unreachable, hasEnded, pathOf } from "./daemon.js"
import { element } from "./elements.js"
import { clean } from "./untrusted.js"

/** Where the questions that wait are, and the lock of those who change them. */
const WAITING = "ptstream-questions"

/** Where the name of this tab outlives a reload, and how the lock begins that it holds as long as it is there. */
const TAB = "ptstream-tab"

/** Without locks (plain HTTP to another machine) each tab has its own: no other must send them, too. */
const shared = navigator.locks ? localStorage : sessionStorage

/** Milliseconds between two looks at whether what a question waits for has ended. */
const AGAIN = 1000

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {{ prompt: string, model?: string, parent?: string }} Question
 * @typedef {Question & { key: string, tab: string }} Waiting
 */

/** Sends "asked" with a stream that was made, "waits", and "back" with a question that was not sent. */
export class Questions extends News {
  /** Those that wait for the stream that is open, below its text. */
  element = element("div", { className: "waiting" })
  #daemon
  #notice
  /** @type {Waiting[]} In the order in which they were asked. */
  #waiting = kept()
  #open = ""
  #looking = false
  #tab = ""
  #named
  /** @type {string[]} The tabs that were gone at the last look. */
  #gone = []
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
    addEventListener("storage", ({ key }) => key === WAITING && this.#learn())
    this.#named = tabName().then((name) => (this.#tab = name))
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
      const made = { ...question, parent: parent.id, key: newName(), tab: await this.#named }
      await this.#change((waiting) => [...waiting, made])
      this.tell("waits")
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
   * Whether the next question of this tab waits for this stream, or is being sent.
   * @param {string | null | undefined} id
   */
  areNext(id) {
    return this.#sending.has(id ?? "") || this.#nextOf(id)?.tab === this.#tab
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
    const next = this.#nextOf(id)
    if (hasEnded(status) && next?.tab === this.#tab && !this.#sending.has(id)) this.#release(next, id, status)
  }

  /** @param {string | null | undefined} id */
  #nextOf(id) {
    return this.#waiting.find(({ parent }) => parent === id)
  }

  /** As long as any waits, also while nobody sees the page. */
  async #look() {
    if (this.#looking) return
    this.#looking = true
    await this.#named
    while (this.#waiting.length) {
      await this.#takeOver()
      const own = this.#waiting.filter(({ tab }) => tab === this.#tab)
      for (const id of new Set(own.map(({ parent }) => parent ?? ""))) await this.#lookAt(id)
      await new Promise((resolve) => setTimeout(resolve, AGAIN))
    }
    this.#looking = false
  }

  /** What waits for a tab that is gone: one that is being reloaded is there again at the next look. */
  async #takeOver() {
    if (!navigator.locks) return
    const there = new Set((await navigator.locks.query()).held?.map(({ name }) => name))
    const gone = this.#waiting.map(({ tab }) => tab).filter((tab) => !there.has(`${TAB} ${tab}`))
    const ours = gone.filter((tab) => this.#gone.includes(tab))
    this.#gone = gone
    if (!ours.length) return
    await this.#change((all) => all.map((each) => (ours.includes(each.tab) ? { ...each, tab: this.#tab } : each)))
  }

  /** @param {string} id */
  async #lookAt(id) {
    try {
      this.know(await this.#daemon.ask(pathOf(id)))
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
      if (error instanceof Refusal && error.status === 404) await this.#giveBack(id, error.message)
    }
  }

  /**
   * The first question that waits for a stream which has ended.
   * @param {Waiting} question
   * @param {string} id
   * @param {string} status
   */
  async #release(question, id, status) {
    this.#sending.add(id)
    try {
      if (status !== "done" && status !== "cancelled") {
        await this.#giveBack(id, "The answer before it ended in error: what was to be asked next is in the prompt box again.")
      } else {
        // Those behind it wait for its answer.
        await this.#send(question, (stream) => this.#moved(question, stream.id))
      }
    } catch (error) {
      if (error instanceof Refusal && error.status !== 401 && error.status !== 409) await this.#giveBack(id, error.message)
      else if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    } finally {
      this.#sending.delete(id)
    }
  }

  /**
   * @param {Waiting} sent
   * @param {string} id
   */
  #moved({ key, parent }, id) {
    return this.#change((waiting) => {
      const rest = waiting.filter((each) => each.key !== key)
      return rest.map((each) => (each.parent === parent ? { ...each, parent: id } : each))
    })
  }

  /**
   * Makes the stream of a question, and has it driven.
   * @param {Question} question
   * @param {(stream: Stream) => Promise<void>} made
   */
  async #send({ prompt, model, parent }, made = async () => {}) {
    /** @type {Stream} */
    const stream = await this.#daemon.ask("streams", { method: "POST", body: { prompt, model, parent } })
    await made(stream)
    const drive = this.#daemon.ask(pathOf(stream.id, "drive"), { method: "POST" })
    this.tell("asked", stream)
    drive.catch((error) => {
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
      this.#notice.say(error.message)
    })
  }

  /**
   * Those of this tab that wait for a stream are not sent.
   * @param {string} id
   * @param {string} why
   */
  async #giveBack(id, why) {
    for (const question of this.#waiting.filter(({ parent, tab }) => parent === id && tab === this.#tab)) {
      await this.#takeBack(question)
    }
    this.#notice.say(why)
  }

  /** @param {Waiting} question */
  async #takeBack(question) {
    await this.#change((waiting) => waiting.filter(({ key }) => key !== question.key))
    this.tell("back", question)
  }

  /** @param {(waiting: Waiting[]) => Waiting[]} change */
  async #change(change) {
    const write = () => {
      this.#waiting = change(kept())
      shared.setItem(WAITING, JSON.stringify(this.#waiting))
    }
    await (navigator.locks ? navigator.locks.request(WAITING, write) : write())
    this.#draw()
    this.#look()
  }

  /** What other tabs have changed. */
  #learn() {
    this.#waiting = kept()
    this.#draw()
    this.#look()
  }

  #draw() {
    this.element.replaceChildren(
      ...this.#waiting.filter(({ parent }) => parent === this.#open).map((each) => this.#drawn(each)),
    )
  }

  /** @param {Waiting} question */
  #drawn(question) {
    const back = element("button", { type: "button", textContent: "Take back" })
    back.addEventListener("click", () => this.#takeBack(question))
    const said = element("p", {}, element("span", {}, "Asked when the answer above has ended."), back)
    return element("section", { className: "turn" }, element("div", { className: "prompt", dir: "auto" }, clean(question.prompt)), said)
  }
}

/** Those that wait. Another program may have had this address, and have left anything. @returns {Waiting[]} */
function kept() {
  try {
    return [...JSON.parse(shared.getItem(WAITING) ?? "[]")].filter(({ key, tab, prompt, parent }) => key && tab && prompt && parent)
  } catch {
    return []
  }
}

/** What this tab is called, also after a reload; one that was duplicated has another name. */
async function tabName() {
  const before = sessionStorage.getItem(TAB)
  if (before && (await holds(before))) return before
  const name = newName()
  await holds(name)
  sessionStorage.setItem(TAB, name)
  return name
}

/**
 * Whether this tab alone has that name, from now on.
 * @param {string} name
 * @returns {Promise<boolean>}
 */
function holds(name) {
  if (!navigator.locks) return Promise.resolve(true)
  return new Promise((resolve) => {
    navigator.locks.request(`${TAB} ${name}`, { ifAvailable: true }, (lock) => {
      resolve(Boolean(lock))
      return lock && new Promise(() => {})
    })
  })
}

const newName = () => `${Date.now()} ${Math.random()}`
