// When the page is back: from behind another tab, from sleep, from no network.

import * as streams from "./ptstream.js"

/** Calls `back` when the page can be seen again, the network is there, or the machine has slept; until the signal is aborted. */
export function whenBack(back, signal) {
  const stop = streams.whenBack(back)
  signal?.addEventListener("abort", stop)
}

/**
 * A signal for connections that last: aborted when `signal` is, when nobody sees the page (a browser has six connections
 * to a daemon, for all its tabs), and when the page or the daemon is back, since a connection may be dead without knowing
 * it. `leave` lets go of it.
 */
export function visit(daemon, signal) {
  const over = new AbortController()
  const left = new AbortController()
  const end = () => over.abort()
  whenBack(end, left.signal)
  document.addEventListener("visibilitychange", end, { signal: left.signal })
  daemon.addEventListener("state", () => daemon.state === "found" && end(), { signal: left.signal })
  return { signal: AbortSignal.any([signal, over.signal]), over: over.signal, leave: () => left.abort() }
}

/** Until somebody sees the page. Throws the signal's reason. */
export async function seen(signal) {
  while (document.hidden) {
    await new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true })
      signal.addEventListener("abort", resolve, { once: true })
    })
    signal.throwIfAborted()
  }
}
