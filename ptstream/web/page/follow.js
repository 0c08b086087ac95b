// A stream's text from its beginning to its end, over sleep, other tabs and lost networks.

import { follow } from "../ptstream.js"
import { pathOf } from "./daemon.js"
import { seen, visit } from "./visibility.js"

/** @typedef {{ stored?: boolean, signal: AbortSignal }} Options */

/**
 * What `follow` gives, from one visit after the other, while somebody sees the page. With `stored`, out of the database
 * alone.
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} id
 * @param {Options} options
 */
export async function* followed(daemon, id, { stored = false, signal }) {
  const url = `${pathOf(id, "text")}${stored ? "?stored=1" : ""}`
  let offset = 0
  while (true) {
    await seen(signal)
    const here = visit(daemon, signal)
    try {
      for await (const piece of follow(url, { offset, signal: here.signal })) {
        offset = piece.offset
        yield piece
      }
      return
    } catch (error) {
      if (signal.aborted || !here.over.aborted) throw error
    } finally {
      here.leave()
    }
  }
}
