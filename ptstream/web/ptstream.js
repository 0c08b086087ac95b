// ptstream in a browser app: follow a stream from an offset to its end, or drive one. Plain modules, no dependencies.
//
// What is read: the daemon's `/streams/ID/text`, or a route of an app's own that answers with `pts.events(id, offset)`.
// A connection that breaks, or says nothing for long, is taken up again at the offset that was reached, so that no text
// comes twice and none is missing.

/** Milliseconds without a byte, keep-alive comments included, after which a connection counts as lost. */
const SILENCE = 45_000

/** Milliseconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT. */
const FIRST_WAIT = 250
const LONGEST_WAIT = 15_000

/** Answers that a later try may not give. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504])

/** What the server says of a request that it refuses: `status` is the HTTP status, `code` ptstream's word for it. */
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
 * which has no text, and the status and the error that the store has. Throws StreamError for what is refused, and
 * the signal's reason when it is aborted. Leaving the loop only stops reading.
 */
export async function* follow(url, { offset = 0, signal, headers } = {}) {
  const place = { offset: Number(offset) }
  const tries = new Tries(signal)
  while (true) {
    const connection = new Connection(signal)
    try {
      const response = await connection.ask(withQuery(url, place.offset), { headers: { accept: "text/event-stream", ...headers } })
      for await (const event of events(connection.bytes(response))) {
        const read = decoded(event, response, place)
        if (!read) continue
        tries.begin()
        yield read
        if (read.status !== "streaming") return
      }
    } catch (error) {
      tries.check(error)
    } finally {
      connection.close()
    }
    await tries.wait()
  }
}

/**
 * Ask for a stream to be written, and read it: the same iterator as `follow`'s, every piece as it comes.
 *
 * `url` is asked with POST (or `method`): the daemon's `/streams/ID/drive?live=1`, or a route of an app's own that
 * answers with `pts.response(id, generate)`. `follow` is where the stream is read on when that connection ends or
 * breaks; the same URL unless another is given. A stream that is driven already is attached to.
 */
export async function* drive(url, { offset = 0, signal, headers, body, method = "POST", follow: other = url } = {}) {
  const place = { offset: 0 }
  const tries = new Tries(signal)
  for (let asked = false; !asked; ) {
    const connection = new Connection(signal)
    try {
      const response = await connection.ask(url, { method, body, headers })
      asked = true
      if (/^text\/plain/.test(response.headers.get("content-type") ?? "")) {
        const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
        for await (const bytes of connection.bytes(response)) {
          const fresh = after(bytes, place, place.offset, offset)
          const text = decoder.decode(fresh, { stream: true })
          if (text) yield { text, offset: place.offset, status: "streaming", error: null }
        }
      }
    } catch (error) {
      tries.check(error)
    } finally {
      connection.close()
    }
    if (!asked) await tries.wait()
  }
  yield* follow(other, { offset: Math.max(place.offset, offset), signal, headers })
}

/** Advance `place` over `bytes`, which begin at `start`; what of them lies behind `offset` and was not read before. */
function after(bytes, place, start, offset) {
  if (start > place.offset) throw new Lost(`bytes ${place.offset} to ${start} are missing`)
  const known = Math.min(bytes.length, Math.max(place.offset, offset) - start)
  place.offset = Math.max(place.offset, start + bytes.length)
  return bytes.subarray(known)
}

/** What an event of either kind says, null for one that says nothing new. */
function decoded({ event, data, id }, response, place) {
  const streaming = (text) => (text ? { text, offset: place.offset, status: "streaming", error: null } : null)
  if (event === "data") {
    const bytes = response.headers.get("stream-sse-data-encoding") === "base64" ? fromBase64(data) : encoder.encode(data)
    return streaming(text(after(bytes, place, place.offset, place.offset)))
  }
  if (event === "message") {
    const bytes = encoder.encode(JSON.parse(data))
    return streaming(text(after(bytes, place, Number(id) - bytes.length, place.offset)))
  }
  if (event === "control") {
    const told = JSON.parse(data)
    if (Number(told.streamNextOffset) !== place.offset) throw new Lost("the offsets do not fit")
    return told.streamClosed ? { text: "", offset: place.offset, status: told.status, error: told.error } : null
  }
  if (event === "end") {
    const told = JSON.parse(data)
    return { text: "", offset: told.offset, status: told.status, error: told.error }
  }
  return null
}

