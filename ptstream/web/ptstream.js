// ptstream in a browser app, or under Node: follow a stream from an offset to its end, or drive one. A plain module
// without dependencies, whole in this file; `react.js` beside it is the hook.
//
// What is read: the daemon's `/streams/ID/text`, or a route of an app's own that answers with `pts.events(id, offset)`.
// A connection that breaks, says nothing for long, or may have died while the page slept, is taken up again at the offset
// that was reached, so that no text comes twice and none is missing. How the text ended is only what the store says.
//
// A browser has six connections to a server, for all its tabs. At most four of them last, over all tabs of an origin;
// who gets none of these, and who is behind a proxy that hands nothing on before its end, asks every second for what
// there is.

/** Milliseconds without a byte after which a connection counts as lost: three of the servers' keep-alive comments. */
const SILENCE = 45_000

/** Milliseconds within which the first byte of a connection that lasts should come: else something may collect them. */
const PATIENCE = 1000

/** Milliseconds between two questions for what there is, and those that such an answer may take. */
const PAUSE = 1000
const BRIEF = 1000

/** Milliseconds before a connection that lasts is tried again, where asking for what there is was faster; then doubled. */
const COLLECTED = 2000

/** Milliseconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT. */
const FIRST_WAIT = 250
const LONGEST_WAIT = 5000

/** Milliseconds between two looks at the clock, and those by which it may be late: then the machine was asleep. */
const TICK = 2000
const ASLEEP = 10_000

/** Connections that last, for all tabs of an origin; where tabs cannot agree, each has one. */
const ROOMS = 4

/** Who may have one, the later ones before the earlier ones. */
const UNSEEN = 0
const FOLLOWS = 1
const DRIVES = 2

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
 */
export async function* follow(url, options = {}) {
  const place = new Place(options.offset ?? 0)
  yield* followed(new Asker(url, options), place.offset)
}

/**
 * Have a stream written, and read it: the same iterator as `follow`'s, every piece as it comes.
 *
 * When it is first asked for its next, it sends POST (or `method`, with `headers` and `body`) to `url`: the daemon's
 * `/streams/ID/drive?live=1`, or a route of an app's own that answers with `pts.response(id, generate)`. When that
 * connection ends or breaks, or brings nothing, `follow` is where it reads on: the same URL, by GET, unless another is
 * given; of a daemon's stream, its text. A stream that is driven already is attached to, one that has ended is read:
 * asking again does no harm.
 */
export async function* drive(url, options = {}) {
  const { method = "POST", body, follow: other = textOf(url), ...rest } = options
  let { offset } = new Place(options.offset ?? 0)
  const asker = new Asker(url, { ...rest, method, body })
  const tries = new Tries(asker.signal)
  const follower = (signal) => new Asker(other, { ...rest, signal }).meaning(asker.id)
  for (let begun = false; !begun; ) {
    const room = await takeRoom(asker.target, DRIVES)
    const post = new Answer(asker, offset, room)
    const reading = sooner(post, (signal) => followed(follower(signal), offset), isNoBody)
    try {
      for await (const told of reading) {
        stopIf(asker.signal)
        offset = told.offset
        yield told
        if (told.status !== "streaming") return
      }
      begun = true
    } catch (error) {
      tries.check(error)
      begun = post.connection.answered
    }
    if (!begun) await tries.wait(post.connection.age)
  }
  yield* followed(follower(rest.signal), offset)
}

/** What is told from `offset` on, by one connection after the other. */
async function* followed(asker, offset) {
  const tries = new Tries(asker.signal)
  while (true) {
    const room = tries.lasting ? await takeRoom(asker.target, FOLLOWS) : null
    const answer = new Answer(asker, offset, room)
    const reading = room ? sooner(answer, (signal) => asked(asker.under(signal), offset)) : answer.tellings
    try {
      for await (const told of reading) {
        stopIf(asker.signal)
        tries.succeed()
        offset = told.offset
        yield told
        if (told.status !== "streaming") return
      }
      if (answer.late) tries.collected()
      if (!room) tries.pause()
    } catch (error) {
      tries.check(error)
    }
    await tries.wait(answer.connection.age)
  }
}

