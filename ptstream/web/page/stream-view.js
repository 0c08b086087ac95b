// What is open on the right: a conversation up to one stream, what can be done with that, and its text, or its two panes.

import { StreamError } from "../ptstream.js"
import { isAnswer, turnsUpTo } from "./conversation.js"
import { News, Refusal, Unreachable, hasEnded, pathOf } from "./daemon.js"
import { element, only } from "./elements.js"
import { Header } from "./header.js"
import { panes } from "./panes.js"
import { hashOf } from "./route.js"
import { Scroller } from "./scroller.js"
import { Turn, viewOf } from "./turn.js"

/** Milliseconds before a daemon that is out of reach is asked again. */
const AGAIN = 1000

/** @typedef {import("./daemon.js").Stream} Stream */
/** @typedef {import("./route.js").Route} Route */
/** @typedef {import("./conversation.js").Part} Part */

/**
 * Turns below each other; `view` is what they are shown in if one was chosen.
 * @typedef {{ view: string | null, frame: HTMLElement, page: HTMLElement, scroller: Scroller, turns: Turn[] }} Reading
 */

/** Sends "stream" with what is known of the open one, whenever that changes, "conversation", and "deleted". */
export class StreamView extends News {
  #article
  #dialog
  #daemon
  #notice
  #waiting
  #list
  #left = new AbortController()
  #gone = new AbortController()
  /** @type {Route | null} */
  #route = null
  #id = ""
  /** @type {Stream | null} */
  #stream = null
  /** @type {Header | null} */
  #header = null
  /** @type {Reading | null} */
  #reading = null
  /** @type {Map<string, Stream>} What is known of streams that were open, their prompts whole. */
  #known = new Map()
  #asked = ""
  #followed = ""

  /**
   * @param {HTMLElement} article
   * @param {HTMLDialogElement} dialog
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   * @param {HTMLElement} waiting what is to be asked when the open stream has ended
   * @param {import("./list.js").List} list
   */
  constructor(article, dialog, daemon, notice, waiting, list) {
    super()
    this.#article = article
    this.#dialog = dialog
    this.#daemon = daemon
    this.#notice = notice
    this.#waiting = waiting
    this.#list = list
  }

  /** The stream that is open. */
  get id() {
    return this.#id
  }

  /** The streams of the conversation that is open, the last one included. */
  get ids() {
    return this.#reading?.turns.map(({ stream }) => stream.id) ?? []
  }

