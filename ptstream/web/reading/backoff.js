// How long to wait before another try, what is not tried again, and whether connections that last are of use.

import { ConnectionMoved, StreamError, isTemporary, throwIfAborted } from "./errors.js"
import { onWake } from "./wake.js"

/** Milliseconds between two polls: where a connection that lasts cannot be had, or is buffered on its way. */
export const POLL_INTERVAL = 1000

/** Milliseconds before a connection that lasts is tried again, where polling was faster; then doubled. */
const BUFFERED = 2000

/** Milliseconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT. */
const FIRST_WAIT = 250
const LONGEST_WAIT = 5000

/** The tries of one reader. */
export class Backoff {
  #lastingFrom = 0
  #buffered = BUFFERED
  #next = FIRST_WAIT
  #least = 0
  #most = Infinity

  /** @param {AbortSignal | undefined} signal */
  constructor(signal) {
    this.signal = signal
  }

  /** Whether the next one may be a connection that lasts. */
  get lasting() {
    return performance.now() >= this.#lastingFrom
  }

  /** Something on the way buffers what comes. */
  buffered() {
    this.#lastingFrom = performance.now() + this.#buffered
    this.#buffered *= 2
    this.poll()
  }

  /** Something has come: the next loss is a new one. */
  reset() {
    this.#next = FIRST_WAIT
  }

  /** All that there was has come. */
  poll() {
    this.reset()
    this.#least = this.#most = POLL_INTERVAL
  }

  /**
   * Rethrows what no other try can change.
   * @param {unknown} error
   */
  check(error) {
    throwIfAborted(this.signal)
    if (!isTemporary(error)) throw error
    this.#least = error instanceof StreamError ? error.retryAfter : 0
    if (error instanceof ConnectionMoved) this.#most = 0
  }

  /**
   * Until it is time, or the page is back. A connection that lasted for `age` milliseconds was a good one.
   * @param {number} age
   */
  async wait(age) {
    if (age > LONGEST_WAIT) this.reset()
    const span = Math.min(this.#most, Math.max(this.#least, this.#next * (0.75 + Math.random() / 2))) // not all at once
    if (this.#most === Infinity) this.#next = Math.min(2 * this.#next, LONGEST_WAIT)
    this.#least = 0
    this.#most = Infinity
    await pause(span, this.signal)
    throwIfAborted(this.signal)
  }
}

/**
 * So many milliseconds, but no longer than until the page is back, or the signal is aborted.
 * @param {number} span
 * @param {AbortSignal | undefined} signal
 */
export async function pause(span, signal) {
  if (!span || signal?.aborted) return
  await new Promise((/** @type {(none: void) => void} */ resolve) => {
    const done = () => {
      clearTimeout(timer)
      stop()
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, span)
    const stop = onWake(done)
    signal?.addEventListener("abort", done)
  })
}

/**
 * Whether the promise is kept within so many milliseconds. Throws what it does.
 * @param {number} span
 * @param {Promise<unknown>} promise
 */
export async function within(span, promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, span, false)))
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