/** What there is at `offset`, asked for until it is something. */
async function* asked(asker, offset) {
  for (let some = false; !some; ) {
    try {
      for await (const told of new Answer(asker, offset, null).tellings) {
        some = true
        yield told
      }
    } catch (error) {
      if (some || !isPassing(error)) throw error
    }
    if (!some) await pause(PAUSE, asker.signal)
    stopIf(asker.signal)
  }
}

/**
 * What `answer` tells; but if no byte of it comes soon, and what `other` gives is there before, that.
 *
 * An error of the other's counts only if it `matters`: the answer may still come. Sets the answer's `late` if it was.
 */
async function* sooner(answer, other, matters = () => true) {
  const left = new Linked(answer.connection.asker.signal)
  const ways = [answer.tellings]
  const first = answer.tellings.next()
  const proof = Promise.race([answer.connection.proven, first])
  let next = first
  first.catch(() => {}) // it may not be waited for
  try {
    if (!(await within(PATIENCE, proof))) {
      ways.push(other(left.signal))
      const second = ways[1].next()
      const never = new Promise(() => {})
      const before = second.then(
        ({ done }) => !done || never,
        (error) => (matters(error) ? Promise.reject(error) : never),
      )
      answer.late = await Promise.race([before, proof.then(() => false)])
      if (answer.late) {
        next = second
        answer.connection.close()
      } else left.abort()
    }
    const { done, value } = await next
    if (done) return
    yield value
    yield* ways[answer.late ? 1 : 0]
  } finally {
    answer.connection.close()
    left.abort()
    left.close()
    for (const way of ways) way.return().catch(() => {}) // also one that waits for being asked
  }
}

// --- what comes

const streaming = (text, place) => ({ text, offset: place.offset, status: "streaming", error: null, note: null })

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

  *read(run) {
    const bytes = joined(this.rest, run)
    const size = wholeCharacters(bytes)
    this.rest = bytes.slice(size)
    this.end += size
    const text = this.place.take(bytes.subarray(0, size), this.end)
    if (text) yield streaming(text, this.place)
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
  control({ streamNextOffset, streamClosed, status, error, note }) {
    const end = this.number(streamNextOffset)
    const bytes = this.held.reduce(joined, new Uint8Array())
    this.held = []
    return bytes.length ? this.text(bytes, end) : streamClosed ? this.end({ offset: end, status, error, note }) : null
  }

  text(bytes, end) {
    const text = this.place.take(bytes, end)
    return text ? streaming(text, this.place) : null
  }

  end({ offset, status, error, note }) {
    if (offset > this.place.offset) throw new Lost(`bytes ${this.place.offset} to ${offset} are missing`)
    if (offset !== this.place.offset || typeof status !== "string") throw notOurs(this.response)
    return { text: "", offset, status, error: error ?? null, note: note ?? null }
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

/** Lost with no fault of anybody's: ask again at once. */
class Moved extends Lost {}

const isPassing = (error) => error instanceof Lost || (error instanceof StreamError && PASSING.has(error.status))

const NO_BODY = "no-body"

const isNoBody = (error) => error instanceof StreamError && error.code === NO_BODY

const notOurs = (response) => new StreamError("the answer is not a stream of ptstream's", response.status, "malformed")

const hasType = (response, type) => (response.headers.get("content-type") ?? "").toLowerCase().startsWith(type)

const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)

/** Throws the signal's reason if it is aborted. */
function stopIf(signal) {
  if (signal?.aborted) throw signal.reason ?? Object.assign(new Error("aborted"), { name: "AbortError" })
}

/** What is asked, where, and by whom. Throws TypeError for what cannot be asked. */
class Asker {
  constructor(url, { signal, headers, fetch, silence = SILENCE, method = "GET", body }) {
    Object.assign(this, { signal, headers, fetch, silence, method, body })
    this.target = absolute(url)
    if (typeof headers !== "function") check(this, new Headers(headers))
    if (method !== "GET") return
    this.target.searchParams.set("live", "sse")
    this.target.searchParams.set("encoding", "base64") // in plain lines a carriage return would come out as a line feed
  }

  /** From the daemon's first answer on, which tells its id, `@last` is the stream that it was then. */
  meaning(id) {
    if (!id) return this
    this.id = id
    this.target.pathname = this.target.pathname.replace(/(\/streams\/)(?:@|%40)last(?=\/)/i, `$1${encodeURIComponent(id)}`)
    return this
  }

  /** The same, until another signal. */
  under(signal) {
    return Object.assign(Object.create(Asker.prototype), this, { signal })
  }

  async request(accept) {
    const { method, body } = this
    const headers = new Headers(typeof this.headers === "function" ? await this.headers() : this.headers)
    headers.set("accept", accept)
    check(this, headers)
    return { method, body, headers, cache: "no-store" }
  }
}

/** Throws TypeError for what cannot be asked, which `fetch` reports as if the network were gone. */
function check({ target, method, body }, headers) {
  new Request(target, { method, body, headers })
}

/** What one answer tells of the stream from `offset` on; without a room, only what there is. */
class Answer {
  late = false

  constructor(asker, offset, room) {
    this.connection = new Connection(asker, room)
    this.tellings = this.#told(new Place(offset), asker, room)
  }

  async *#told(place, asker, room) {
    const { connection } = this
    try {
      const url = new URL(asker.target)
      if (asker.method === "GET") url.searchParams.set("offset", String(place.offset))
      const response = await connection.ask(url, room ? "text/event-stream" : "text/event-stream;until=now")
      asker.meaning(response.headers.get("stream-id"))
      const reader = this.#reader(place, asker, response)
      if (!reader) return
      if (!room) connection.limit(BRIEF)
      for await (const bytes of connection.bytes(response)) yield* reader.read(bytes)
    } catch (error) {
      if (!connection.over) throw error
    } finally {
      connection.close()
    }
  }

  #reader(place, asker, response) {
    if (hasType(response, "text/event-stream")) return new EventReader(place, response)
    if (asker.method === "GET") throw notOurs(response)
    return hasType(response, "text/plain") ? new TextReader(place) : null
  }
}

