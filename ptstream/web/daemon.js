// The daemon as the page asks it, all but the text of streams (ptstream.js): and whether it is in reach.

import { resume } from "./session.js"

/** Milliseconds that an answer may take. */
const LONGEST = 60_000

/** What the daemon says of a request that it refuses. */
export class Refusal extends Error {
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
  #resuming = null

  constructor() {
    super()
    addEventListener("offline", () => this.#become("lost"))
  }

  /** The JSON of its answer, null for an empty one. Throws Refusal, Unreachable, and the signal's reason. */
  async ask(path, { method = "GET", body, signal } = {}) {
    const limit = AbortSignal.timeout(LONGEST)
    const request = { method, cache: "no-store", signal: signal ? AbortSignal.any([signal, limit]) : limit }
    if (body) Object.assign(request, { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
    let response, told
    try {
      response = await fetch(path, request)
      told = await response.text()
    } catch {
      signal?.throwIfAborted()
      this.#become("lost")
      throw new Unreachable()
    }
    const error = response.ok ? null : complaint(told)
    if (response.status === 401) await this.#resume()
    this.#become(response.status !== 401 ? "found" : error?.code === "session-ended" ? "ended" : "locked")
    if (!response.ok) {
      throw new Refusal(error?.message ?? `The daemon answered ${response.status}.`, response.status)
    }
    return told ? JSON.parse(told) : null
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

  #become(state) {
    if (this.state === state) return
    this.state = state
    this.dispatchEvent(new Event("state"))
  }
}

/** Where a stream is, or what belongs to it. Like all paths here, it begins where the page is: see `enter` in page.py. */
export const pathOf = (id, what) => `streams/${encodeURIComponent(id)}${what ? `/${what}` : ""}`

function complaint(told) {
  try {
    return JSON.parse(told).error
  } catch {
    return null
  }
}
