// ptstream in a browser app, or under Node: follow a stream from an offset to its end, or drive one. Plain modules without
// dependencies, this one and those in `reading/`; `react.js` beside it is the hook.
//
// What is read: the daemon's `/streams/ID/text`, or a route of an app's own that answers with `pts.events(id, offset)`.
// A connection that breaks, says nothing for long, or may have died while the page slept, is taken up again at the offset
// that was reached, so that no text comes twice and none is missing. How the text ended is only what the store says.
//
// A browser has six connections to a server, for all its tabs. At most four of them last, over all tabs of an origin;
// who gets none of these, and who is behind a proxy that buffers what it hands on, polls every second for what there is.

import { Backoff, POLL_INTERVAL, pause, within } from "./reading/backoff.js"
import { Connection, LinkedSignal } from "./reading/connection.js"
import { Position, decoderOf } from "./reading/decoder.js"
import { StreamError, hasNoBody, isTemporary, throwIfAborted } from "./reading/errors.js"
import { StreamRequest, textOf } from "./reading/request.js"
import { DRIVES, FOLLOWS, takeSlot } from "./reading/slots.js"

export { StreamError }

/**
 * @typedef {import("./ptstream.js").Piece} Piece
 * @typedef {import("./ptstream.js").Options} Options
 * @typedef {import("./ptstream.js").DriveOptions} DriveOptions
 * @typedef {AsyncGenerator<Piece, void, undefined>} Pieces
 */

/** Milliseconds within which the first byte of a connection that lasts should come: else something may buffer them. */
const FIRST_BYTE = 1000

/** Milliseconds that the answer to a poll may take. */
const POLL_LENGTH = 1000

/**
 * Read a stream from byte `offset` to its end: an async iterator of `{text, offset, status, error, note}`.
 *
 * `offset` is where this text ends, in bytes of UTF-8: pass it back to go on. `status` is "streaming" until the last one,
 * which has no text, and the status, the cause and the note that the store has. Leaving the loop only stops reading.
 *
 * `headers` go with each request; a function is called for each, and may be async. `fetch` is used in place of the
 * global one: it must give a `response.body` to read as it comes, which React Native's own does not.
 *
 * Throws StreamError for what is refused or cannot be read, TypeError for what cannot be asked, what `headers` throws, and
 * the signal's reason when it is aborted. What may pass (no network, a server that restarts) is waited for, until then.
 *
 * @param {string | URL} url
 * @param {Options} options
 * @returns {Pieces}
 */
export async function* follow(url, options = {}) {
  const { offset } = new Position(options.offset ?? 0)
  yield* followed(new StreamRequest(url, options), offset)
}

/**
 * Have a stream written, and read it: the same iterator as `follow`'s, every piece as it comes.
 *
 * When it is first asked for its next, it sends POST (or `method`, with `headers` and `body`) to `url`: the daemon's
 * `/streams/ID/drive?live=1`, or a route of an app's own that answers with `pts.response(id, generate)`. When that
 * connection ends or breaks, or brings nothing, `follow` is where it reads on: the same URL, by GET, unless another is
 * given; of a daemon's stream, its text. A stream that is driven already is attached to, one that has ended is read:
 * asking again does no harm.
 *
 * @param {string | URL} url
 * @param {DriveOptions} options
 * @returns {Pieces}
 */
export async function* drive(url, options = {}) {
  const { method = "POST", body, follow: other = textOf(url), ...rest } = options
  let { offset } = new Position(options.offset ?? 0)
  const request = new StreamRequest(url, { ...rest, method, body })
  const backoff = new Backoff(request.signal)
  const follower = (/** @type {AbortSignal | undefined} */ signal) =>
    new StreamRequest(other, { ...rest, signal }).resolve(request.id)
  for (let begun = false; !begun; ) {
    const slot = await takeSlot(request.target, DRIVES)
    const post = new Reading(request, offset, slot)
    const pieces = sooner(post, (signal) => followed(follower(signal), offset), hasNoBody)
    try {
      for await (const piece of pieces) {
        throwIfAborted(request.signal)
        offset = piece.offset
        yield piece
        if (piece.status !== "streaming") return
      }
      begun = true
    } catch (error) {
      backoff.check(error)
      begun = post.connection.answered
    }
    if (!begun) await backoff.wait(post.connection.age)
  }
  yield* followed(follower(rest.signal), offset)
}