/** Its `signal` is aborted with any of `signals`, or by itself; `close` lets go of those. */
class Linked {
  #controller = new AbortController()
  #links = []

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

  abort(reason = new Lost("left")) {
    this.#controller.abort(reason)
  }

  close() {
    for (const unlink of this.#links.splice(0)) unlink()
  }
}

/** One request and its answer, given up when the signal says so, nothing comes, or the page has been away. */
class Connection {
  /** Whether there was an answer; and whether it has lasted for as long as it may. */
  answered = false
  over = false
  #linked
  #room
  #stop
  #limit

  constructor(asker, room) {
    this.asker = asker
    this.#room = room
    this.began = performance.now()
    /** Kept when the first byte of a body is there. */
    this.proven = new Promise((resolve) => (this.prove = resolve))
    this.#linked = new Linked(asker.signal, room?.signal)
    this.#stop = whenBack(() => this.#linked.abort(new Moved("the page is back")))
  }

  /** Milliseconds since it began. */
  get age() {
    return performance.now() - this.began
  }

  /** The answer. Throws StreamError for a refusal, Lost where there is none. */
  async ask(url, accept) {
    const request = await this.#unlessLeft(this.asker.request(accept))
    const fetch = this.asker.fetch ?? globalThis.fetch
    const response = await this.#heard(() => fetch(String(url), { ...request, signal: this.#linked.signal }))
    this.answered = true
    if (response.ok) return response
    const refusal = await this.#heard(() => response.json()).then((told) => told.error, () => null)
    const error = new StreamError(refusal?.message ?? `HTTP ${response.status}`, response.status, refusal?.code)
    error.retryAfter = milliseconds(response.headers.get("retry-after"))
    throw error
  }

  /** The body's runs of bytes. */
  async *bytes({ body, status }) {
    if (!body?.getReader && !body?.[Symbol.asyncIterator]) {
      const told = "there is no response.body to read as it comes: pass a fetch that gives one as the option `fetch`"
      throw new StreamError(`${told} (in React Native, that of expo/fetch)`, status, NO_BODY)
    }
    const reader = body.getReader ? body.getReader() : body[Symbol.asyncIterator]()
    for (let run; !(run = await this.#heard(() => (reader.read ?? reader.next).call(reader))).done; ) {
      this.prove(true)
      yield run.value
    }
  }

  /** No longer than so many milliseconds. */
  limit(span) {
    this.#limit = setTimeout(() => {
      this.over = true
      this.#linked.abort()
    }, span)
  }

