// From the bytes of an answer to pieces of text, in the two forms that there are: plain text from the stream's first byte on,
// and the events of Durable Streams.

import { ConnectionLost, StreamError, malformed } from "./errors.js"
import { EventParser } from "./events.js"

/** @typedef {import("../ptstream.js").Piece} Piece */

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** How far the text has been read, in bytes. */
export class Position {
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
 * @param {import("../ptstream.js").Answer} answer
 * @param {string} method
 * @param {Position} position
 */
export function decoderOf(answer, method, position) {
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

  /** @param {import("./events.js").ServerSentEvent} event */
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
