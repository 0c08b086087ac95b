// ptstream in a browser app, or under Node: follow a stream from an offset to its end, or drive one. Plain modules without
// dependencies: this one can be copied by itself. `react.js` beside it is the hook.
//
// What is read: the daemon's `/streams/ID/text`, or a route of an app's own that answers with `pts.events(id, offset)`.
// A connection that breaks, says nothing for long, or may have died while the page slept, is taken up again at the offset
// that was reached, so that no text comes twice and none is missing. How the text ended is only what the store says.
//
// A browser has six connections to a server, for all its tabs. At most four of them last, over all tabs of an origin;
// who gets none of these, and who is behind a proxy that buffers what it hands on, polls every second for what there is.

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
   * @param {Slot | null} slot
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

// What goes wrong while a stream is read, and whether another try may help.

/** Statuses of answers that another try may not get. */
const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504])

/** The `code` of an answer whose body cannot be read as it comes. */
const NO_BODY = "no-body"

/** What a server refuses, or answers that cannot be read: `status` is HTTP's, `code` ptstream's word for it, if any. */
class StreamError extends Error {
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
class ConnectionLost extends Error {}

/** Given up with no fault of anybody's: ask again at once. */
class ConnectionMoved extends ConnectionLost {}

/** @param {unknown} error */
const isTemporary = (error) =>
  error instanceof ConnectionLost || (error instanceof StreamError && TEMPORARY.has(error.status))

/** @param {unknown} error */
const hasNoBody = (error) => error instanceof StreamError && error.code === NO_BODY

/** @param {number} status */
const malformed = (status) => new StreamError("the answer is not a stream of ptstream's", status, "malformed")

/**
 * Throws the signal's reason if it is aborted.
 * @param {AbortSignal | null | undefined} signal
 */
function throwIfAborted(signal) {
  if (signal?.aborted) throw signal.reason ?? Object.assign(new Error("aborted"), { name: "AbortError" })
}

// When connections may have died unseen: the page was hidden or frozen, the network gone, the machine asleep.

/** Milliseconds between two looks at the clock, and those by which it may be late: then the machine was asleep. */
const TICK = 2000
const ASLEEP = 10_000

const isHidden = () => globalThis.document?.hidden ?? false

/**
 * Calls `wake` when the page can be seen again, is thawed or restored, the network is there, or the machine has slept. Gives
 * back how to call it off.
 * @param {() => unknown} wake
 */
function onWake(wake) {
  const { document } = globalThis
  /** @type {[EventTarget, string, (event: any) => unknown][]} */
  const listened = [
    [document, "visibilitychange", () => isHidden() || wake()],
    [document, "resume", wake],
    [globalThis, "online", wake],
    [globalThis, "pageshow", ({ persisted }) => persisted && wake()],
  ]
  for (const [target, name, heard] of listened) target?.addEventListener?.(name, heard)
  let due = Date.now() + TICK
  const timer = setInterval(() => {
    const late = Date.now() - due
    due = Date.now() + TICK
    if (late > ASLEEP && !isHidden()) wake() // the timers of a page that nobody sees are late anyway
  }, TICK)
  return () => {
    clearInterval(timer)
    for (const [target, name, heard] of listened) target?.removeEventListener?.(name, heard)
  }
}

// How long to wait before another try, what is not tried again, and whether connections that last are of use.


/** Milliseconds between two polls: where a connection that lasts cannot be had, or is buffered on its way. */
const POLL_INTERVAL = 1000

/** Milliseconds before a connection that lasts is tried again, where polling was faster; then doubled. */
const BUFFERED = 2000

/** Milliseconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT. */
const FIRST_WAIT = 250
const LONGEST_WAIT = 5000

/** The tries of one reader. */
class Backoff {
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
async function pause(span, signal) {
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
async function within(span, promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, span, false)))
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

// One request and its answer: given up when a signal says so, when nothing comes, or when the page has been away.


/** @typedef {import("./ptstream.js").Answer} Answer */

/** Its `signal` is aborted with any of `signals`, or by itself; `close` lets go of those. */
class LinkedSignal {
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
class Connection {
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
   * @param {StreamRequest} request
   * @param {Slot | null} slot
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

// Server-sent events out of bytes (WHATWG HTML, 9.2.6), wherever these are cut.

/**
 * One event: its name and its data.
 * @typedef {{ event: string, data: string }} ServerSentEvent
 */

/** Takes bytes, gives the events that are complete. */
class EventParser {
  #decoder = new TextDecoder()
  #rest = ""
  #returned = false
  #event = "message"
  /** @type {string[]} */
  #data = []

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":")
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (name === "data") this.#data.push(value)
    else if (name === "event") this.#event = value || "message"
  }

