// What stands above a conversation: of the stream that is open its title, how it stands, what it comes from, and what can be done with it.

import { hasEnded } from "./daemon.js"
import { dot, element } from "./elements.js"
import { size } from "./format.js"
import { titleOf } from "./list.js"
import { hashOf } from "./route.js"
import { clean, oneLine } from "./untrusted.js"

const VIEWS = { markdown: "Rendered", raw: "As written", panes: "Two panes" }

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {import("./route.js").Route} Route
 * @typedef {() => Promise<void>} Action
 */

/** The head of one stream; `actions` has `cancel`, `start`, `goOn` and `remove`. */
export class Header {
  #view
  #route
  #number
  #bytes = 0
  #title = element("h1", { dir: "auto" })
  #about = element("p", { className: "about" })
  #size = element("span", { className: "size" })
  #error = element("p", { className: "error", hidden: true, dir: "auto" })
  #actions
  #views = element("span", { className: "views", role: "group", ariaLabel: "View" })

  /**
   * @param {string} view
   * @param {Route} route
   * @param {number} number which turn of its conversation it is
   * @param {{ cancel: Action, start: Action, goOn: Action, remove: Action }} actions
   */
  constructor(view, route, number, { cancel, start, goOn, remove }) {
    this.#view = view
    this.#route = route
    this.#number = number
    this.#actions = {
      cancel: button("Cancel", cancel),
      start: button("Start", start),
      goOn: button("Go on from here", goOn),
      remove: button("Delete", remove),
    }
    const back = element("a", { href: "#", className: "back", textContent: "‹ Streams" })
    const actions = element("p", { className: "actions" }, this.#views, element("span", {}, ...Object.values(this.#actions)))
    this.element = element("header", {}, back, this.#title, this.#about, this.#error, actions)
  }

  /**
   * What is known of it now.
   * @param {Stream} stream
   */
  tell(stream) {
    const ended = hasEnded(stream.status)
    const foreign = Boolean(stream.command || stream.generator)
    this.#title.textContent = titleOf(stream)
    document.title = `${titleOf(stream)} · ptstream`
    this.#describe(stream)
    this.#error.textContent = clean(stream.error ?? stream.note)
    this.#error.className = stream.error ? "error" : "note"
    this.#error.hidden = !(stream.error ?? stream.note)
    this.#actions.cancel.hidden = ended
    this.#actions.start.hidden = stream.status !== "pending" || foreign
    this.#actions.goOn.hidden = !ended || foreign
    this.#views.replaceChildren(...Object.entries(VIEWS).map(([view, name]) => this.#link(stream, view, name)))
  }

  /**
   * Only its size is news, and it only grows.
   * @param {{ bytes: number }} stream
   */
  resize({ bytes }) {
    if (bytes < this.#bytes) return
    this.#bytes = bytes
    this.#size.textContent = size(bytes)
    this.#size.title = `${bytes.toLocaleString("en")} bytes`
  }

  /** @param {Stream} stream */
  #describe(stream) {
    const attempt = stream.attempts.at(-1)
    const model = attempt?.model ?? stream.model ?? stream.generator
    const parts = [dot(stream.status), this.#size]
    if (stream.command) parts.push(element("code", {}, oneLine(stream.command.join(" ")).slice(0, 200)))
    else if (model) parts.push(element("span", {}, oneLine(attempt?.place ? `${model} at ${attempt.place}` : model)))
    parts.push(element("time", { dateTime: stream.created_at }, new Date(stream.created_at).toLocaleString()))
    if (stream.parent) parts.push(this.#origin(stream))
    parts.push(element("code", { className: "id" }, stream.id))
    this.#about.replaceChildren(...parts)
    this.resize(stream)
  }

  /** @param {Stream} stream */
  #origin({ parent, parent_offset: at, seam }) {
    const link = element("a", { href: hashOf({ id: parent ?? "" }) }, parent)
    const turn = this.#number > 1 ? `turn ${this.#number}, ` : ""
    const said = seam !== 0 ? "goes on from " : at ? `${turn}comes after ` : `${turn}asked again, like `
    return element("span", {}, said, link, seam ? ` at byte ${at?.toLocaleString("en")}` : "")
  }

  /**
   * @param {Stream} stream
   * @param {string} view
   * @param {string} name
   */
  #link(stream, view, name) {
    const link = element("a", { href: hashOf({ ...this.#route, id: stream.id, view }), textContent: name })
    if (view === this.#view) link.setAttribute("aria-current", "true")
    return link
  }
}

/**
 * @param {string} name
 * @param {Action} action
 */
function button(name, action) {
  const made = element("button", { type: "button", textContent: name })
  made.addEventListener("click", async () => {
    made.disabled = true
    await action()
    made.disabled = false
  })
  return made
}
