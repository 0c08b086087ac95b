// ptstream in a browser app, or under Node: follow a stream from an offset to its end, or drive one. A plain module
// without dependencies; `react.js` beside it is the hook.
//
// What is read: the daemon's `/streams/ID/text`, or a route of an app's own that answers with `pts.events(id, offset)`.
// A connection that breaks, or says nothing for long, is taken up again at the offset that was reached, so that no text
// comes twice and none is missing. How the text ended is only what the store says.

/** Milliseconds without a byte after which a connection counts as lost: three of the servers' keep-alive comments. */
const SILENCE = 45_000

/** Milliseconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT. */
const FIRST_WAIT = 250
const LONGEST_WAIT = 15_000

/** Statuses of answers that another try may not get. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504])

/** What a server refuses, or answers that cannot be read: `status` is HTTP's, `code` ptstream's word for it, if any. */
export class StreamError extends Error {
  constructor(message, status, code) {
    super(message)
    this.name = "StreamError"
    this.status = status
    this.code = code
  }
}

/**
 * Read a stream from byte `offset` to its end: an async iterator of `{text, offset, status, error}`.
 *
 * `offset` is where this text ends, in bytes of UTF-8: pass it back to go on. `status` is "streaming" until the last one,
 * which has no text, and the status and the cause that the store has. Leaving the loop only stops reading.
 *
 * Throws StreamError for what is refused, TypeError for what cannot be asked, and the signal's reason when it is
 * aborted. What may pass (no network, a server that restarts) is waited for, until then.
 */
export async function* follow(url, { offset = 0, signal, headers, silence = SILENCE } = {}) {
  const place = new Place(offset)
  const target = absolute(url)
  const asked = { headers: new Headers(headers) }
  asked.headers.set("accept", "text/event-stream")
  check(target, asked)
  target.searchParams.set("live", "sse")
  target.searchParams.set("encoding", "base64") // in plain lines a carriage return would come out as a line feed
  const tries = new Tries(signal)
  while (true) {
    const connection = new Connection(signal, silence)
    try {
      target.searchParams.set("offset", String(place.offset))
      const response = await connection.ask(target, asked)
      if (!hasType(response, "text/event-stream")) throw notOurs(response)
      const reader = new EventReader(place, response)
      for await (const bytes of connection.bytes(response)) {
        for (const told of reader.read(bytes)) {
          signal?.throwIfAborted()
          tries.succeed()
          yield told
          if (told.status !== "streaming") return
        }
      }
    } catch (error) {
      tries.check(error)
    } finally {
      connection.close()
    }
    await tries.wait(connection.age)
  }
}

/**
 * Have a stream written, and read it: the same iterator as `follow`'s, every piece as it comes.
 *
 * When it is first asked for its next, it sends POST (or `method`, with `headers` and `body`) to `url`: the daemon's
 * `/streams/ID/drive?live=1`, or a route of an app's own that answers with `pts.response(id, generate)`. When that
 * connection ends or breaks, `follow` is where it reads on: the same URL, by GET, unless another is given; of a daemon's
 * stream, its text. A stream that is driven already is attached to, one that has ended is read: asking again does no
 * harm.
 */
export async function* drive(url, options = {}) {
  const { offset = 0, signal, headers, silence = SILENCE, body, method = "POST", follow: other = textOf(url) } = options
  const place = new Place(offset)
  const target = absolute(url)
  const asked = { method, body, headers: new Headers(headers) }
  check(target, asked)
  const tries = new Tries(signal)
  for (let answered = false; !answered; ) {
    const connection = new Connection(signal, silence)
    try {
      const response = await connection.ask(target, asked)
      answered = true
      if (hasType(response, "text/plain")) {
        const reader = new TextReader(place)
        for await (const bytes of connection.bytes(response)) {
          signal?.throwIfAborted()
          const text = reader.read(bytes)
          if (text) yield streaming(text, place)
        }
      }
    } catch (error) {
      tries.check(error)
    } finally {
      connection.close()
    }
    if (!answered) await tries.wait(connection.age)
  }
  yield* follow(other, { offset: place.offset, signal, headers, silence })
}

// --- what comes

const streaming = (text, place) => ({ text, offset: place.offset, status: "streaming", error: null })

