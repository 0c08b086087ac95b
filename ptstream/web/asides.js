// What a generator says beside the text, reasoning and notes: folded, and text as it is.

import { seen, visit } from "./back.js"
import { pathOf } from "./daemon.js"
import { takeRoom } from "./ptstream.js"
import { clean } from "./untrusted.js"
import { element } from "./units.js"

/** Milliseconds for which it is listened where all connections are taken, and those from one time to the next. */
const BRIEF = 1000
const PAUSE = 2000

/** The fold, hidden until something is said. `ended` tells whether no more can come. */
export function asides(daemon, id, ended, signal) {
  const said = element("div", { className: "said" })
  const fold = element("details", { className: "asides", hidden: true }, element("summary", {}, "Reasoning and notes"), said)
  listen(daemon, id, new Said(fold, said), ended, signal)
  return fold
}

async function listen(daemon, id, said, ended, signal) {
  while (!signal.aborted) {
    await seen(signal).catch(() => {}) // then the signal is aborted
    const here = visit(daemon, signal)
    const room = await takeRoom(new URL(location), 0) // the text goes first
    const over = await heard(id, said, ended, AbortSignal.any([here.signal, room?.signal ?? AbortSignal.timeout(BRIEF)]))
    room?.leave()
    if (!over && !room) await rest(here.signal)
    here.leave()
    if (over) return
  }
}

function rest(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener("abort", resolve)
    setTimeout(resolve, PAUSE)
  })
}

/** Takes events until the visit is over, or, which is true, nothing more can come. */
function heard(id, said, ended, signal) {
  if (signal.aborted) return false
  return new Promise((resolve) => {
    const events = new EventSource(pathOf(id, "asides"))
    const stop = (over) => {
      events.close()
      resolve(over)
    }
    events.addEventListener("open", () => said.clear())
    for (const kind of ["note", "reasoning", "stderr"]) {
      events.addEventListener(kind, ({ data }) => said.add(kind, JSON.parse(data)))
    }
    events.addEventListener("error", () => (ended() || events.readyState === EventSource.CLOSED) && stop(true))
    signal.addEventListener("abort", () => stop(false))
  })
}

/** What has been said: each connection is told everything from the beginning. */
class Said {
  #fold
  #frame
  #last = null
  #again = false

  constructor(fold, frame) {
    this.#fold = fold
    this.#frame = frame
  }

  /** It is told again; what is there stays until then. */
  clear() {
    this.#again = true
  }

  add(kind, text) {
    if (this.#again) {
      this.#frame.replaceChildren()
      this.#last = null
      this.#again = false
    }
    if (this.#last?.className !== kind) this.#frame.append((this.#last = element("p", { className: kind })))
    this.#last.append(clean(text))
    if (kind === "note") this.#last = null
    this.#fold.hidden = false
  }
}
