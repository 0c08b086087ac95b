// The stream on the right: what it is, what can be done with it, and its text, or its two panes.

import { asides } from "./asides.js"
import { Refusal, Unreachable, pathOf } from "./daemon.js"
import { followed } from "./follow.js"
import { Head } from "./head.js"
import { isLost, mark, show } from "./hit.js"
import { Markdown } from "./markdown.js"
import { panes } from "./panes.js"
import { hashOf } from "./place.js"
import { Plain } from "./plain.js"
import { StreamError } from "./ptstream.js"
import { Text } from "./text.js"
import { element, hasEnded } from "./units.js"

/** Milliseconds before a daemon that is out of reach is asked again. */
const AGAIN = 1000

/** Sends "stream" with what is known of the open one, whenever that changes, and "deleted". */
export class Reader extends EventTarget {
  #article
  #dialog
  #daemon
  #notice
  #left = new AbortController()
  #place = { id: null }
  #stream = null
  #head = null

  constructor(article, dialog, daemon, notice) {
    super()
    this.#article = article
    this.#dialog = dialog
    this.#daemon = daemon
    this.#notice = notice
  }

  /** Show the stream of a place; nothing without one. */
  async open(place) {
    this.close()
    this.#place = place
    if (!place.id) return
    const { signal } = this.#left
    try {
      await this.#read(place, signal)
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

  /** What the list has seen. */
  know(seen) {
    if (seen.id !== this.#stream?.id) return
    if (seen.status !== this.#stream.status) this.#look(this.#left.signal).catch(ignored(this.#left.signal))
    else this.#head.resize(seen)
  }

  async #read(place, signal) {
    const stream = await this.#known(place.id, signal)
    const view = place.view ?? (stream.command ? "raw" : "markdown")
    this.#head = new Head(view, place, {
      cancel: () => this.#do("POST", "cancel"),
      start: () => this.#do("POST", "drive"),
      goOn: () => this.#goOn(),
      remove: () => this.#remove(),
    })
    const frame = element("div", { className: view === "panes" ? "panes" : "reading" })
    this.#article.replaceChildren(this.#head.element, frame)
    this.#article.hidden = false
    this.#tell(stream)
    const seen = (bytes) => this.#see(bytes, signal)
    const end =
      view === "panes"
        ? await panes(frame, stream.id, this.#daemon, seen, signal)
        : await this.#text(frame, view, place, seen, signal)
    if (end?.status !== this.#stream.status) await this.#look(signal)
  }

  /** The text, and what stands above it; its end. */
  async #text(frame, view, place, seen, signal) {
    const stream = this.#stream
    const content = element("div", { className: `text ${view}` })
    const above = [this.#head.prompt(stream), asides(this.#daemon, stream.id, () => hasEnded(this.#stream?.status ?? "done"), signal)]
    const page = element("div", { className: `page ${view}` }, ...above, content)
    const scroller = element("div", { className: "scroller", tabIndex: 0, ariaLabel: "Text" }, page)
    scroller.role = "region"
    const jump = element("button", { type: "button", className: "jump", hidden: true }, "Jump to end ↓")
    frame.append(scroller, jump)
    const renderer = view === "raw" ? new Plain(content) : new Markdown(content)
    const text = new Text(scroller, page, renderer, { stuck: !hasEnded(stream.status) && place.at === null, signal })
    text.addEventListener("end", () => (jump.hidden = text.atEnd))
    jump.addEventListener("click", () => text.jump())
    let sought = place.at
    for await (const piece of followed(this.#daemon, stream.id, { signal })) {
      if (piece.status !== "streaming") {
        await text.end()
        if (place.at !== null && isLost()) this.#seek(renderer, place)
        return piece
      }
      seen(piece.offset)
      await text.take(piece.text)
      if (sought !== null && piece.offset > sought) {
        await text.shown()
        this.#seek(renderer, place)
        sought = null
      } else if (place.at !== null && isLost()) {
        await text.shown()
        this.#seek(renderer, place, mark)
      }
    }
  }

  /** The text is there up to so many bytes. */
  #see(bytes, signal) {
    this.#head.resize({ bytes })
    if (this.#stream.status === "pending") this.#look(signal).catch(ignored(signal))
  }

  #seek(renderer, { words, at }, how = show) {
    const found = renderer.at(at)
    if (found) how(found.node, words, found.before)
  }

  /** What is known of a stream, as soon as the daemon is in reach. */
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

  async #look(signal) {
    this.#tell(await this.#known(this.#place.id, signal))
  }

  #tell(stream) {
    this.#stream = stream
    this.#head.tell(stream)
    this.dispatchEvent(new CustomEvent("stream", { detail: stream }))
  }

  async #do(method, what) {
    const { signal } = this.#left
    try {
      await this.#daemon.ask(pathOf(this.#stream.id, what), { method })
      if (!signal.aborted) await this.#look(signal)
    } catch (error) {
      this.#complain(error, signal)
    }
  }

  /** Another stream that begins with this one's text. */
  async #goOn() {
    const { signal } = this.#left
    try {
      const { id } = await this.#daemon.ask("streams", { method: "POST", body: { parent: this.#stream.id } })
      location.hash = hashOf({ id })
      await this.#daemon.ask(pathOf(id, "drive"), { method: "POST" })
    } catch (error) {
      this.#complain(error, signal)
    }
  }

  async #remove() {
    const { id } = this.#stream
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
    const { promise, resolve } = Promise.withResolvers()
    const dialog = this.#dialog
    const listening = new AbortController()
    const running = hasEnded(this.#stream.status) ? "" : " It is still being written, and would be cancelled."
    dialog.querySelector("p").textContent = `Delete this stream and its text, for good?${running}`
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

  #complain(error, signal) {
    if (signal.aborted && error === signal.reason) return
    if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
    this.#notice.say(error.message)
  }
}

/** For what is asked beside the text: its fault is shown where the text is read. */
function ignored(signal) {
  return (error) => {
    if (!signal.aborted && !(error instanceof Refusal)) throw error
  }
}