  /**
   * @param {Uint8Array} bytes
   * @returns {Generator<ServerSentEvent, void, undefined>}
   */
  *read(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (!text) return
    const lines = text.split(/\r\n|\n|\r/)
    if (this.#returned && text[0] === "\n") lines.shift() // the second half of a line's end
    this.#returned = text.endsWith("\r")
    lines[0] = this.#rest + lines[0]
    this.#rest = lines.pop() ?? ""
    for (const line of lines) {
      if (line) this.#field(line)
      else {
        const [event, data] = [this.#event, this.#data]
        this.#event = "message"
        this.#data = []
        if (data.length) yield { event, data: data.join("\n") }
      }
    }
  }
}

// From the bytes of an answer to pieces of text, in the two forms that there are: plain text from the stream's first byte on,
// and the events of Durable Streams.


const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** How far the text has been read, in bytes. */
class Position {
  /** @param {number | string} offset */
  constructor(offset) {
    this.offset = Number(offset)
    if (!Number.isSafeInteger(this.offset) || this.offset < 0) throw new RangeError("an offset is a number of bytes")
  }

  /**
   * The piece that `bytes` are, whole characters that end at byte `end`, as far as they are new: a server may begin earlier.
   * @param {Uint8Array} bytes
   * @param {number} end
   * @returns {Piece | null}
   */
  advance(bytes, end) {
    const begin = end - bytes.length
    if (begin > this.offset) throw new ConnectionLost(`bytes ${this.offset} to ${begin} are missing`)
    if (end <= this.offset) return null
    const fresh = bytes.subarray(this.offset - begin)
    if ((fresh[0] & 0xc0) === 0x80) throw new StreamError(`offset ${this.offset} lies inside a character`, 400, "usage")
    this.offset = end
    const text = decoder.decode(fresh)
    return text ? { text, offset: end, status: "streaming", error: null, note: null } : null
  }
}

/**
 * What makes pieces of an answer's bytes; null for one that has none.
 * @param {import("./ptstream.js").Answer} answer
 * @param {string} method
 * @param {Position} position
 */
function decoderOf(answer, method, position) {
  const type = (answer.headers.get("content-type") ?? "").toLowerCase()
  if (type.startsWith("text/event-stream")) return new EventDecoder(position, answer.status)
  if (method === "GET") throw malformed(answer.status)
  return type.startsWith("text/plain") ? new TextStreamDecoder(position) : null
}

/** A body that is the stream from its first byte on, cut anywhere. */
class TextStreamDecoder {
  #end = 0
  /** @type {Uint8Array} */
  #rest = new Uint8Array()

  /** @param {Position} position */
  constructor(position) {
    this.position = position
  }

  /**
   * @param {Uint8Array} run
   * @returns {Generator<Piece, void, undefined>}
   */
  *read(run) {
    const bytes = joined(this.#rest, run)
    const size = wholeCharacters(bytes)
    this.#rest = bytes.slice(size)
    this.#end += size
    const piece = this.position.advance(bytes.subarray(0, size), this.#end)
    if (piece) yield piece
  }
}

/** A body of events: `data`, which is base64, and `control` (Durable Streams, 5.8). */
class EventDecoder {
  #parser = new EventParser()
  /** @type {Uint8Array} Data of which it is not known yet where it ends. */
  #data = new Uint8Array()

  /**
   * @param {Position} position
   * @param {number} status
   */
  constructor(position, status) {
    this.position = position
    this.status = status
  }

  /**
   * @param {Uint8Array} bytes
   * @returns {Generator<Piece, void, undefined>}
   */
  *read(bytes) {
    for (const event of this.#parser.read(bytes)) {
      const piece = this.#piece(event)
      if (piece) yield piece
    }
  }

  /** @param {ServerSentEvent} event */
  #piece({ event, data }) {
    if (event === "control") return this.#control(this.#parsed(JSON.parse, data) ?? {})
    if (event === "data") this.#data = joined(this.#data, this.#parsed(fromBase64, data))
    return null
  }

  /**
   * Only this says where the data before it ends.
   * @param {any} control
   */
  #control({ streamNextOffset, streamClosed, ...end }) {
    const offset = this.#number(streamNextOffset)
    const bytes = this.#data
    this.#data = new Uint8Array()
    if (bytes.length) return this.position.advance(bytes, offset)
    return streamClosed ? this.#end({ ...end, offset }) : null
  }

  /**
   * @param {any} end
   * @returns {Piece}
   */
  #end({ offset, status, error, note }) {
    if (offset > this.position.offset) {
      throw new ConnectionLost(`bytes ${this.position.offset} to ${offset} are missing`)
    }
    if (offset !== this.position.offset || typeof status !== "string") throw malformed(this.status)
    return { text: "", offset, status: /** @type {Piece["status"]} */ (status), error: error ?? null, note: note ?? null }
  }

  /** @param {string} digits */
  #number(digits) {
    if (!/^\d{1,16}$/.test(digits)) throw malformed(this.status)
    return Number(digits)
  }