/** How far the text has been read, in bytes. */
class Place {
  constructor(offset) {
    this.offset = Number(offset)
    if (!Number.isSafeInteger(this.offset) || this.offset < 0) throw new RangeError("an offset is a number of bytes")
  }

  /** The text of `bytes`, whole characters that end at byte `end`, as far as it is new: a server may begin earlier. */
  take(bytes, end) {
    const begin = end - bytes.length
    if (begin > this.offset) throw new Lost(`bytes ${this.offset} to ${begin} are missing`)
    if (end <= this.offset) return ""
    const fresh = bytes.subarray(this.offset - begin)
    if ((fresh[0] & 0xc0) === 0x80) throw new StreamError(`offset ${this.offset} lies inside a character`, 400, "usage")
    this.offset = end
    return decoder.decode(fresh)
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** The text of a body that is the stream from its first byte on, cut anywhere. */
class TextReader {
  constructor(place) {
    this.place = place
    this.end = 0
    this.rest = new Uint8Array()
  }

  read(run) {
    const bytes = joined(this.rest, run)
    const size = wholeCharacters(bytes)
    this.rest = bytes.slice(size)
    this.end += size
    return this.place.take(bytes.subarray(0, size), this.end)
  }
}

function joined(first, second) {
  if (!first.length) return second
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}

/** How many bytes there are before a character that is not all there. */
function wholeCharacters(bytes) {
  for (let size = bytes.length - 1; size >= 0 && size >= bytes.length - 3; size--) {
    const byte = bytes[size]
    if (byte < 0x80) break
    if (byte >= 0xc0) return size + (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > bytes.length ? size : bytes.length
  }
  return bytes.length
}

/** What the events of one answer tell: the daemon's, as Durable Streams has them, or those of `pts.events`. */
class EventReader {
  constructor(place, response) {
    this.place = place
    this.response = response
    this.parser = new EventParser()
    this.held = []
  }

  *read(bytes) {
    for (const event of this.parser.read(bytes)) {
      const told = this.told(event)
      if (told) yield told
    }
  }

  told({ event, data, id }) {
    if (event === "data") this.held.push(this.parsed(fromBase64, data))
    else if (event === "control") return this.control(this.parsed(JSON.parse, data))
    else if (event === "end") return this.end(this.parsed(JSON.parse, data))
    else if (event === "message") {
      const bytes = encoder.encode(this.parsed(JSON.parse, data))
      return this.text(bytes, this.number(id))
    }
    return null
  }

  /** Only this tells where the data before it ends. */
  control({ streamNextOffset, streamClosed, status, error }) {
    const end = this.number(streamNextOffset)
    const bytes = this.held.reduce(joined, new Uint8Array())
    this.held = []
    return bytes.length ? this.text(bytes, end) : streamClosed ? this.end({ offset: end, status, error }) : null
  }

  text(bytes, end) {
    const text = this.place.take(bytes, end)
    return text ? streaming(text, this.place) : null
  }

  end({ offset, status, error }) {
    if (offset > this.place.offset) throw new Lost(`bytes ${this.place.offset} to ${offset} are missing`)
    if (offset !== this.place.offset || typeof status !== "string") throw notOurs(this.response)
    return { text: "", offset, status, error: error ?? null }
  }

  number(word) {
    if (!/^\d{1,16}$/.test(word)) throw notOurs(this.response)
    return Number(word)
  }

  parsed(parse, data) {
    try {
      return parse(data)
    } catch {
      throw notOurs(this.response)
    }
  }
}

function fromBase64(word) {
  const characters = atob(word)
  const bytes = new Uint8Array(characters.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at)
  return bytes
}

/** Server-sent events out of bytes (WHATWG HTML, 9.2.6): each one's name, data, and the last id. */
class EventParser {
  constructor() {
    this.decoder = new TextDecoder()
    this.rest = ""
    this.returned = false
    this.begin("")
  }

  begin(id) {
    this.event = { event: "message", data: [], id }
  }

  *read(bytes) {
    const text = this.decoder.decode(bytes, { stream: true })
    if (!text) return
    const lines = text.split(/\r\n|\n|\r/)
    if (this.returned && text[0] === "\n") lines.shift() // the second half of a line's end
    this.returned = text.endsWith("\r")
    lines[0] = this.rest + lines[0]
    this.rest = lines.pop()
    for (const line of lines) {
      if (line) this.field(line)
      else {
        const { event, data, id } = this.event
        this.begin(id)
        if (data.length) yield { event, data: data.join("\n"), id }
      }
    }
  }

  field(line) {
    const colon = line.indexOf(":")
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (name === "data") this.event.data.push(value)
    else if (name === "event") this.event.event = value || "message"
    else if (name === "id") this.event.id = value
  }
}

// --- asking

/** Where what is driven at `url` is read. */
const textOf = (url) => String(url).replace(/(\/streams\/[^/]+)\/drive(\?[^#]*)?$/, "$1/text")

/** The connection broke, or brought what cannot be: ask again. */
class Lost extends Error {}

const notOurs = (response) => new StreamError("the answer is not a stream of ptstream's", response.status, "malformed")

const hasType = (response, type) => (response.headers.get("content-type") ?? "").toLowerCase().startsWith(type)

const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)

/** Throws TypeError for what cannot be asked, which `fetch` reports as if the network were gone. */
function check(url, request) {
  new Request(url, request)
}

/** One request and its answer, given up when the signal says so or nothing comes. */
class Connection {
  constructor(signal, silence) {
    signal?.throwIfAborted()
    this.signal = signal
    this.silence = silence
    this.began = performance.now()
    this.controller = new AbortController()
    this.abort = () => this.controller.abort(signal.reason)
    signal?.addEventListener("abort", this.abort)
  }

  /** Milliseconds since it began. */
  get age() {
    return performance.now() - this.began
  }

  /** The answer. Throws StreamError for a refusal. */
  async ask(url, request) {
    const { signal } = this.controller
    const response = await this.heard(fetch(url, { ...request, signal, cache: "no-store" }))
    if (response.ok) return response
    const refusal = await this.heard(response.json()).then((told) => told.error, () => null)
    const error = new StreamError(refusal?.message ?? `HTTP ${response.status}`, response.status, refusal?.code)
    error.retryAfter = milliseconds(response.headers.get("retry-after"))
    throw error
  }

  /** The body's runs of bytes. */
  async *bytes(response) {
    const reader = response.body.getReader()
    for (let run; !(run = await this.heard(reader.read())).done; ) yield run.value
  }

  /** What is waited for; only meanwhile time runs, and not while whoever reads is busy. */
  async heard(promise) {
    const timer = setTimeout(() => this.controller.abort(new Lost("silence")), this.silence)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
    }
  }

  close() {
    this.signal?.removeEventListener("abort", this.abort)
    this.controller.abort(new Lost("left"))
  }
}

/** Retry-After (RFC 9110, 10.2.3), seconds or a date, in milliseconds from now. */
function milliseconds(word) {
  const wait = /^\d+$/.test(word ?? "") ? 1000 * Number(word) : Date.parse(word) - Date.now()
  return wait > 0 ? wait : 0
}

/** How long to wait before another try, and what is not tried again. */
class Tries {
  constructor(signal) {
    this.signal = signal
    this.asked = 0
    this.succeed()
  }

  /** Something has come: the next loss is a new one. */
  succeed() {
    this.next = FIRST_WAIT
  }

  /** Rethrows what no other try can change. */
  check(error) {
    this.signal?.throwIfAborted()
    if (error instanceof StreamError && !PASSING.has(error.status)) throw error
    this.asked = error.retryAfter ?? 0
  }

  /** Until it is time, or the network is back. A connection that lasted for `age` milliseconds was a good one. */
  async wait(age) {
    if (age > LONGEST_WAIT) this.succeed()
    const span = Math.max(this.asked, this.next * (0.75 + Math.random() / 2)) // not all readers at the same moment
    this.next = Math.min(2 * this.next, LONGEST_WAIT)
    this.asked = 0
    const { signal } = this
    await new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        globalThis.removeEventListener?.("online", done)
        signal?.removeEventListener("abort", done)
        resolve()
      }
      const timer = setTimeout(done, span)
      globalThis.addEventListener?.("online", done)
      signal?.addEventListener("abort", done)
      if (signal?.aborted) done()
    })
    signal?.throwIfAborted()
  }
}
