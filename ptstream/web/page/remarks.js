// What a generator says beside the text, reasoning and notes: folded, and text as it is.

import { Backoff, Connection, EventParser, REMARKS, StreamRequest, isTemporary, takeSlot } from "../ptstream.js"
import { pathOf } from "./daemon.js"
import { element } from "./elements.js"
import { PlainText } from "./plain-text.js"
import { LineFilter, clean } from "./untrusted.js"
import { seen, visit } from "./visibility.js"

/** Milliseconds for which it is listened where all connections are taken. */
const POLL_LENGTH = 1000

/** What there is beside the text. */
const KINDS = ["note", "reasoning", "stderr"]

/**
 * The fold, hidden until something is said. `ended`: whether no more can come.
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} id
 * @param {() => boolean} ended
 * @param {AbortSignal} signal
 */
export function remarks(daemon, id, ended, signal) {
  const frame = element("div", { className: "said" })
  const fold = element("details", { className: "remarks", hidden: true }, element("summary", {}, "Reasoning and notes"), frame)
  listen(daemon, id, new Remarks(fold, frame), ended, signal).catch((error) => {
    if (!signal.aborted) throw error
  })
  return fold
}

/**
 * Listens from one connection to the next, while somebody sees the page, until nothing more can come.
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} id
 * @param {Remarks} said
 * @param {() => boolean} ended
 * @param {AbortSignal} signal
 */
async function listen(daemon, id, said, ended, signal) {
  const backoff = new Backoff(signal)
  while (true) {
    await seen(signal)
    const here = visit(daemon, signal)
    const request = new StreamRequest(pathOf(id, "remarks"), { signal: here.signal })
    const slot = await takeSlot(request.target, REMARKS) // the text goes first
    const connection = new Connection(request, slot)
    if (!slot) connection.limit(POLL_LENGTH)
    try {
      await hear(connection, said)
      if (ended()) return
      if (!slot) backoff.poll()
    } catch (error) {
      signal.throwIfAborted()
      if (ended() || !(connection.expired || here.over.aborted || isTemporary(error))) return // what is refused stays so
      if (connection.expired) backoff.poll()
    } finally {
      connection.close()
      here.leave()
    }
    await backoff.wait(connection.age)
  }
}

/**
 * One connection's events: it brings everything from the beginning.
 * @param {Connection} connection
 * @param {Remarks} said
 */
async function hear(connection, said) {
  const answer = await connection.ask(connection.request.target, "text/event-stream")
  const parser = new EventParser()
  said.clear()
  for await (const bytes of connection.bytes(answer)) {
    for (const { event, data } of parser.read(bytes)) {
      if (KINDS.includes(event)) said.add(event, JSON.parse(data))
    }
  }
}

/** What has been said. */
class Remarks {
  #fold
  #frame
  /** @type {HTMLElement | null} */
  #last = null
  /** @type {(text: string) => void} */
  #append = () => {}
  #again = false

  /**
   * @param {HTMLElement} fold
   * @param {HTMLElement} frame
   */
  constructor(fold, frame) {
    this.#fold = fold
    this.#frame = frame
  }

  /** It comes again; what is there stays until then. */
  clear() {
    this.#again = true
  }

  /**
   * @param {string} kind
   * @param {string} text
   */
  add(kind, text) {
    if (this.#again) {
      this.#frame.replaceChildren()
      this.#last = null
      this.#again = false
    }
    if (this.#last?.className !== kind) this.#begin(kind)
    this.#append(text)
    if (kind === "note") this.#last = null
    this.#fold.hidden = false
  }

  /** @param {string} kind */
  #begin(kind) {
    const last = (this.#last = element("div", { className: kind }))
    this.#append = kind === "stderr" ? intoLines(last) : (text) => last.append(clean(text))
    this.#frame.append(last)
  }
}

/**
 * What a command says is shown as its text is: a line that it redraws stays one.
 * @param {HTMLElement} target
 * @returns {(text: string) => void}
 */
function intoLines(target) {
  const [lines, filter] = [new PlainText(target), new LineFilter()]
  return (text) => lines.add(filter.feed(text))
}
