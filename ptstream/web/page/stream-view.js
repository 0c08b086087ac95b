// The stream on the right: what it is, what can be done with it, and its text, or its two panes.

import { StreamError } from "../ptstream.js"
import { Refusal, StreamNews, Unreachable, hasEnded, pathOf } from "./daemon.js"
import { element, only } from "./elements.js"
import { followed } from "./follow.js"
import { Header } from "./header.js"
import { isLost, mark, show } from "./highlight.js"
import { Markdown } from "./markdown.js"
import { remarks } from "./remarks.js"
import { panes } from "./panes.js"
import { PlainText } from "./plain-text.js"
import { hashOf } from "./route.js"
import { TextView } from "./text-view.js"

/** Milliseconds before a daemon that is out of reach is asked again. */
const AGAIN = 1000

/** @typedef {import("./daemon.js").Stream} Stream */
/** @typedef {import("./route.js").Route} Route */

/** Sends "stream" with what is known of the open one, whenever that changes, and "deleted". */
export class StreamView extends StreamNews {
  #article
  #dialog
  #daemon
  #notice
  #left = new AbortController()
  #id = ""
  /** @type {Stream | null} */
  #stream = null
  /** @type {Header | null} */
  #header = null

  /**
   * @param {HTMLElement} article
   * @param {HTMLDialogElement} dialog
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   */
  constructor(article, dialog, daemon, notice) {
    super()
    this.#article = article
    this.#dialog = dialog
    this.#daemon = daemon
    this.#notice = notice
  }

  /**
   * Show the stream of a route; nothing without one.
   * @param {Route} route
   */
  async open(route) {
    this.close()
    if (!route.id) return
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
    this.#article.hidden = true
    this.#article.replaceChildren()
    this.#stream = null
    document.title = "ptstream"
  }

  /**
   * What the list has seen.
   * @param {Stream} seen
   */
  know(seen) {
    if (seen.id !== this.#stream?.id) return
    if (seen.status !== this.#stream.status) this.#look(this.#left.signal).catch(ignored(this.#left.signal))
    else this.#header?.resize(seen)
  }

  /**
   * @param {string} id
   * @param {Route} route
   * @param {AbortSignal} signal
   */
  async #read(id, route, signal) {
    const stream = await this.#known(id, signal)
    const view = route.view ?? (stream.command ? "raw" : "markdown")
    const header = new Header(view, route, {
      cancel: () => this.#do("POST", "cancel"),
      start: () => this.#do("POST", "drive"),
      goOn: () => this.#goOn(),
      remove: () => this.#remove(),
    })
    const frame = element("div", { className: view === "panes" ? "panes" : "reading" })
    this.#header = header
    this.#article.replaceChildren(header.element, frame)
    this.#article.hidden = false
    this.#learn(stream)
    const seen = (/** @type {number} */ bytes) => this.#see(bytes, signal)
    const end =
      view === "panes"
        ? await panes(frame, stream.id, this.#daemon, seen, signal)
        : await this.#text(frame, view, route, stream, header, seen, signal)
    if (end?.status !== this.#stream?.status) await this.#look(signal)
  }

  /**
   * The text, and what stands above it; its end.
   * @param {HTMLElement} frame
   * @param {string} view
   * @param {Route} route
   * @param {Stream} stream
   * @param {Header} header
   * @param {(offset: number) => void} seen
   * @param {AbortSignal} signal
   */
  async #text(frame, view, route, stream, header, seen, signal) {
    const content = element("div", { className: `text ${view}` })
    const above = [header.prompt(stream), remarks(this.#daemon, stream.id, () => hasEnded(this.#stream?.status ?? "done"), signal)]
    const page = element("div", { className: `page ${view}` }, ...above, content)
    const scroller = element("div", { className: "scroller", tabIndex: 0, ariaLabel: "Text" }, page)
    scroller.role = "region"
    const jump = element("button", { type: "button", className: "jump", hidden: true }, "Jump to end ↓")
    frame.append(scroller, jump)
    const renderer = view === "raw" ? new PlainText(content) : new Markdown(content)
    const text = new TextView(scroller, page, renderer, { stuck: !hasEnded(stream.status) && route.at === null, signal })
    text.addEventListener("end", () => (jump.hidden = text.atEnd))
    jump.addEventListener("click", () => text.jump())
    let sought = route.at
    for await (const piece of followed(this.#daemon, stream.id, { signal })) {
      if (piece.status !== "streaming") {
        await text.end()
        if (route.at !== null && isLost()) this.#seek(renderer, route)
        return piece
      }
      seen(piece.offset)
      await text.take(piece.text)
      if (sought !== null && piece.offset > sought) {
        await text.shown()
        this.#seek(renderer, route)
        sought = null
      } else if (route.at !== null && isLost()) {
        await text.shown()
        this.#seek(renderer, route, mark)
      }
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
   * @param {import("./text-view.js").Renderer} renderer
   * @param {Route} route
   * @param {(node: Element, words: string, before: number) => unknown} how
   */
  #seek(renderer, { words, at }, how = show) {
    const found = renderer.at(at ?? 0)
    if (found?.node instanceof Element) how(found.node, words, found.before)
  }

  /**
   * What is known of a stream, as soon as the daemon is in reach.
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {Promise<Stream>}
   */
  async #known(id, signal) {
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
    const stream = await this.#known(this.#id, signal)
    signal.throwIfAborted()
    this.#learn(stream)
  }

  /** @param {Stream} stream */
  #learn(stream) {
    this.#stream = stream
    this.#id = stream.id // of `@last` from then on, too
    this.#header?.tell(stream)
    this.tell(stream)
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
      if (!signal.aborted) location.hash = ""
      this.dispatchEvent(new Event("deleted"))
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