/**
 * The pieces from `offset` on, by one connection after the other.
 * @param {StreamRequest} request
 * @param {number} offset
 * @returns {Pieces}
 */
async function* followed(request, offset) {
  const backoff = new Backoff(request.signal)
  while (true) {
    const slot = backoff.lasting ? await takeSlot(request.target, FOLLOWS) : null
    const reading = new Reading(request, offset, slot)
    const pieces = slot ? sooner(reading, (signal) => polled(request.until(signal), offset)) : reading.pieces
    try {
      for await (const piece of pieces) {
        throwIfAborted(request.signal)
        backoff.reset()
        offset = piece.offset
        yield piece
        if (piece.status !== "streaming") return
      }
      if (reading.overtaken) backoff.buffered()
      if (!slot) backoff.poll()
    } catch (error) {
      backoff.check(error)
    }
    await backoff.wait(reading.connection.age)
  }
}

/**
 * What there is at `offset`, asked for until it is something.
 * @param {StreamRequest} request
 * @param {number} offset
 * @returns {Pieces}
 */
async function* polled(request, offset) {
  for (let some = false; !some; ) {
    try {
      for await (const piece of new Reading(request, offset, null).pieces) {
        some = true
        yield piece
      }
    } catch (error) {
      if (some || !isTemporary(error)) throw error
    }
    if (!some) await pause(POLL_INTERVAL, request.signal)
    throwIfAborted(request.signal)
  }
}

/**
 * What `reading` gives; but if no byte of it comes soon, and what `other` gives is there before, that.
 *
 * An error of the other's counts only if it `matters`: the answer may still come. Sets the reading's `overtaken` if it was.
 *
 * @param {Reading} reading
 * @param {(signal: AbortSignal) => Pieces} other
 * @param {(error: unknown) => boolean} matters
 * @returns {Pieces}
 */
async function* sooner(reading, other, matters = () => true) {
  const left = new LinkedSignal(reading.connection.request.signal)
  const ways = [reading.pieces]
  const first = reading.pieces.next()
  const proof = Promise.race([reading.connection.firstByte, first])
  let next = first
  first.catch(() => {}) // it may not be waited for
  try {
    if (!(await within(FIRST_BYTE, proof))) {
      ways.push(other(left.signal))
      const second = ways[1].next()
      const never = new Promise(() => {})
      const before = second.then(
        ({ done }) => !done || never,
        (error) => (matters(error) ? Promise.reject(error) : never),
      )
      reading.overtaken = Boolean(await Promise.race([before, proof.then(() => false)]))
      if (reading.overtaken) {
        next = second
        reading.connection.close()
      } else left.abort()
    }
    const { done, value } = await next
    if (done) return
    yield value
    yield* ways[reading.overtaken ? 1 : 0]
  } finally {
    reading.connection.close()
    left.abort()
    left.close()
    for (const way of ways) way.return().catch(() => {}) // also one that waits for being asked
  }
}

/** One answer of the stream from `offset` on; without a slot, only what there is. */
class Reading {
  overtaken = false

  /**
   * @param {StreamRequest} request
   * @param {number} offset
   * @param {import("./reading/slots.js").Slot | null} slot
   */
  constructor(request, offset, slot) {
    this.connection = new Connection(request, slot)
    this.pieces = this.#read(new Position(offset), request, Boolean(slot))
  }

  /**
   * @param {Position} position
   * @param {StreamRequest} request
   * @param {boolean} lasts
   * @returns {Pieces}
   */
  async *#read(position, request, lasts) {
    const { connection } = this
    try {
      const accept = lasts ? "text/event-stream" : "text/event-stream;until=now"
      const answer = await connection.ask(request.urlFrom(position.offset), accept)
      request.resolve(answer.headers.get("stream-id"))
      const decoder = decoderOf(answer, request.method, position)
      if (!decoder) return
      if (!lasts) connection.limit(POLL_LENGTH)
      for await (const bytes of connection.bytes(answer)) yield* decoder.read(bytes)
    } catch (error) {
      if (!connection.expired) throw error
    } finally {
      connection.close()
    }
  }
}