  /**
   * @template T
   * @param {(data: string) => T} parse
   * @param {string} data
   */
  #parsed(parse, data) {
    try {
      return parse(data)
    } catch {
      throw malformed(this.status)
    }
  }
}

/** @param {string} data */
function fromBase64(data) {
  const characters = atob(data)
  const bytes = new Uint8Array(characters.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at)
  return bytes
}

/**
 * @param {Uint8Array} first
 * @param {Uint8Array} second
 */
function joined(first, second) {
  if (!first.length) return second
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}

/**
 * How many bytes there are before a character that is not all there.
 * @param {Uint8Array} bytes
 */
function wholeCharacters(bytes) {
  for (let size = bytes.length - 1; size >= 0 && size >= bytes.length - 3; size--) {
    const byte = bytes[size]
    if (byte < 0x80) break
    if (byte >= 0xc0) return size + (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > bytes.length ? size : bytes.length
  }
  return bytes.length
}

// What is asked, where, and by whom: the requests that read one stream.


/** Milliseconds without a byte after which a connection counts as lost: three of the servers' keep-alive comments. */
const SILENCE = 45_000

/**
 * Where what is driven at `url` is read.
 * @param {string | URL} url
 */
const textOf = (url) => String(url).replace(/(\/streams\/[^/]+)\/drive(\?[^#]*)?$/, "$1/text")

/** @param {string | URL} url */
const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)

/** One stream's requests. Throws TypeError for what cannot be asked. */
class StreamRequest {
  /** @type {string | null} */
  id = null

  /**
   * @param {string | URL} url
   * @param {DriveOptions} options
   */
  constructor(url, { signal, headers, fetch, silence = SILENCE, method = "GET", body }) {
    this.signal = signal
    this.headers = headers
    this.fetch = fetch
    this.silence = silence
    this.method = method
    this.body = body
    this.target = absolute(url)
    if (typeof headers !== "function") check(this, new Headers(headers))
  }

  /**
   * From the daemon's first answer on, which has its id, `@last` is the stream that it was then.
   * @param {string | null} id
   */
  resolve(id) {
    if (!id) return this
    this.id = id
    this.target.pathname = this.target.pathname.replace(/(\/streams\/)(?:@|%40)last(?=\/)/i, `$1${encodeURIComponent(id)}`)
    return this
  }

  /**
   * The same, and what it resolves, until another signal.
   * @param {AbortSignal} signal
   * @returns {StreamRequest}
   */
  until(signal) {
    return Object.assign(Object.create(StreamRequest.prototype), this, { signal })
  }

  /**
   * The address that gives the text from byte `offset` on.
   * @param {number} offset
   */
  urlFrom(offset) {
    const url = new URL(this.target)
    if (this.method !== "GET") return url
    url.searchParams.set("live", "sse")
    url.searchParams.set("encoding", "base64") // in plain lines a carriage return would come out as a line feed
    url.searchParams.set("offset", String(offset))
    return url
  }

  /**
   * What `fetch` is given.
   * @param {string} accept
   */
  async init(accept) {
    const { method, body } = this
    const headers = new Headers(typeof this.headers === "function" ? await this.headers() : this.headers)
    headers.set("accept", accept)
    check(this, headers)
    return { method, body, headers, cache: /** @type {const} */ ("no-store") }
  }

}

/**
 * Throws TypeError for what cannot be asked, which `fetch` reports as if the network were gone.
 * @param {StreamRequest} request
 * @param {Headers} headers
 */
function check({ target, method, body }, headers) {
  new Request(target, { method, body, headers })
}

// Slots for connections that last. A browser has six connections to a server, for all its tabs: so at most four of them
// last, over all tabs of an origin (Web Locks). Who drives goes before who follows, and both before a page that nobody sees.


/** Connections that last, for all tabs of an origin; where tabs cannot agree, each has one. */
const SLOTS = 4

/** Who may have one, the later ones before the earlier ones. */
const HIDDEN = 0
const REMARKS = 0
const FOLLOWS = 1
const DRIVES = 2

/** A connection that may last, until it is released, or `signal` says that somebody else needs it more. */
class Slot {
  #controller = new AbortController()
  /** @type {(() => void)[]} */
  #released = []

  signal = this.#controller.signal

  /**
   * What is to be done when it is released.
   * @param {() => void} does
   */
  onRelease(does) {
    if (this.signal.aborted) does()
    else this.#released.push(does)
  }

  release(reason = new ConnectionMoved("the connection is needed elsewhere")) {
    this.#controller.abort(reason)
    for (const does of this.#released.splice(0)) does()
  }
}

/**
 * A slot for a connection to `url` that lasts, null if there is none.
 * @param {URL} url
 * @param {number} priority
 */
async function takeSlot(url, priority) {
  if (!areFew(url)) return new Slot()
  const { locks } = globalThis.navigator ?? {}
  try {
    return await (locks ? slotOfOrigin(locks, `ptstream ${url.host}`, priority) : slotOfTab())
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "SecurityError") throw error
    return slotOfTab() // a frame without an origin
  }
}

/**
 * Whether connections there are few: in a browser, unless it has one that carries any number of answers at a time.
 * @param {URL} url
 */
function areFew({ origin }) {
  if (!globalThis.location) return false
  const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType?.("navigation") ?? [])
  return origin !== globalThis.location.origin || !/^h[23]/.test(page?.nextHopProtocol ?? "")
}

/**
 * One of those that all tabs have together: each is a lock, and beside it a second one names the priority of who holds it.
 * @param {LockManager} locks
 * @param {string} prefix
 * @param {number} priority
 * @returns {Promise<Slot | null>}
 */
async function slotOfOrigin(locks, prefix, priority) {
  const slot = new Slot()
  const names = Array.from({ length: SLOTS }, (_, number) => `${prefix} ${number}`)
  const now = () => (isHidden() ? HIDDEN : priority)
  const take = async (/** @type {string} */ name, /** @type {LockOptions} */ options) => {
    const release = await held(locks, name, options, () => slot.release())
    if (!release) return null
    slot.onRelease(release)
    mark(locks, name, now, slot)
    return slot
  }
  for (const name of names) {
    if (await take(name, { ifAvailable: true })) return slot
  }
  const priorities = prioritiesOf(await locks.query(), names)
  const lowest = Math.min(...priorities)
  return lowest < now() ? take(names[priorities.indexOf(lowest)], { steal: true }) : null
}

/**
 * Of each slot the highest priority that is marked; of one that is just being taken, none is known.
 * @param {LockManagerSnapshot} snapshot
 * @param {string[]} names
 */
function prioritiesOf({ held = [] }, names) {
  const all = held.map((lock) => lock.name ?? "")
  return names.map((name) => {
    const marked = all.filter((lock) => lock.startsWith(`${name} `)).map((lock) => Number(lock.at(-1)))
    return marked.length ? Math.max(...marked) : Infinity
  })
}

/**
 * Marks the priority, and when the page gets out of sight, that.
 * @param {LockManager} locks
 * @param {string} name
 * @param {() => number} priority
 * @param {Slot} slot
 */
function mark(locks, name, priority, slot) {
  const { document } = globalThis
  /** @type {ReturnType<typeof held> | undefined} */
  let unmark
  const again = () => {
    const before = unmark
    unmark = held(locks, `${name} ${priority()}`, { mode: "shared" })
    unmark.then(() => before?.then((release) => release?.()))
  }
  again()
  document?.addEventListener("visibilitychange", again)
  slot.onRelease(() => {
    document?.removeEventListener("visibilitychange", again)
    unmark?.then((release) => release?.())
  })
}

/**
 * A lock: how to release it, null if it cannot be had. `lost` is called when it is taken away.
 * @param {LockManager} locks
 * @param {string} name
 * @param {LockOptions} options
 * @returns {Promise<(() => void) | null>}
 */
function held(locks, name, options, lost = () => {}) {
  return new Promise((resolve, reject) => {
    const hold = (/** @type {Lock | null} */ lock) =>
      lock && new Promise((/** @type {(none: void) => void} */ release) => resolve(release))
    locks.request(name, options, hold).then(
      () => resolve(null),
      (error) => {
        lost()
        reject(error)
      },
    )
  })
}

const inTab = new Set()

/** Where tabs cannot agree: one in each that is seen. */
function slotOfTab() {
  if (inTab.size || isHidden()) return null
  const slot = new Slot()
  inTab.add(slot)
  slot.onRelease(() => inTab.delete(slot))
  return slot
}

// For the page, which reads what is said beside a text in the same way.
export { Backoff, Connection, EventParser, REMARKS, StreamRequest, isTemporary, onWake, takeSlot }
