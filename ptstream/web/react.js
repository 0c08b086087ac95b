// A stream as one value, for React: the hook of an app whose answers are kept. Needs "react" (18 or 19) of the app's own.

import { useEffect, useRef, useState } from "react"
import { drive, follow } from "./ptstream.js"

const NOTHING = { text: "", status: "pending", error: null }

/**
 * The text of the stream at `url` and its status, as both grow: `{text, status, error}`.
 *
 * `driven` is true in the tab that asked, and there alone: it has the stream written (by POST to `drive`, or to `url`
 * itself) and sees every piece; all others follow it. What is there stays there while connections come and go, and when
 * `driven` changes. `status` is the store's: "pending", "streaming", then "done", "error", "timeout" or "cancelled".
 * `headers` and `body` go with the requests. Without a `url` it waits.
 */
export function useStream(url, { driven = false, drive: driveUrl, headers, body } = {}) {
  const key = url == null ? null : String(url)
  const target = driveUrl == null ? key : String(driveUrl)
  const sent = JSON.stringify([...new Headers(headers ?? {})])
  const kept = useRef({ key: null, offset: 0, ...NOTHING })
  const [shown, show] = useState({ key, ...NOTHING })

  useEffect(() => {
    if (key === null) return
    if (kept.current.key !== key) kept.current = { key, offset: 0, ...NOTHING }
    const stream = kept.current
    if (!["pending", "streaming"].includes(stream.status)) return
    const left = new AbortController()
    const frame = frames(() => show({ key, text: stream.text, status: stream.status, error: stream.error }))
    const options = { offset: stream.offset, signal: left.signal, headers: Object.fromEntries(JSON.parse(sent)) }
    const pieces = driven ? drive(target, { ...options, body, follow: key }) : follow(key, options)
    read(pieces, stream, frame, left.signal)
    return () => {
      left.abort()
      frame.cancel()
    }
  }, [key, target, driven, sent])

  const { text, status, error } = shown.key === key ? shown : NOTHING
  return { text, status, error }
}

async function read(pieces, stream, frame, signal) {
  try {
    for await (const piece of pieces) {
      if (signal.aborted) return
      stream.text += piece.text
      stream.offset = piece.offset
      stream.status = piece.status
      stream.error = piece.error
      frame.ask()
    }
  } catch (error) {
    if (signal.aborted) return
    stream.error = error.message // of the asking; the stream's own status is only what the store says
    frame.ask()
  }
}

/** Show at most once a frame, however many pieces come. In a hidden page there are no frames: then at once. */
function frames(show) {
  let asked = 0
  return {
    ask() {
      if (globalThis.document?.hidden) show()
      else asked ||= requestAnimationFrame(() => ((asked = 0), show()))
    },
    cancel() {
      cancelAnimationFrame(asked)
    },
  }
}