const encoder = new TextEncoder()
const text = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
const fromBase64 = (word) => Uint8Array.from(atob(word), (character) => character.charCodeAt(0))

/** Server-sent events out of bytes (WHATWG HTML, 9.2.6): their name, data and last id. */
async function* events(runs) {
  const decoder = new TextDecoder("utf-8")
  let rest = ""
  let event = { event: "message", data: [], id: "" }
  for await (const bytes of runs) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n")
    rest = lines.pop()
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line === "") {
        if (event.data.length) yield { ...event, data: event.data.join("\n") }
        event = { event: "message", data: [], id: event.id }
        continue
      }
      const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line)
      if (field === "data") event.data.push(value)
      else if (field === "event") event.event = value
      else if (field === "id") event.id = value
    }
  }
}

/** The connection broke, or brought what cannot be: ask again. */
class Lost extends Error {}

/** One request and its answer, given up after a silence. */
class Connection {
  constructor(signal) {
    signal?.throwIfAborted()
    this.controller = new AbortController()
    this.abort = () => this.controller.abort(signal.reason)
    this.signal = signal
    signal?.addEventListener("abort", this.abort)
  }

  async ask(url, { headers, ...request }) {
    this.heard()
    const response = await fetch(url, { ...request, headers, signal: this.controller.signal, cache: "no-store" })
    if (response.ok) return response
    const refusal = await response.json().then((told) => told.error, () => ({}))
    const error = new StreamError(refusal?.message ?? `HTTP ${response.status}`, response.status, refusal?.code)
    error.wait = 1000 * Number(response.headers.get("retry-after") ?? 0)
    throw error
  }

  async *bytes(response) {
    const reader = response.body.getReader()
    try {
      for (let run; !(run = await reader.read()).done; ) {
        this.heard()
        yield run.value
      }
    } finally {
      reader.cancel().catch(() => {})
    }
  }

  heard() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.controller.abort(new Lost("silence")), SILENCE)
  }

  close() {
    clearTimeout(this.timer)
    this.signal?.removeEventListener("abort", this.abort)
    this.controller.abort(new Lost("left"))
  }
}

/** How long to wait before another try, and what is not tried again. */
class Tries {
  constructor(signal) {
    this.signal = signal
    this.begin()
  }

  /** Something has come: the next loss is a new one. */
  begin() {
    this.next = FIRST_WAIT
    this.asked = 0
  }

  /** Rethrows what no further try can change. */
  check(error) {
    this.signal?.throwIfAborted()
    if (error instanceof StreamError && !PASSING.has(error.status)) throw error
    if (error instanceof SyntaxError) throw error
    this.asked = error.wait ?? 0
  }

  /** Until it is time, or the network is back. */
  async wait() {
    const span = Math.max(this.asked, this.next * (0.75 + Math.random() / 2))
    this.next = Math.min(2 * this.next, LONGEST_WAIT)
    await new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        globalThis.removeEventListener?.("online", done)
        this.signal?.removeEventListener("abort", done)
        this.signal?.aborted ? reject(this.signal.reason) : resolve()
      }
      const timer = setTimeout(done, span)
      globalThis.addEventListener?.("online", done)
      this.signal?.addEventListener("abort", done)
    })
  }
}

function withQuery(url, offset) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href
  const whole = new URL(url, base)
  whole.searchParams.set("offset", String(offset))
  whole.searchParams.set("live", "sse")
  whole.searchParams.set("encoding", "base64")
  return whole
}
