// What can be done with the stream that is open; what goes wrong with it is said.

import { Refusal, Unreachable, hasEnded, pathOf } from "./daemon.js"
import { only } from "./elements.js"
import { titleOf } from "./list.js"
import { hashOf } from "./route.js"

/** @typedef {import("./daemon.js").Stream} Stream */

/**
 * The stream that is open: what is known of it, and a signal that is aborted when it is no more.
 * @typedef {{ stream: Stream, signal: AbortSignal }} Open
 */

export class Actions {
  #dialog
  #daemon
  #notice
  #open
  #done

  /**
   * @param {HTMLDialogElement} dialog
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./notice.js").Notice} notice
   * @param {() => Open} open
   * @param {{ changed: (open: Open) => Promise<void>, deleted: (id: string) => void }} done
   */
  constructor(dialog, daemon, notice, open, done) {
    this.#dialog = dialog
    this.#daemon = daemon
    this.#notice = notice
    this.#open = open
    this.#done = done
  }

  cancel = () => this.#post("cancel")

  start = () => this.#post("drive")

  /** Another stream that begins with this one's text. */
  goOn = () =>
    this.#try(async ({ stream }) => {
      const { id } = await this.#daemon.ask("streams", { method: "POST", body: { parent: stream.id } })
      location.hash = hashOf({ id })
      await this.#daemon.ask(pathOf(id, "drive"), { method: "POST" })
    })

  remove = () =>
    this.#try(async ({ stream, signal }) => {
      if (!(await this.#sure(stream))) return
      await this.#daemon.ask(pathOf(stream.id), { method: "DELETE" })
      if (!signal.aborted) location.hash = ""
      this.#done.deleted(stream.id)
    })

  /** @param {string} what */
  #post(what) {
    return this.#try(async (open) => {
      await this.#daemon.ask(pathOf(open.stream.id, what), { method: "POST" })
      if (!open.signal.aborted) await this.#done.changed(open)
    })
  }

  /** @param {(open: Open) => Promise<void>} action */
  async #try(action) {
    const open = this.#open()
    try {
      await action(open)
    } catch (error) {
      if (open.signal.aborted && error === open.signal.reason) return
      if (!(error instanceof Refusal || error instanceof Unreachable)) throw error
      this.#notice.say(error.message)
    }
  }

  /**
   * Whether the text is really to go.
   * @param {Stream} stream
   */
  async #sure(stream) {
    /** @type {PromiseWithResolvers<boolean>} */
    const { promise, resolve } = Promise.withResolvers()
    const dialog = this.#dialog
    const listening = new AbortController()
    const running = hasEnded(stream.status) ? "" : " It is still being written, and would be cancelled."
    only("p", dialog).textContent = `Delete “${titleOf(stream)}” and its text, for good?${running}`
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
}
