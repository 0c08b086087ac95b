// What lasts only while somebody sees the page: a browser has six connections to a daemon, for all its tabs.

import { onWake } from "../ptstream.js"

/**
 * A signal for connections that last: aborted when `signal` is, when nobody sees the page any more, and when the page or
 * the daemon is back, since a connection may be dead without knowing it. `over` is aborted by all but `signal`; `leave`
 * lets go of it.
 * @param {import("./daemon.js").Daemon} daemon
 * @param {AbortSignal} signal
 */
export function visit(daemon, signal) {
  const over = new AbortController()
  const left = new AbortController()
  const end = () => over.abort()
  const stop = onWake(end)
  left.signal.addEventListener("abort", stop)
  document.addEventListener("visibilitychange", end, { signal: left.signal })
  daemon.addEventListener("state", () => daemon.state === "found" && end(), { signal: left.signal })
  return { signal: AbortSignal.any([signal, over.signal]), over: over.signal, leave: () => left.abort() }
}

/**
 * Until somebody sees the page. Throws the signal's reason.
 * @param {AbortSignal} signal
 */
export async function seen(signal) {
  while (document.hidden) {
    await new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true })
      signal.addEventListener("abort", resolve, { once: true })
    })
    signal.throwIfAborted()
  }
}