  /** What is waited for; only meanwhile time runs, and not while whoever reads is busy. Throws Lost. */
  async #heard(ask) {
    const timer = setTimeout(() => this.#linked.abort(new Lost("silence")), this.asker.silence)
    try {
      return await this.#unlessLeft(ask())
    } catch (error) {
      const { aborted, reason } = this.#linked.signal
      throw aborted && reason instanceof Lost ? reason : new Lost("the connection is lost", { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Not every `fetch` heeds the signal. */
  async #unlessLeft(promise) {
    const { signal } = this.#linked
    let leave
    const left = new Promise((_, reject) => {
      leave = () => reject(signal.reason)
      signal.addEventListener("abort", leave)
      if (signal.aborted) leave()
    })
    try {
      return await Promise.race([promise, left])
    } finally {
      signal.removeEventListener("abort", leave)
    }
  }

  close() {
    clearTimeout(this.#limit)
    this.#stop()
    this.#linked.abort()
    this.#linked.close()
    this.#room?.leave()
  }
}

/** Retry-After (RFC 9110, 10.2.3), seconds or a date, in milliseconds from now. */
function milliseconds(word) {
  const wait = /^\d+$/.test(word ?? "") ? 1000 * Number(word) : Date.parse(word) - Date.now()
  return wait > 0 ? wait : 0
}

/** How long to wait before another try, what is not tried again, and when connections that last are. */
class Tries {
  #again = 0
  #collected = COLLECTED

  constructor(signal) {
    this.signal = signal
    this.least = 0
    this.most = Infinity
    this.succeed()
  }

  /** Whether the next one may be a connection that lasts. */
  get lasting() {
    return performance.now() >= this.#again
  }

  /** Something on the way collects what comes. */
  collected() {
    this.#again = performance.now() + this.#collected
    this.#collected *= 2
    this.pause()
  }

  /** Something has come: the next loss is a new one. */
  succeed() {
    this.next = FIRST_WAIT
  }

  /** All that there was has come. */
  pause() {
    this.succeed()
    this.least = this.most = PAUSE
  }

  /** Rethrows what no other try can change. */
  check(error) {
    stopIf(this.signal)
    if (!isPassing(error)) throw error
    this.least = error.retryAfter ?? 0
    if (error instanceof Moved) this.most = 0
  }

  /** Until it is time, or the page is back. A connection that lasted for `age` milliseconds was a good one. */
  async wait(age) {
    if (age > LONGEST_WAIT) this.succeed()
    const span = Math.min(this.most, Math.max(this.least, this.next * (0.75 + Math.random() / 2))) // not all at once
    if (this.most === Infinity) this.next = Math.min(2 * this.next, LONGEST_WAIT)
    this.least = 0
    this.most = Infinity
    await pause(span, this.signal)
    stopIf(this.signal)
  }
}

/** So many milliseconds, but no longer than until the page is back, or the signal is aborted. */
async function pause(span, signal) {
  if (!span || signal?.aborted) return
  await new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      stop()
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, span)
    const stop = whenBack(done)
    signal?.addEventListener("abort", done)
  })
}

/** Whether the promise is kept within so many milliseconds. Throws what it does. */
async function within(span, promise) {
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, span, false)))
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

// --- being away

const isHidden = () => globalThis.document?.hidden ?? false

/**
 * Calls `back` when connections may have died unseen: the page can be seen again, is thawed or restored, the network is
 * there, or the machine has slept. Gives back how to call it off.
 */
