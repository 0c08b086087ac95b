// The list on the left: every stream with its status and its size as they are now.

import { onWake } from "../ptstream.js"
import { isAnswer } from "./conversation.js"
import { News, Refusal, Unreachable, hasEnded } from "./daemon.js"
import { dot, element, only } from "./elements.js"
import { age, size } from "./format.js"
import { hashOf } from "./route.js"
import { oneLine } from "./untrusted.js"

/** Milliseconds between two looks: while something runs, when nothing does, and when the daemon does not answer. */
const BUSY = 2000
const IDLE = 10_000
const AGAIN = 3000

/** Streams that one "More" adds; the daemon lists a thousand at most. */
const STEP = 100
const MOST = 1000

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {{ item: HTMLElement, link: HTMLElement, title: HTMLElement, about: HTMLElement, size: HTMLElement, age: HTMLElement,
 *   stream: Stream | null }} Row
 */

/** Sends "stream" with what it knows of each one that has changed, and "begun" with each that was not there before. */
export class List extends News {
  #daemon
  /** @type {Map<string, Row>} */
  #rows = new Map()
  #items
  #more
  #limit = STEP
  /** @type {string | null} */
  #marked = null
  /** @type {string[]} */
  #turns = []
  #looked = false
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  #asking = false
  #stale = false

  /**
   * @param {HTMLElement} nav
   * @param {import("./daemon.js").Daemon} daemon
   */
  constructor(nav, daemon) {
    super()
    this.#daemon = daemon
    this.#items = only("ol", nav)
    this.#more = only(".more", nav)
    this.#more.addEventListener("click", () => {
      this.#limit = Math.min(MOST, this.#limit + STEP)
      this.refresh()
    })
    onWake(() => this.refresh())
    document.addEventListener("visibilitychange", () => document.hidden && clearTimeout(this.#timer))
    this.refresh()
  }

  /** Look now. */
  async refresh() {
    this.#stale = true
    if (this.#asking) return
    this.#asking = true
    let pause = IDLE
    while (this.#stale) {
      this.#stale = false
      pause = await this.#look()
    }
    this.#asking = false
    clearTimeout(this.#timer)
    if (!document.hidden) this.#timer = setTimeout(() => this.refresh(), pause)
  }

  /**
   * The stream that is open, and the conversation that it is a turn of.
   * @param {string | null} id
   * @param {string[]} turns
   */
  mark(id, turns = []) {
    this.#rows.get(this.#marked ?? "")?.link.removeAttribute("aria-current")
    for (const each of this.#turns) this.#rows.get(each)?.link.classList.remove("before")
    this.#marked = id
    this.#turns = turns
    this.#rows.get(id ?? "")?.link.setAttribute("aria-current", "page")
    for (const each of turns) this.#rows.get(each)?.link.classList.add("before")
  }

  /**
   * The streams in the list that answer one, oldest first.
   * @param {string} id
   */
  answering(id) {
    const all = [...this.#rows.values()].flatMap(({ stream }) => stream ?? [])
    return all.filter((stream) => stream.parent === id && isAnswer(stream)).sort((a, b) => (a.created_at < b.created_at ? -1 : 1))
  }

  /**
   * What somebody else has found out about a stream: news are worth a look.
   * @param {Stream} stream
   */
  know(stream) {
    const row = this.#rows.get(stream.id)
    if (!row || row.stream?.status !== stream.status) this.refresh()
  }

  /**
   * The ids of what a stream comes after, as far as the list has them.
   * @param {Stream} stream
   */
  above({ parent }) {
    const ids = new Set()
    for (let id = parent; id && !ids.has(id); id = this.#rows.get(id)?.stream?.parent) ids.add(id)
    return [...ids]
  }

  /**
   * Move by so many rows from the one that has the focus, or is open; as `open`, open it.
   * @param {number} by
   * @param {boolean} open
   */
  move(by, open) {
    const links = /** @type {HTMLElement[]} */ ([...this.#items.querySelectorAll("a")])
    const at = links.findIndex((link) => link === document.activeElement)
    const from = at < 0 ? links.findIndex((link) => link.hasAttribute("aria-current")) : at
    const link = links[Math.max(0, Math.min(links.length - 1, from + by))]
    link?.focus()
    if (open) link?.click()
  }

  async #look() {
    try {
      /** @type {{ streams: Stream[] }} */
      const { streams } = await this.#daemon.ask(`streams?limit=${this.#limit}`)
      this.#show(streams)
      return streams.some(({ status }) => !hasEnded(status)) ? BUSY : IDLE
    } catch (error) {
      if (error instanceof Refusal || error instanceof Unreachable) return AGAIN
      throw error
    }
  }

  /** @param {Stream[]} streams */
  #show(streams) {
    const ids = new Set(streams.map(({ id }) => id))
    for (const [id, { item }] of this.#rows) {
      if (ids.has(id)) continue
      item.remove()
      this.#rows.delete(id)
    }
    /** @type {HTMLElement | null} */
    let before = null
    let begun = this.#looked // those above all that were there
    this.#looked = true
    for (const stream of streams) {
      begun &&= !this.#rows.has(stream.id)
      const row = this.#rows.get(stream.id) ?? this.#add(stream)
      /** @type {ChildNode | null} */
      const place = before ? before.nextSibling : this.#items.firstChild
      if (row.item !== place) this.#items.insertBefore(row.item, place)
      this.#update(row, stream)
      if (begun) this.tell("begun", stream)
      before = row.item
    }
    this.#more.hidden = streams.length < this.#limit || this.#limit >= MOST
    this.#items.classList.toggle("none", !streams.length)
  }

  /** @param {Stream} stream */
  #add(stream) {
    const title = element("span", { className: "title", dir: "auto" })
    const about = element("span", { className: "about" })
    const link = element("a", { href: hashOf(stream) }, title, about)
    /** @type {Row} */
    const row = { item: element("li", {}, link), link, title, about, size: element("span"), age: element("span"), stream: null }
    if (stream.id === this.#marked) link.setAttribute("aria-current", "page")
    if (this.#turns.includes(stream.id)) link.classList.add("before")
    if (isAnswer(stream)) link.title = `Answers ${stream.parent}`
    this.#rows.set(stream.id, row)
    return row
  }

  /**
   * @param {Row} row
   * @param {Stream} stream
   */
  #update(row, stream) {
    const before = row.stream
    row.stream = stream
    const title = isAnswer(stream) ? `↳ ${titleOf(stream)}` : titleOf(stream)
    if (row.title.textContent !== title) row.title.textContent = title
    if (before?.status !== stream.status) {
      row.size = element("span", { className: "size" })
      row.age = element("span", { className: "age" })
      row.about.replaceChildren(dot(stream.status), row.size, row.age)
    }
    row.size.textContent = size(stream.bytes)
    row.age.textContent = age(stream.created_at)
    if (before?.status !== stream.status || before?.bytes !== stream.bytes) {
      this.tell("stream", stream)
    }
  }
}

/**
 * What a stream is called.
 * @param {Stream} stream
 */
export const titleOf = (stream) => oneLine(stream.title) || oneLine(stream.name) || stream.id
