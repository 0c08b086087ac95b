// What is known of streams that are shown, their prompts whole: asked of the daemon once, as soon as it is in reach.

import { turnsUpTo } from "./conversation.js"
import { Refusal, Unreachable, pathOf } from "./daemon.js"

/** Milliseconds before a daemon that is out of reach is asked again. */
const AGAIN = 1000

/** @typedef {import("./daemon.js").Stream} Stream */

export class KnownStreams {
  /** @type {Map<string, Stream>} */
  #known = new Map()
  #daemon
  #list

  /**
   * @param {import("./daemon.js").Daemon} daemon
   * @param {import("./list.js").List} list
   */
  constructor(daemon, list) {
    this.#daemon = daemon
    this.#list = list
  }

  /**
   * What a stream comes after, if that is known.
   * @param {string} id
   */
  parentOf(id) {
    return this.#known.get(id)?.parent
  }

  /** @param {Stream} stream */
  keep(stream) {
    this.#known.set(stream.id, stream)
  }

  /**
   * All but one, which is shown next.
   * @param {string} kept
   */
  forgetAllBut(kept) {
    for (const id of this.#known.keys()) if (id !== kept) this.#known.delete(id)
  }

  /** @param {string} id */
  forget(id) {
    this.#known.delete(id)
  }

  /**
   * What was known of a stream, or is found out. Throws Refusal, and the signal's reason.
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async get(id, signal) {
    return this.#known.get(id) ?? (await this.look(id, signal))
  }

  /**
   * What is known of a stream now.
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {Promise<Stream>}
   */
  async look(id, signal) {
    while (true) {
      try {
        const stream = await this.#daemon.ask(pathOf(id), { signal })
        this.keep(stream)
        return stream
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN))
      signal.throwIfAborted()
    }
  }

  /**
   * The conversation up to a stream, as `turnsUpTo` has it.
   * @param {Stream} stream
   * @param {AbortSignal} signal
   */
  async turnsUpTo(stream, signal) {
    // Those that the list names are asked for at once: each step from one to the next would be a round trip.
    await Promise.all(this.#list.above(stream).map((id) => this.get(id, signal).catch(unlessRefused)))
    return turnsUpTo(stream, (id) => this.get(id, signal))
  }
}

/** @param {unknown} error */
function unlessRefused(error) {
  if (!(error instanceof Refusal)) throw error
}
