// One turn of a conversation: what was asked, what is said beside the text, the text as it comes, and what answers it.

import { StreamError } from "../ptstream.js"
import { Refusal, hasEnded } from "./daemon.js"
import { element } from "./elements.js"
import { followed } from "./follow.js"
import { isLost, mark, show } from "./highlight.js"
import { titleOf } from "./list.js"
import { Markdown } from "./markdown.js"
import { PlainText } from "./plain-text.js"
import { remarks } from "./remarks.js"
import { hashOf } from "./route.js"
import { TextView } from "./text-view.js"
import { Filter, LineFilter, clean, oneLine } from "./untrusted.js"

/** Characters of a prompt that are shown unfolded. */
const SHORT = 600

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {import("./route.js").Route} Route
 * @typedef {import("./conversation.js").Part} Part
 */

/** A turn in the page; `part` is what it is of the conversation. Sends "seen" when more of its text is there. */
export class Turn extends EventTarget {
  /** How many bytes of its text are there. */
  bytes = 0
  element = element("section", { className: "turn" })
  #stream
  #end
  #view
  #daemon
  #scroller
  #left = new AbortController()
  #content
  #why = element("p", { className: "why", hidden: true, dir: "auto" })
  #next = element("p", { className: "next", hidden: true })
  /** @type {import("./text-view.js").Renderer} */
  #renderer
  /** @type {Promise<{ status: string, error?: string | null } | undefined> | null} */
  #reading = null

  /**
   * @param {Part} part
   * @param {{ view: string | null, system: string | null | undefined }} how the view that was chosen, the system prompt above
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./scroller.js").Scroller} scroller
   */
  constructor({ stream, end }, { view, system }, daemon, scroller) {
    super()
    this.#stream = stream
    this.#end = end
    this.#view = view ?? viewOf(stream)
    this.#daemon = daemon
    this.#scroller = scroller
    this.#content = element("div", { className: `text ${this.#view}` })
    this.#renderer = this.#view === "raw" ? new PlainText(this.#content) : new Markdown(this.#content)
    this.element.classList.add(this.#view)
    this.element.append(...asked(stream, system))
    if (!hasEnded(stream.status) || end === null) this.element.append(this.#remarks())
    this.element.append(this.#content, this.#why, this.#next)
  }

  get stream() {
    return this.#stream
  }

  /**
   * Whether it is this one as well, whichever way it goes on.
   * @param {Part} part
   */
  is({ stream, end }) {
    return this.#stream.id === stream.id && (this.#end ?? this.#stream.bytes) === (end ?? stream.bytes)
  }

  /**
   * What is known of it now; `last`: whether no turn comes after it, and the page's head tells how it ended.
   * @param {Stream} stream
   * @param {boolean} last
   */
  tell(stream, last) {
    this.#stream = stream
    this.#why.textContent = clean(stream.error)
    this.#why.hidden = last || !stream.error
  }

  /**
   * The turns that answer it and are not shown below it.
   * @param {Stream[]} streams
   */
  tellNext(streams) {
    const links = streams.map((each) => element("a", { href: hashOf(each), dir: "auto" }, `↳ ${titleOf(each)}`))
    this.#next.replaceChildren(...links)
    this.#next.hidden = !links.length
  }

  /** It is shown no more. */
  leave() {
    this.#left.abort()
    this.element.remove()
  }

  /**
   * Its text, to its end: how that ended. A place that is looked for in it is marked, and shown once `above` is there.
   * @param {Pick<Route, "at" | "words">} place
   * @param {Promise<unknown>} above
   */
  read({ at, words } = { at: null, words: "" }, above = Promise.resolve()) {
    this.#reading ??= this.#read(at, words, above)
    return this.#reading
  }

  /** The same for who need not know: what keeps it from being read is said in its place. */
  async readAbove() {
    try {
      await this.read()
    } catch (error) {
      if (this.#left.signal.aborted) return
      if (!(error instanceof Refusal || error instanceof StreamError)) throw error
      this.#why.textContent = clean(error.message)
      this.#why.hidden = false
    }
  }

  /**
   * @param {number | null} at
   * @param {string} words
   * @param {Promise<unknown>} above
   */
  async #read(at, words, above) {
    const { signal } = this.#left
    const filter = this.#view === "raw" ? new LineFilter() : new Filter()
    const text = new TextView(this.#renderer, filter, this.#scroller, signal)
    let sought = at
    for await (const piece of upTo(this.#end, followed(this.#daemon, this.#stream.id, { signal }))) {
      if (piece.status !== "streaming") {
        await text.end()
        if (at !== null && isLost()) this.#seek(at, words, show)
        return piece
      }
      this.#see(piece.offset)
      await text.take(piece.text)
      if (sought !== null && piece.offset > sought) {
        await Promise.all([text.shown(), above])
        this.#seek(sought, words, show)
        sought = null
      } else if (at !== null && isLost()) {
        await text.shown()
        this.#seek(at, words, mark)
      }
    }
  }

  /** @param {number} bytes */
  #see(bytes) {
    this.bytes = bytes
    this.dispatchEvent(new Event("seen"))
  }

  /**
   * @param {number} at
   * @param {string} words
   * @param {(node: Element, words: string, before: number) => unknown} how
   */
  #seek(at, words, how) {
    const found = this.#renderer.at(at)
    if (found?.node instanceof Element) how(found.node, words, found.before)
  }

  #remarks() {
    return remarks(this.#daemon, this.#stream.id, () => hasEnded(this.#stream.status), this.#left.signal)
  }
}

/**
 * The view that a stream is shown in where none was chosen.
 * @param {Stream} stream
 */
export const viewOf = ({ command }) => (command ? "raw" : "markdown")

/**
 * What a stream was asked, nothing if that is nothing; the system prompt only where it is not the one above.
 * @param {Stream} stream
 * @param {string | null | undefined} above
 */
function asked({ prompt, system, command }, above) {
  const line = command && `$ ${oneLine(command.join(" "))}`
  const said = [system && system !== above && `System: ${system}`, line, prompt].filter(Boolean).join("\n\n")
  if (!said) return []
  const text = element("div", { className: line ? "prompt command" : "prompt", dir: "auto" }, clean(said))
  if (said.length <= SHORT) return [text]
  return [element("details", { className: "long" }, element("summary", {}, `${oneLine(said).slice(0, 80)}…`), text)]
}

/**
 * The pieces of a text up to a byte, or all, and its end.
 * @param {number | null} end
 * @param {ReturnType<typeof followed>} pieces
 */
async function* upTo(end, pieces) {
  for await (const piece of pieces) {
    const over = end === null ? 0 : piece.offset - end
    if (over <= 0 || piece.status !== "streaming") yield piece
    else {
      const bytes = new TextEncoder().encode(piece.text)
      const text = new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytes.length - over)))
      yield { ...piece, text, offset: piece.offset - over }
      yield { ...piece, status: "done", text: "" }
      return
    }
  }
}
