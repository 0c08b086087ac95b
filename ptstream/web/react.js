"use client"
// A stream as one value, for React 18 and 19: the hook of an app whose answers are kept. Needs "react" of the app's own.
// `ptstream.js` beside it reads; here is only what React needs.

import { useEffect, useRef, useState } from "react"
import * as streams from "./ptstream.js"

/**
 * @typedef {import("./react.js").StreamOptions} StreamOptions
 * @typedef {{ text: string, status: import("./ptstream.js").Status, error: string | null }} Shown
 * @typedef {Shown & { key: string, offset: number }} Kept
 */

/** @type {Shown} */
const NOTHING = { text: "", status: "pending", error: null }

/** Milliseconds between two renders in a page that nobody sees. */
const UNSEEN = 250

/** Milliseconds that a render may take without a rest after it. */
const QUICK = 40

/**
 * The text of the stream at `url` and its status, as both grow: `{text, status, error}`.
 *
 * `driven` is true in the tab that asked, and there alone: it has the stream written (by POST to `drive`, or to `url`
 * itself) and sees every piece; all others follow it. What is there stays there while connections come and go, and when
 * `driven` or `headers` change. `status` is "pending" until there is text, "streaming" until the store has an end: then
 * "done", "error", "timeout" or "cancelled". `error` is the cause of a bad end, or why the stream cannot be read.
 * `headers` and `body` go with the requests; a function as `headers` is called for each, and may be async. `fetch` is used
 * in place of the global one. Without a `url` it waits.
 *
 * @param {string | URL | null | undefined} url
 * @param {StreamOptions} options
 * @returns {Shown}
 */
export function useStream(url, { driven = false, drive, headers, body, fetch } = {}) {
  const key = url == null ? null : String(url)
  const target = drive == null ? key : String(drive)
  const asksForHeaders = typeof headers === "function"
  const sent = asksForHeaders ? null : JSON.stringify([...new Headers(headers ?? {})])
  const kept = useRef(/** @type {Kept | null} */ (null))
  const latest = useRef({ body, headers, fetch })
  const [shown, show] = useState({ key, ...NOTHING })
  if (shown.key !== key) show({ key, ...NOTHING })

  useEffect(() => {
    latest.current = { body, headers, fetch }
  })

  useEffect(() => {
    if (key === null || target === null) return
    const stream = kept.current?.key === key ? kept.current : { key, offset: 0, ...NOTHING }
    kept.current = stream
    if (stream.status !== "pending" && stream.status !== "streaming") return
    const left = new AbortController()
    const pace = new Pace(() => show({ key, text: stream.text, status: stream.status, error: stream.error }))
    const latestHeaders = () => {
      const { headers } = latest.current
      return typeof headers === "function" ? headers() : headers
    }
    /** @type {import("./ptstream.js").Options} */
    const options = {
      offset: stream.offset,
      signal: left.signal,
      headers: sent === null ? latestHeaders : JSON.parse(sent),
      fetch: latest.current.fetch && ((url, request) => (latest.current.fetch ?? globalThis.fetch)(url, request)),
    }
    const pieces = driven
      ? streams.drive(target, { ...options, body: latest.current.body, follow: key })
      : streams.follow(key, options)
    read(pieces, stream, pace, left.signal)
    return () => {
      left.abort()
      pace.stop()
    }
  }, [key, target, driven, sent, asksForHeaders])

  const { text, status, error } = shown.key === key ? shown : NOTHING
  return { text, status, error }
}

/**
 * @param {AsyncIterable<import("./ptstream.js").Piece>} pieces
 * @param {Kept} stream
 * @param {Pace} pace
 * @param {AbortSignal} signal
 */
async function read(pieces, stream, pace, signal) {
  await null // in StrictMode the first effect is undone at once: nothing was asked then
  if (signal.aborted) return
  try {
    for await (const { text, offset, status, error } of pieces) {
      if (signal.aborted) return
      stream.text += text
      stream.offset = offset
      stream.status = status
      stream.error = error
      if (status === "streaming") pace.ask()
      else pace.show()
    }
  } catch (error) {
    if (signal.aborted) return
    stream.error = error instanceof Error ? error.message : String(error) // of the asking; the stream's own status is only what the store says
    pace.show()
  }
}

/**
 * Shows at once, then once a frame at most, however many pieces come. Where a text is so long that showing it takes
 * time, as much time is left to everything else: rendering stays a share of the time, whatever the length.
 */
class Pace {
  /** @param {() => void} show */
  constructor(show) {
    this.showNow = show
    this.due = false
    this.shownAt = 0
    this.frame = 0
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined
  }

  /** Show soon. */
  ask() {
    this.due = true
    if (this.frame && globalThis.document?.hidden) this.stop() // there are no frames any more
    if (!this.frame && !this.timer) this.show()
  }

  /** Show now. */
  show() {
    this.stop()
    this.due = false
    this.shownAt = performance.now()
    if (globalThis.document?.hidden || !globalThis.requestAnimationFrame) this.rest(UNSEEN)
    else {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0
        this.timer = setTimeout(() => this.painted()) // after the frame, and what layout took of it
      })
    }
    this.showNow()
  }

  painted() {
    const took = performance.now() - this.shownAt
    this.rest(took > QUICK ? took : 0)
  }

  /** @param {number} span */
  rest(span) {
    const over = () => {
      this.timer = undefined
      if (this.due) this.show()
    }
    if (span) this.timer = setTimeout(over, span)
    else over()
  }

  stop() {
    if (this.frame) cancelAnimationFrame(this.frame)
    clearTimeout(this.timer)
    this.frame = 0
    this.timer = undefined
  }
}
