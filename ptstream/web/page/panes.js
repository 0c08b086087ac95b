// The idea in one picture: one stream twice, on the left every piece as it comes, on the right the sentences that the
// database holds, each with its counts.

import { Refusal, Unreachable, pathOf } from "./daemon.js"
import { element } from "./elements.js"
import { followed } from "./follow.js"
import { counted } from "./format.js"
import { PlainText } from "./plain-text.js"
import { Scroller } from "./scroller.js"
import { TextView } from "./text-view.js"
import { LineFilter } from "./untrusted.js"

/** Milliseconds between two looks at the counts that the database has. */
const COUNT = 1000

/**
 * Shows both panes in `frame` until the stream's end; gives back how that ended: `{status, error}`. `seen` hears of each piece.
 * @param {HTMLElement} frame
 * @param {string} id
 * @param {import("./daemon.js").Daemon} daemon
 * @param {(offset: number) => void} seen
 * @param {AbortSignal} signal
 */
export async function panes(frame, id, daemon, seen, signal) {
  const left = new Pane("Every piece, as it comes", signal)
  const right = new Pane("Whole sentences, from the database", signal)
  frame.replaceChildren(left.element, right.element)
  const stop = new AbortController()
  const counting = count(id, daemon, left, right, AbortSignal.any([signal, stop.signal]))
  try {
    const [end] = await Promise.all([left.read(daemon, id, { signal }, seen), right.read(daemon, id, { stored: true, signal })])
    return end
  } finally {
    stop.abort()
    await counting
  }
}

/**
 * How many pieces came and how many rows hold them, out of the database, now and then and at the end.
 * @param {string} id
 * @param {import("./daemon.js").Daemon} daemon
 * @param {Pane} left
 * @param {Pane} right
 * @param {AbortSignal} signal
 */
async function count(id, daemon, left, right, signal) {
  for (let last = false; !last; ) {
    last = signal.aborted
    /** @type {import("./daemon.js").Stream | null} */
    const stream = await daemon.ask(pathOf(id)).catch(unlessRefused)
    if (stream) {
      const pieces = stream.attempts.reduce((sum, attempt) => sum + attempt.pieces, 0)
      left.kept = counted(pieces, "piece")
      right.kept = counted(stream.chunks, "row")
      left.tell()
      right.tell()
    }
    if (!last) await pause(signal)
  }
}

/**
 * A count that cannot be had now is left as it was; what is wrong is said where the text is read.
 * @param {unknown} error
 */
function unlessRefused(error) {
  if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
  return null
}

/** @param {AbortSignal} signal */
function pause(signal) {
  return new Promise((/** @type {(none: void) => void} */ resolve) => {
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(done, COUNT)
    if (signal.aborted) done()
    else signal.addEventListener("abort", done)
  })
}

/** A title, a text, and its counts. */
class Pane {
  /** @type {string | null} How much of it the database has. */
  kept = null
  #events = 0
  #bytes = 0
  #text

  /**
   * @param {string} title
   * @param {AbortSignal} signal
   */
  constructor(title, signal) {
    this.counts = element("p", { className: "counts" })
    const content = element("div", { className: "text" })
    const scroller = element("div", { className: "scroller", tabIndex: 0, ariaLabel: title }, content)
    scroller.role = "region"
    this.element = element("section", { className: "pane" }, element("h2", {}, title), scroller, this.counts)
    const held = new Scroller(scroller, content, { stuck: true, signal })
    this.#text = new TextView(new PlainText(content), new LineFilter(), held, signal)
    this.tell()
  }

  /**
   * @param {import("./daemon.js").Daemon} daemon
   * @param {string} id
   * @param {import("./follow.js").Options} options
   * @param {(offset: number) => void} seen
   */
  async read(daemon, id, options, seen = (_offset) => {}) {
    for await (const { text, offset, status, error } of followed(daemon, id, options)) {
      this.#bytes = offset
      if (status !== "streaming") {
        await this.#text.end()
        this.tell()
        return { status, error }
      }
      this.#events += 1
      this.tell()
      seen(offset)
      await this.#text.take(text)
    }
  }

  tell() {
    const counts = [this.kept, `${this.#bytes.toLocaleString("en")} bytes`, `received in ${counted(this.#events, "event")}`]
    this.counts.textContent = counts.filter(Boolean).join(" · ")
  }
}
