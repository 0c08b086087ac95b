// When connections may have died unseen: the page was hidden or frozen, the network gone, the machine asleep.

/** Milliseconds between two looks at the clock, and those by which it may be late: then the machine was asleep. */
const TICK = 2000
const ASLEEP = 10_000

export const isHidden = () => globalThis.document?.hidden ?? false

/**
 * Calls `wake` when the page can be seen again, is thawed or restored, the network is there, or the machine has slept. Gives
 * back how to call it off.
 * @param {() => unknown} wake
 */
export function onWake(wake) {
  const { document } = globalThis
  /** @type {[EventTarget, string, (event: any) => unknown][]} */
  const listened = [
    [document, "visibilitychange", () => isHidden() || wake()],
    [document, "resume", wake],
    [globalThis, "online", wake],
    [globalThis, "pageshow", ({ persisted }) => persisted && wake()],
  ]
  for (const [target, name, heard] of listened) target?.addEventListener?.(name, heard)
  let due = Date.now() + TICK
  const timer = setInterval(() => {
    const late = Date.now() - due
    due = Date.now() + TICK
    if (late > ASLEEP && !isHidden()) wake() // the timers of a page that nobody sees are late anyway
  }, TICK)
  return () => {
    clearInterval(timer)
    for (const [target, name, heard] of listened) target?.removeEventListener?.(name, heard)
  }
}