export function whenBack(back) {
  const { document } = globalThis
  const listened = [
    [document, "visibilitychange", () => isHidden() || back()],
    [document, "resume", back],
    [globalThis, "online", back],
    [globalThis, "pageshow", ({ persisted }) => persisted && back()],
  ]
  for (const [target, name, heard] of listened) target?.addEventListener?.(name, heard)
  let due = Date.now() + TICK
  const timer = setInterval(() => {
    const late = Date.now() - due
    due = Date.now() + TICK
    if (late > ASLEEP && !isHidden()) back() // the timers of a page that nobody sees are late anyway
  }, TICK)
  return () => {
    clearInterval(timer)
    for (const [target, name, heard] of listened) target?.removeEventListener?.(name, heard)
  }
}

// --- room for connections

/** A connection that may last, until it is left, or `signal` tells that somebody else needs it more. */
class Room {
  #controller = new AbortController()
  #gone = []

  signal = this.#controller.signal

  /** What is to be done when it is left. */
  onLeave(does) {
    if (this.signal.aborted) does()
    else this.#gone.push(does)
  }

  leave(reason = new Moved("the connection is needed elsewhere")) {
    this.#controller.abort(reason)
    for (const does of this.#gone.splice(0)) does()
  }
}

/**
 * Room for a connection to `url` that lasts, null if there is none. Who drives goes before who follows, and both before a
 * page that nobody sees.
 */
export async function takeRoom(url, rank = FOLLOWS) {
  if (!isNarrow(url)) return new Room()
  const { locks } = globalThis.navigator ?? {}
  try {
    return await (locks ? roomOfAll(locks, `ptstream ${url.host}`, rank) : roomOfTab())
  } catch (error) {
    if (error.name !== "SecurityError") throw error
    return roomOfTab() // a frame without an origin
  }
}

/** Whether connections there are few: in a browser, unless it has one that carries any number of answers at a time. */
function isNarrow({ origin }) {
  if (!globalThis.location) return false
  const [page] = performance.getEntriesByType?.("navigation") ?? []
  return origin !== globalThis.location.origin || !/^h[23]/.test(page?.nextHopProtocol ?? "")
}

/** One of those that all tabs have together: each is a lock, and beside it a second one names the rank of who holds it. */
async function roomOfAll(locks, prefix, rank) {
  const room = new Room()
  const names = Array.from({ length: ROOMS }, (_, number) => `${prefix} ${number}`)
  const now = () => (isHidden() ? UNSEEN : rank)
  const take = async (name, options) => {
    const release = await held(locks, name, options, () => room.leave())
    if (!release) return null
    room.onLeave(release)
    mark(locks, name, now, room)
    return room
  }
  for (const name of names) {
    if (await take(name, { ifAvailable: true })) return room
  }
  const ranks = rankOf(await locks.query(), names)
  const lowest = Math.min(...ranks)
  return lowest < now() ? take(names[ranks.indexOf(lowest)], { steal: true }) : null
}

/** Of each room the highest rank that is marked; of one that is just being taken, none can be told. */
function rankOf({ held }, names) {
  return names.map((name) => {
    const ranks = held.filter((lock) => lock.name.startsWith(`${name} `)).map((lock) => Number(lock.name.at(-1)))
    return ranks.length ? Math.max(...ranks) : Infinity
  })
}

/** Marks the rank, and when the page gets out of sight, that. */
function mark(locks, name, rank, room) {
  const { document } = globalThis
  let unmark
  const again = () => {
    const before = unmark
    unmark = held(locks, `${name} ${rank()}`, { mode: "shared" })
    unmark.then(() => before?.then((release) => release?.()))
  }
  again()
  document?.addEventListener("visibilitychange", again)
  room.onLeave(() => {
    document?.removeEventListener("visibilitychange", again)
    unmark.then((release) => release?.())
  })
}

/** A lock: how to release it, null if it cannot be had. `lost` is called when it is taken away. */
function held(locks, name, options, lost = () => {}) {
  return new Promise((resolve, reject) => {
    const hold = (lock) => lock && new Promise((release) => resolve(release))
    locks.request(name, options, hold).then(() => resolve(null), (error) => {
      lost()
      reject(error)
    })
  })
}

const inTab = new Set()

/** Where tabs cannot agree: one in each that is seen. */
function roomOfTab() {
  if (inTab.size || isHidden()) return null
  const room = new Room()
  inTab.add(room)
  room.onLeave(() => inTab.delete(room))
  return room
}
