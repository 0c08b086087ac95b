// A stream's text from an offset to its end, over sleep and lost networks.

import { whenBack } from "./back.js"
import { follow } from "./ptstream.js"
import { pathOf } from "./daemon.js"

/**
 * What `follow` gives, from one connection after the other: a new one as soon as the page is back, since the old one may
 * be dead without knowing it. With `stored`, out of the database alone.
 */
export async function* followed(id, { stored = false, signal }) {
  const url = `${pathOf(id, "text")}${stored ? "?stored=1" : ""}`
  let offset = 0
  let visit = new AbortController()
  whenBack((long) => long && visit.abort(), signal)
  while (true) {
    try {
      for await (const piece of follow(url, { offset, signal: AbortSignal.any([signal, visit.signal]) })) {
        offset = piece.offset
        yield piece
      }
      return
    } catch (error) {
      if (signal.aborted || !visit.signal.aborted) throw error
      visit = new AbortController()
    }
  }
}
