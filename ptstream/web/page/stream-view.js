// What is open on the right: a conversation up to one stream, and what can be done with that; or that one's two panes.

import { StreamError } from "../ptstream.js"
import { Actions } from "./actions.js"
import { isAnswer } from "./conversation.js"
import { ConversationView } from "./conversation-view.js"
import { News, Refusal, hasEnded } from "./daemon.js"
import { element } from "./elements.js"
import { Header } from "./header.js"
import { KnownStreams } from "./known-streams.js"
import { panes } from "./panes.js"
import { hashOf } from "./route.js"
import { viewOf } from "./turn.js"

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {import("./route.js").Route} Route
 * @typedef {import("./conversation.js").Part} Part
 */

/** Sends "stream" with what is known of the open one, whenever that changes, "conversation", and "deleted". */
export class StreamView extends News {
  #article
  #daemon
  #notice
  #waiting
  #list
  #known
  #actions
  #left = new AbortController()
  /** @type {Route | null} */
  #route = null
  #id = ""
  /** @type {Stream | null} */
  #stream = null
  /** @type {Header | null} */
  #header = null
  /** @type {ConversationView | null} */
  #conversation = null
  #made = ""
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
    this.#daemon = daemon
    this.#notice = notice
    this.#waiting = waiting
    this.#list = list
    this.#known = new KnownStreams(daemon, list)
    const open = () => ({ stream: /** @type {Stream} */ (this.#stream), signal: this.#left.signal })
    this.#actions = new Actions(dialog, daemon, notice, open, {
      changed: ({ signal }) => this.#look(signal),
      deleted: (id) => {
        this.#known.forget(id)
        this.tell("deleted")
      },
    })
  }

  /** The stream that is open. */
  get id() {
    return this.#id
  }

  /** The streams of the conversation that is open, the last one included. */
  get ids() {
    return this.#conversation?.ids ?? []
  }

  /**
   * Show the stream of a route; nothing without one.
   * @param {Route} route
   */
  async open(route) {
    this.#left.abort()
    this.#left = new AbortController()
    if (!this.#isNear(route)) this.close()
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
    this.#conversation?.leave()
    this.#conversation = null
    this.#known.forgetAllBut(this.#made)
    this.#article.hidden = true
    this.#article.replaceChildren()
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

  /** To the end of the text. */
  toEnd() {
    this.#conversation?.scroller.jump()
  }

  /**
   * A stream that was made here: it is shown at its end when it is opened.
   * @param {Stream} stream
   */
  made(stream) {
    this.#known.keep(stream)
    this.#made = stream.id
  }

  /**
   * Where a stream is to be shown: as the next turn of what is open, in its view.
   * @param {Stream} stream
   */
  placeOf({ id, parent }) {
    return hashOf({ id, view: parent === this.#id ? this.#conversation?.view : null })
  }

  /**
   * A stream that somebody has begun: as the next turn of what is open here it is shown below it, and is open then.
   * @param {Stream} stream
   */
  async goOnWith(stream) {
    const { signal } = this.#left
    if (!this.#conversation || !isAnswer(stream) || stream.parent !== this.#stream?.id || this.#route?.at !== null) return
    const known = await this.#known.get(stream.id, signal).catch(ignored(signal))
    if (!known || signal.aborted) return
    this.#followed = stream.id
    location.replace(this.placeOf(stream))
  }

  /**
   * Whether a route leads to a turn of what is shown, or to the next one of it.
   * @param {Route} route
   */
  #isNear({ id, view, at }) {
    if (!id || at !== null || this.#conversation?.view !== view) return false
    return this.ids.includes(id) || this.ids.includes(this.#known.parentOf(id) ?? "")
  }

  /**
   * @param {string} id
   * @param {Route} route
   * @param {AbortSignal} signal
   */
  async #read(id, route, signal) {
    const stream = await this.#known.get(id, signal)
    const parts = route.view === "panes" ? [] : await this.#known.turnsUpTo(stream, signal)
    signal.throwIfAborted()
    const came = stream.id === this.#made ? "made" : stream.id === this.#followed ? "followed" : "opened"
    this.#made = this.#followed = ""
    this.#header = new Header(route.view ?? viewOf(stream), route, parts.length, this.#actions)
    const conversation = parts.length ? this.#shown(parts, stream, route) : null
    const frame = conversation?.frame ?? element("div", { className: "panes" })
    this.#frame(this.#header.element, frame)
    this.#learn(stream)
    this.#tellNext()
    this.tell("conversation")
    if (conversation) this.#place(stream, route, came)
    const seen = (/** @type {number} */ bytes) => this.#see(bytes)
    const end = await (conversation?.read(route) ?? panes(frame, stream.id, this.#daemon, seen, signal))
    signal.throwIfAborted()
    if (end?.status !== this.#stream?.status) await this.#look(signal)
  }

  /**
   * The turns, below each other.
   * @param {Part[]} parts
   * @param {Stream} stream
   * @param {Route} route
   */
  #shown(parts, stream, route) {
    if (!this.#conversation) {
      const stuck = !hasEnded(stream.status) && route.at === null
      this.#conversation = new ConversationView(route.view, stuck, this.#waiting, this.#daemon)
      this.#conversation.addEventListener("seen", (event) => event instanceof CustomEvent && this.#see(event.detail))
    }
    this.#conversation.show(parts)
    return this.#conversation
  }

  /**
   * @param {HTMLElement} header
   * @param {HTMLElement} frame
   */
  #frame(header, frame) {
    // What is taken out and put in again is scrolled to its beginning.
    if (frame.isConnected) frame.previousElementSibling?.replaceWith(header)
    else this.#article.replaceChildren(header, frame)
    this.#article.hidden = false
  }

  /**
   * Scrolls to where a reader goes on.
   * @param {Stream} stream
   * @param {Route} route
   * @param {string} came how the stream came to be open
   */
  #place({ id, status }, { at }, came) {
    if (came === "made") this.toEnd()
    else if (came === "opened" && hasEnded(status) && at === null) this.#conversation?.showLast()
    if (came !== "followed") return
    const next = this.#list.answering(id).at(-1) // which may have begun before this one was open
    if (next) this.goOnWith(next)
  }

  /** What answers each turn and is not below it, as far as is known. */
  #tellNext() {
    this.#conversation?.tellNext((id) => this.#list.answering(id))
  }

  /**
   * The text is there up to so many bytes.
   * @param {number} bytes
   */
  #see(bytes) {
    const { signal } = this.#left
    this.#header?.resize({ bytes })
    if (this.#stream?.status === "pending") this.#look(signal).catch(ignored(signal))
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    const stream = await this.#known.look(this.#id, signal)
    signal.throwIfAborted()
    this.#learn(stream)
  }

  /** @param {Stream} stream */
  #learn(stream) {
    this.#stream = stream
    this.#id = stream.id // of `@last` from then on, too
    this.#header?.tell(stream)
    this.#conversation?.tell(stream)
    this.tell("stream", stream)
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
