// Server-sent events out of bytes (WHATWG HTML, 9.2.6), wherever these are cut.

/**
 * One event: its name and its data.
 * @typedef {{ event: string, data: string }} ServerSentEvent
 */

/** Takes bytes, gives the events that are complete. */
export class EventParser {
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
