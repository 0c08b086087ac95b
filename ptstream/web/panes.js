// The idea in one picture: one stream twice, on the left every piece as it comes, on the right the sentences that the
// database holds, each with its counts.

import { Refusal, Unreachable, pathOf } from "./daemon.js"
import { followed } from "./follow.js"
import { Plain } from "./plain.js"
import { Text } from "./text.js"
import { counted, element } from "./units.js"

/** Milliseconds between two looks at the counts that the database has. */
const COUNT = 1000

/** Shows both panes in `frame` until the stream's end; gives back how that was told: `{status, error}`. `seen` hears of each piece. */
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

/** How many pieces came and how many rows hold them, out of the database, now and then and at the end. */
async function count(id, daemon, left, right, signal) {
  for (let last = false; !last; ) {
    last = signal.aborted
    const told = await daemon.ask(pathOf(id)).catch(unlessRefused)
    if (told) {
      const pieces = told.attempts.reduce((sum, attempt) => sum + attempt.pieces, 0)
      left.kept = counted(pieces, "piece")
      right.kept = counted(told.chunks, "row")
      left.tell()
      right.tell()
    }
    if (!last) await pause(signal)
  }
}

/** A count that cannot be had now is left as it was; what is wrong is said where the text is read. */
function unlessRefused(error) {
  if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
  return null
}

function pause(signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, COUNT)
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    if (signal.aborted) done()
    else signal.addEventListener("abort", done)
  })
}

/** A title, a text, and its counts. */
class Pane {
  kept = null
  #events = 0
  #bytes = 0

  constructor(title, signal) {
    this.counts = element("p", { className: "counts" })
    const content = element("div", { className: "text" })
    const scroller = element("div", { className: "scroller", tabIndex: 0, ariaLabel: title }, content)
    scroller.role = "region"
    this.element = element("section", { className: "pane" }, element("h2", {}, title), scroller, this.counts)
    this.#text = new Text(scroller, content, new Plain(content), { stuck: true, signal })
    this.tell()
  }

  #text

  async read(daemon, id, options, seen = () => {}) {
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
    const told = [this.kept, `${this.#bytes.toLocaleString("en")} bytes`, `received in ${counted(this.#events, "event")}`]
    this.counts.textContent = told.filter(Boolean).join(" · ")
  }
}
