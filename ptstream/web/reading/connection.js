// One request and its answer: given up when a signal says so, when nothing comes, or when the page has been away.

import { ConnectionLost, ConnectionMoved, NO_BODY, StreamError } from "./errors.js"
import { onWake } from "./wake.js"

/** @typedef {import("../ptstream.js").Answer} Answer */

/** Its `signal` is aborted with any of `signals`, or by itself; `close` lets go of those. */
export class LinkedSignal {
  #controller = new AbortController()
  /** @type {(() => void)[]} */
  #links = []

  /** @param {(AbortSignal | null | undefined)[]} signals */
  constructor(...signals) {
    this.signal = this.#controller.signal
    for (const signal of signals) {
      if (!signal) continue
      const abort = () => this.abort(signal.reason)
      signal.addEventListener("abort", abort)
      this.#links.push(() => signal.removeEventListener("abort", abort))
      if (signal.aborted) abort()
    }
  }

  /** @param {unknown} [reason] */
  abort(reason = new ConnectionLost("left")) {
    this.#controller.abort(reason)
  }

  close() {
    for (const unlink of this.#links.splice(0)) unlink()
  }
}

/** A connection for `request`; in a `slot` it may last, without one it is a poll. */
export class Connection {
  /** Whether there was an answer; and whether it has lasted for as long as it may. */
  answered = false
  expired = false
  #began = performance.now()
  #linked
  #slot
  #stop
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #limit
  /** @type {PromiseWithResolvers<boolean>} */
  #firstByte = withResolvers()

  /**
   * @param {import("./request.js").StreamRequest} request
   * @param {import("./slots.js").Slot | null} slot
   */
  constructor(request, slot) {
    this.request = request
    this.#slot = slot
    /** Kept when the first byte of a body is there. */
    this.firstByte = this.#firstByte.promise
    this.#linked = new LinkedSignal(request.signal, slot?.signal)
    this.#stop = onWake(() => this.#linked.abort(new ConnectionMoved("the page is back")))
  }

  /** Milliseconds since it began. */
  get age() {
    return performance.now() - this.#began
  }

  /**
   * The answer. Throws StreamError for a refusal, ConnectionLost where there is none.
   * @param {URL} url
   * @param {string} accept
   * @returns {Promise<Answer>}
   */
  async ask(url, accept) {
    const init = await this.#unlessAborted(this.request.init(accept))
    const fetch = this.request.fetch ?? globalThis.fetch
    const answer = await this.#heard(() => fetch(String(url), { ...init, signal: this.#linked.signal }))
    this.answered = true
    if (answer.ok) return answer
    const refusal = await this.#heard(() => answer.json()).then(
      (body) => body.error,
      () => null,
    )
    const error = new StreamError(refusal?.message ?? `HTTP ${answer.status}`, answer.status, refusal?.code)
    error.retryAfter = milliseconds(answer.headers.get("retry-after"))
    throw error
  }

  /**
   * The body's runs of bytes.
   * @param {Answer} answer
   * @returns {AsyncGenerator<Uint8Array, void, undefined>}
   */
  async *bytes({ body, status }) {
    const next = nextOf(body)
    if (!next) {
      const problem = "there is no response.body to read as it comes: pass a fetch that gives one as the option `fetch`"
      throw new StreamError(`${problem} (in React Native, that of expo/fetch)`, status, NO_BODY)
    }
    for (let run; !(run = await this.#heard(next)).done; ) {
      this.#firstByte.resolve(true)
      yield run.value
    }
  }

  /**
   * No longer than so many milliseconds.
   * @param {number} span
   */
  limit(span) {
    this.#limit = setTimeout(() => {
      this.expired = true
      this.#linked.abort()
    }, span)
  }

  /**
   * What is waited for; only meanwhile time runs, and not while whoever reads is busy. Throws ConnectionLost.
   * @template T
   * @param {() => Promise<T>} ask
   */
  async #heard(ask) {
    const timer = setTimeout(() => this.#linked.abort(new ConnectionLost("silence")), this.request.silence)
    try {
      return await this.#unlessAborted(ask())
    } catch (error) {
      const { aborted, reason } = this.#linked.signal
      throw aborted && reason instanceof ConnectionLost ? reason : new ConnectionLost("the connection is lost", { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Not every `fetch` heeds the signal.
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  async #unlessAborted(promise) {
    const { signal } = this.#linked
    const { promise: aborted, reject } = withResolvers()
    const leave = () => reject(signal.reason)
    signal.addEventListener("abort", leave)
    if (signal.aborted) leave()
    try {
      return await Promise.race([promise, aborted])
    } finally {
      signal.removeEventListener("abort", leave)
    }
  }

  close() {
    clearTimeout(this.#limit)
    this.#stop()
    this.#linked.abort()
    this.#linked.close()
    this.#slot?.release()
  }
}

/**
 * How the next run of a body is asked for: of one that can be read as it comes.
 * @param {Answer["body"]} body
 * @returns {(() => Promise<{ done?: boolean, value?: any }>) | null}
 */
function nextOf(body) {
  if (body && "getReader" in body) {
    const reader = body.getReader()
    return () => reader.read()
  }
  if (!body?.[Symbol.asyncIterator]) return null
  const iterator = body[Symbol.asyncIterator]()
  return () => iterator.next()
}

/** Promise.withResolvers, which React Native does not have. @returns {PromiseWithResolvers<any>} */
function withResolvers() {
  let resolve, reject
  const promise = new Promise((...both) => ([resolve, reject] = both))
  return /** @type {any} */ ({ promise, resolve, reject })
}

/**
 * Retry-After (RFC 9110, 10.2.3), seconds or a date, in milliseconds from now.
 * @param {string | null} value
 */
function milliseconds(value) {
  const wait = /^\d+$/.test(value ?? "") ? 1000 * Number(value) : Date.parse(value ?? "") - Date.now()
  return wait > 0 ? wait : 0
}
