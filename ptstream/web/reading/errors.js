// What goes wrong while a stream is read, and whether another try may help.

/** Statuses of answers that another try may not get. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504])

/** The `code` of an answer whose body cannot be read as it comes. */
export const NO_BODY = "no-body"

/** What a server refuses, or answers that cannot be read: `status` is HTTP's, `code` ptstream's word for it, if any. */
export class StreamError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {string} [code]
   */
  constructor(message, status, code) {
    super(message)
    this.name = "StreamError"
    this.status = status
    this.code = code
    /** Milliseconds that the server wants to be left alone. */
    this.retryAfter = 0
  }
}

/** The connection broke, or brought what cannot be: ask again. */
export class ConnectionLost extends Error {}

/** Given up with no fault of anybody's: ask again at once. */
export class ConnectionMoved extends ConnectionLost {}

/** @param {unknown} error */
export const isTemporary = (error) =>
  error instanceof ConnectionLost || (error instanceof StreamError && TEMPORARY.has(error.status))

/** @param {unknown} error */
export const hasNoBody = (error) => error instanceof StreamError && error.code === NO_BODY

/** @param {number} status */
export const malformed = (status) => new StreamError("the answer is not a stream of ptstream's", status, "malformed")

/**
 * Throws the signal's reason if it is aborted.
 * @param {AbortSignal | null | undefined} signal
 */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw signal.reason ?? Object.assign(new Error("aborted"), { name: "AbortError" })
}