  /**
   * Show the stream of a route; nothing without one.
   * @param {Route} route
   */
  async open(route) {
    this.#left.abort()
    this.#left = new AbortController()
    if (!route.id || !this.#isNear(route)) this.close()
    if (!route.id) return
    this.#route = route
    this.#id = route.id
    const { signal } = this.#left
    try {
      await this.#read(route.id, route, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof Refusal || error instanceof StreamError)) throw error
      this.#notice.say(error.message)
    }
  }

  /** Show nothing, and read nothing more. The stream itself goes on. */
  close() {
    this.#left.abort()
    this.#left = new AbortController()
    this.#gone.abort()
    this.#gone = new AbortController()
    for (const turn of this.#reading?.turns ?? []) turn.leave()
    this.#reading = null
    this.#article.hidden = true
    this.#article.replaceChildren()
    for (const id of this.#known.keys()) if (id !== this.#asked) this.#known.delete(id)
    this.#route = null
    this.#stream = null
    this.#id = ""
    document.title = "ptstream"
  }

  /**
   * What the list has seen.
   * @param {Stream} seen
   */
  know(seen) {
    if (seen.parent && this.ids.includes(seen.parent)) this.#tellNext()
    if (seen.id !== this.#stream?.id) return
    if (seen.status !== this.#stream.status) this.#look(this.#left.signal).catch(ignored(this.#left.signal))
    else this.#header?.resize(seen)
  }

  /**
   * A stream that was made here: it is shown at its end when it is opened.
   * @param {Stream} stream
   */
  made(stream) {
    this.#known.set(stream.id, stream)
    this.#asked = stream.id
  }

  /** To the end of the text. */
  toEnd() {
    this.#reading?.scroller.jump()
  }

  /**
   * Where a stream is to be shown: as the next turn of what is open, in its view.
   * @param {Stream} stream
   */
  placeOf({ id, parent }) {
    const view = parent && parent === this.#id && this.#reading ? this.#reading.view : null
    return hashOf({ id, view })
  }

  /**
   * A stream that somebody has begun: as the next turn of what is open here it is shown below it, and is open then.
   * @param {Stream} stream
   */
  async goOnWith(stream) {
    const { signal } = this.#left
    if (!this.#reading || !isAnswer(stream) || stream.parent !== this.#stream?.id || this.#route?.at !== null) return
    const known = await this.#get(stream.id, signal).catch(ignored(signal))
    if (!known || signal.aborted) return
    this.#followed = stream.id
    location.replace(this.placeOf(stream))
  }

  /**
   * Whether a route leads to what is shown, to the next turn of it, or to one before.
   * @param {Route} route
   */
  #isNear({ id, view, at }) {
    const ids = this.ids
    const parent = this.#known.get(id ?? "")?.parent
    return this.#reading?.view === view && at === null && [id, parent].some((each) => ids.includes(each ?? ""))
  }

  /**
   * @param {string} id
   * @param {Route} route
   * @param {AbortSignal} signal
   */
  async #read(id, route, signal) {
    const stream = await this.#get(id, signal)
    const inPanes = route.view === "panes"
    const parts = inPanes ? [{ stream, end: null }] : await this.#partsUpTo(stream, signal)
    signal.throwIfAborted()
    this.#header = new Header(route.view ?? viewOf(stream), route, parts.length, {
      cancel: () => this.#do("POST", "cancel"),
      start: () => this.#do("POST", "drive"),
      goOn: () => this.#goOn(),
      remove: () => this.#remove(),
    })
    const begins = !this.#reading
    const reading = inPanes ? null : this.#shown(parts, route)
    const frame = reading?.frame ?? element("div", { className: "panes" })
    this.#article.replaceChildren(this.#header.element, frame)
    this.#article.hidden = false
    this.#learn(stream)
    this.#tellNext()
    this.tell("conversation")
    const next = this.#followed === stream.id && this.#list.answering(stream.id).at(-1)
    if (next) this.goOnWith(next) // which began before this one was open
    const seen = (/** @type {number} */ bytes) => this.#see(bytes, signal)
    const end = reading
      ? await this.#readTurns(reading, route, begins, signal)
      : await panes(frame, stream.id, this.#daemon, seen, signal)
    signal.throwIfAborted()
    if (end?.status !== this.#stream?.status) await this.#look(signal)
  }

  /**
   * @param {Stream} stream
   * @param {AbortSignal} signal
   */
  async #partsUpTo(stream, signal) {
    // Those that the list names are asked for at once: each step from one to the next would be a round trip.
    await Promise.all(this.#list.above(stream).map((id) => this.#get(id, signal).catch(ignored(signal))))
    return turnsUpTo(stream, (id) => this.#get(id, signal))
  }

  /**
   * The turns of a conversation below each other: those that are there stay.
   * @param {Part[]} parts
   * @param {Route} route
   */
  #shown(parts, route) {
    const { stream } = parts[parts.length - 1]
    const stuck = !hasEnded(stream.status) && route.at === null
    const reading = (this.#reading ??= this.#begun(route.view, stuck))
    const { turns, page, scroller } = reading
    const same = turns.findIndex((turn, number) => !parts[number] || !turn.is(parts[number]))
    for (const turn of turns.splice(same < 0 ? turns.length : same)) turn.leave()
    for (const [number, part] of parts.entries()) {
      if (number < turns.length) continue
      const system = parts[number - 1]?.stream.system
      const turn = new Turn(part, { view: route.view, system }, this.#daemon, scroller)
      turn.addEventListener("seen", () => turn.stream.id === this.#id && this.#see(turn.bytes, this.#left.signal))
      turns.push(turn)
      this.#waiting.before(turn.element)
    }
    for (const turn of turns) turn.tell(turn.stream, turn === turns.at(-1))
    page.classList.toggle("conversation", turns.length > 1)
    return reading
  }

  /**
   * @param {string | null} view
   * @param {boolean} stuck
   */
  #begun(view, stuck) {
    const page = element("div", { className: "page" }, this.#waiting)
    const box = element("div", { className: "scroller", tabIndex: 0, ariaLabel: "Text" }, page)
    box.role = "region"
    const jump = element("button", { type: "button", className: "jump", hidden: true }, "Jump to end ↓")
    const scroller = new Scroller(box, page, { stuck, signal: this.#gone.signal })
    scroller.addEventListener("end", () => (jump.hidden = scroller.atEnd))
    jump.addEventListener("click", () => scroller.jump())
    /** @type {Reading} */
    return { view, frame: element("div", { className: "reading" }, box, jump), page, scroller, turns: [] }
  }

  /**
   * The last turn's end; the turns before it are read as well.
   * @param {Reading} reading
   * @param {Route} route
   * @param {boolean} begins whether nothing of the conversation was shown yet
   * @param {AbortSignal} signal
   */
  async #readTurns({ turns, scroller }, route, begins, signal) {
    const [last, ...above] = [...turns].reverse()
    if (this.#asked === last.stream.id) scroller.jump()
    else if (begins && above.length && hasEnded(last.stream.status) && route.at === null) scroller.show(last.element)
    this.#asked = ""
    const all = this.#readAbove(above, signal)
    const end = await last.read(route, all)
    await all
    return end
  }

  /**
   * One after the other, the nearest first.
   * @param {Turn[]} turns
   * @param {AbortSignal} signal
   */
  async #readAbove(turns, signal) {
    for (const turn of turns) {
      if (!signal.aborted) await turn.readAbove()
    }
  }

  /** What answers each turn and is not below it, as far as is known. */
  #tellNext() {
    const ids = this.ids
    for (const turn of this.#reading?.turns ?? []) {
      turn.tellNext(this.#list.answering(turn.stream.id).filter(({ id }) => !ids.includes(id)))
    }
  }

  /**
   * The text is there up to so many bytes.
   * @param {number} bytes
   * @param {AbortSignal} signal
   */
  #see(bytes, signal) {
    this.#header?.resize({ bytes })
    if (this.#stream?.status === "pending") this.#look(signal).catch(ignored(signal))
  }

  /**
   * What was known of a stream, or is found out.
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async #get(id, signal) {
    const stream = this.#known.get(id) ?? (await this.#askFor(id, signal))
    this.#known.set(stream.id, stream)
    return stream
  }

  /**
   * What is known of a stream, as soon as the daemon is in reach.
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {Promise<Stream>}
   */
  async #askFor(id, signal) {
    while (true) {
      try {
        return await this.#daemon.ask(pathOf(id), { signal })
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN))
      signal.throwIfAborted()
    }
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    const stream = await this.#askFor(this.#id, signal)
    signal.throwIfAborted()
    this.#learn(stream)
  }

  /** @param {Stream} stream */
  #learn(stream) {
    this.#known.set(stream.id, stream)
    this.#stream = stream
    this.#id = stream.id // of `@last` from then on, too
    this.#header?.tell(stream)
    this.#reading?.turns.at(-1)?.tell(stream, true)
    this.tell("stream", stream)
  }

  /**
   * @param {string} method
   * @param {string} what
   */
  async #do(method, what) {
    const { signal } = this.#left
    try {
      await this.#daemon.ask(pathOf(this.#id, what), { method })
      if (!signal.aborted) await this.#look(signal)
    } catch (error) {
      this.#complain(error, signal)
    }
  }

  /** Another stream that begins with this one's text. */
  async #goOn() {
    const { signal } = this.#left
    try {
      const { id } = await this.#daemon.ask("streams", { method: "POST", body: { parent: this.#id } })
      location.hash = hashOf({ id })
      await this.#daemon.ask(pathOf(id, "drive"), { method: "POST" })
    } catch (error) {
      this.#complain(error, signal)
    }
  }

  async #remove() {
    const id = this.#id
    if (!(await this.#sure())) return
    const { signal } = this.#left
    try {
      await this.#daemon.ask(pathOf(id), { method: "DELETE" })
      this.#known.delete(id)
      if (!signal.aborted) location.hash = ""
      this.tell("deleted")
    } catch (error) {
      this.#complain(error, signal)
    }
  }

  /** Whether the text is really to go. */
  async #sure() {
    /** @type {PromiseWithResolvers<boolean>} */
    const { promise, resolve } = Promise.withResolvers()
    const dialog = this.#dialog
    const listening = new AbortController()
    const running = hasEnded(this.#stream?.status ?? "done") ? "" : " It is still being written, and would be cancelled."
    only("p", dialog).textContent = `Delete this stream and its text, for good?${running}`
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { signal: listening.signal })
    for (const button of dialog.querySelectorAll("button")) {
      button.addEventListener("click", () => dialog.close(button.value), { signal: listening.signal })
    }
    dialog.returnValue = ""
    dialog.showModal()
    const sure = await promise
    listening.abort()
    return sure
  }

  /**
   * @param {unknown} error
   * @param {AbortSignal} signal
   */
  #complain(error, signal) {
    if (signal.aborted && error === signal.reason) return
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    this.#notice.say(error.message)
  }
}

/**
 * For what is asked beside the text: its fault is shown where the text is read.
 * @param {AbortSignal} signal
 * @returns {(error: unknown) => void}
 */
function ignored(signal) {
  return (error) => {
    if (!signal.aborted && !(error instanceof Refusal)) throw error
  }
}
