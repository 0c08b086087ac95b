// The daemon as the page asks it, all but the text of streams (ptstream.js): and whether it is in reach.

import { resume } from "./session.js"

/** Milliseconds that an answer may take. */
const LONGEST = 60_000

/**
 * What is known of a stream, as far as the page shows it.
 * @typedef {object} Stream
 * @property {string} id
 * @property {string} status
 * @property {string} created_at
 * @property {number} bytes
 * @property {number} chunks
 * @property {string | null} [title]
 * @property {string | null} [name]
 * @property {string | null} [prompt]
 * @property {string | null} [system]
 * @property {string | null} [model]
 * @property {string[] | null} [command]
 * @property {string | null} [generator]
 * @property {string | null} [parent]
 * @property {number | null} [parent_offset]
 * @property {number | null} [seam]
 * @property {string | null} [error]
 * @property {string | null} [note]
 * @property {{ pieces: number, model: string | null, place: string | null }[]} attempts
 */

/** What the daemon says of a request that it refuses. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message)
    this.status = status
  }
}

/** The daemon cannot be reached: to be asked again. */
export class Unreachable extends Error {
  constructor() {
    super("The daemon cannot be reached just now.")
  }
}

/**
 * Sends "state" when `state` changes: "found", "lost" (out of reach), "locked" (this browser was not let in) or "ended" (it
 * was, and its session has ended).
 */
export class Daemon extends EventTarget {
  state = "found"
  /** @type {Promise<string | null> | null} */
  #resuming = null

  constructor() {
    super()
    addEventListener("offline", () => this.#become("lost"))
  }

  /**
   * The JSON of its answer, null for an empty one. Throws Refusal, Unreachable, and the signal's reason.
   * @param {string} path
   * @param {{ method?: string, body?: object, signal?: AbortSignal }} options
   * @returns {Promise<any>}
   */
  async ask(path, { method = "GET", body, signal } = {}) {
    const limit = AbortSignal.timeout(LONGEST)
    /** @type {RequestInit} */
    const request = { method, cache: "no-store", signal: signal ? AbortSignal.any([signal, limit]) : limit }
    if (body) Object.assign(request, { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
    let response, answer
    try {
      response = await fetch(path, request)
      answer = await response.text()
    } catch {
      signal?.throwIfAborted()
      this.#become("lost")
      throw new Unreachable()
    }
    const error = response.ok ? null : refusalIn(answer)
    if (response.status === 401) await this.#resume()
    this.#become(response.status !== 401 ? "found" : error?.code === "session-ended" ? "ended" : "locked")
    if (!response.ok) {
      throw new Refusal(error?.message ?? `The daemon answered ${response.status}.`, response.status)
    }
    return answer ? JSON.parse(answer) : null
  }

  /** Another daemon may know this browser's session: then the page is at another place now, and goes on there. */
  async #resume() {
    this.#resuming ??= resume().catch(() => null)
    const place = await this.#resuming
    this.#resuming = null
    if (!place || place === location.pathname) return
    location.replace(place + location.hash)
    await new Promise(() => {})
  }

  /** @param {string} state */
  #become(state) {
    if (this.state === state) return
    this.state = state
    this.dispatchEvent(new Event("state"))
  }
}

/** Sends news: events with something of which they tell. */
export class News extends EventTarget {
  /**
   * @param {string} name
   * @param {(detail: any) => void} hears
   */
  on(name, hears) {
    this.addEventListener(name, (event) => event instanceof CustomEvent && hears(event.detail))
  }

  /**
   * @param {string} name
   * @param {object} [detail]
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }
}

/** Whether nothing comes after this status. @param {string} status */
export const hasEnded = (status) => status !== "pending" && status !== "streaming"

/**
 * Where a stream is, or what belongs to it. Like all paths here, it begins where the page is: see `enter` in page.py.
 * @param {string} id
 * @param {string} [what]
 */
export const pathOf = (id, what) => `streams/${encodeURIComponent(id)}${what ? `/${what}` : ""}`

/** @param {string} answer */
function refusalIn(answer) {
  try {
    return JSON.parse(answer).error
  } catch {
    return null
  }
}
