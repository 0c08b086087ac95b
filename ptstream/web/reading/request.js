// What is asked, where, and by whom: the requests that read one stream.

/** @typedef {import("../ptstream.js").DriveOptions} DriveOptions */

/** Milliseconds without a byte after which a connection counts as lost: three of the servers' keep-alive comments. */
const SILENCE = 45_000

/**
 * Where what is driven at `url` is read.
 * @param {string | URL} url
 */
export const textOf = (url) => String(url).replace(/(\/streams\/[^/]+)\/drive(\?[^#]*)?$/, "$1/text")

/** @param {string | URL} url */
const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href)

/** One stream's requests. Throws TypeError for what cannot be asked. */
export class StreamRequest {
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
