// The turns of a conversation below each other, in one scroller; what waits to be asked is below the last one.

import { element } from "./elements.js"
import { Scroller } from "./scroller.js"
import { Turn } from "./turn.js"

/** Turns above the last one that are read at a time. */
const AT_ONCE = 3

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {import("./route.js").Route} Route
 * @typedef {import("./conversation.js").Part} Part
 */

/** Sends "seen" when more is there of the last turn's text. */
export class ConversationView extends EventTarget {
  /** The view that was chosen, null: of each turn its own. */
  view
  scroller
  frame
  #page
  #waiting
  #daemon
  /** @type {Turn[]} */
  #turns = []
  #left = new AbortController()

  /**
   * @param {string | null} view
   * @param {boolean} stuck whether it is held at its end at first
   * @param {HTMLElement} waiting
   * @param {import("./daemon.js").Daemon} daemon
   */
  constructor(view, stuck, waiting, daemon) {
    super()
    this.view = view
    this.#waiting = waiting
    this.#daemon = daemon
    this.#page = element("div", { className: "page" }, waiting)
    const box = element("div", { className: "scroller", tabIndex: 0, ariaLabel: "Text" }, this.#page)
    box.role = "region"
    const jump = element("button", { type: "button", className: "jump", hidden: true }, "Jump to end ↓")
    const scroller = (this.scroller = new Scroller(box, this.#page, { stuck, signal: this.#left.signal }))
    scroller.addEventListener("end", () => (jump.hidden = scroller.atEnd))
    jump.addEventListener("click", () => scroller.jump())
    this.frame = element("div", { className: "reading" }, box, jump)
  }

  /** The streams of the conversation. */
  get ids() {
    return this.#turns.map(({ stream }) => stream.id)
  }

  get #last() {
    return this.#turns[this.#turns.length - 1]
  }

  /**
   * Shows these turns: those that are there stay.
   * @param {Part[]} parts
   */
  show(parts) {
    const same = this.#turns.findIndex((turn, number) => !parts[number] || !turn.is(parts[number]))
    for (const turn of this.#turns.splice(same < 0 ? this.#turns.length : same)) turn.leave()
    for (const [number, part] of [...parts.entries()].slice(this.#turns.length)) {
      this.#add(new Turn(part, { view: this.view, system: parts[number - 1]?.stream.system }, this.#daemon, this.scroller))
    }
    for (const turn of this.#turns) turn.tell(turn.stream, turn === this.#last)
    this.#page.classList.toggle("conversation", this.#turns.length > 1)
  }

  /** To where the last turn begins. */
  showLast() {
    this.scroller.show(this.#last.element)
  }

  /**
   * What is known now of a stream, if that is the last turn's.
   * @param {Stream} stream
   */
  tell(stream) {
    if (stream.id === this.#last.stream.id) this.#last.tell(stream, true)
  }

  /**
   * What answers each turn and is not below it.
   * @param {(id: string) => Stream[]} answering
   */
  tellNext(answering) {
    const ids = this.ids
    for (const turn of this.#turns) turn.tellNext(answering(turn.stream.id).filter(({ id }) => !ids.includes(id)))
  }

  /**
   * Reads the last turn's text to its end, how that ended; and the turns above it.
   * @param {Route} route
   */
  async read(route) {
    return this.#last.read(route, this.#readAbove())
  }

  /** It is shown no more. */
  leave() {
    this.#left.abort()
    for (const turn of this.#turns) turn.leave()
  }

  /** @param {Turn} turn */
  #add(turn) {
    turn.addEventListener("seen", () => turn === this.#last && this.dispatchEvent(new CustomEvent("seen", { detail: turn.bytes })))
    this.#turns.push(turn)
    this.#waiting.before(turn.element)
  }

  /** The nearest first, a few at a time. */
  async #readAbove() {
    const next = this.#turns.slice(0, -1).reverse().values()
    const read = async () => {
      for (const turn of next) await turn.readAbove()
    }
    await Promise.all(Array.from({ length: AT_ONCE }, read))
  }
}
