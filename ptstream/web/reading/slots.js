// Slots for connections that last. A browser has six connections to a server, for all its tabs: so at most four of them
// last, over all tabs of an origin (Web Locks). Who drives goes before who follows, and both before a page that nobody sees.

import { ConnectionMoved } from "./errors.js"
import { isHidden } from "./wake.js"

/** Connections that last, for all tabs of an origin; where tabs cannot agree, each has one. */
const SLOTS = 4

/** Who may have one, the later ones before the earlier ones. */
const HIDDEN = 0
export const REMARKS = 0
export const FOLLOWS = 1
export const DRIVES = 2

/** A connection that may last, until it is released, or `signal` says that somebody else needs it more. */
export class Slot {
  #controller = new AbortController()
  /** @type {(() => void)[]} */
  #released = []

  signal = this.#controller.signal

  /**
   * What is to be done when it is released.
   * @param {() => void} does
   */
  onRelease(does) {
    if (this.signal.aborted) does()
    else this.#released.push(does)
  }

  release(reason = new ConnectionMoved("the connection is needed elsewhere")) {
    this.#controller.abort(reason)
    for (const does of this.#released.splice(0)) does()
  }
}

/**
 * A slot for a connection to `url` that lasts, null if there is none.
 * @param {URL} url
 * @param {number} priority
 */
export async function takeSlot(url, priority) {
  if (!areFew(url)) return new Slot()
  const { locks } = globalThis.navigator ?? {}
  try {
    return await (locks ? slotOfOrigin(locks, `ptstream ${url.host}`, priority) : slotOfTab())
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "SecurityError") throw error
    return slotOfTab() // a frame without an origin
  }
}

/**
 * Whether connections there are few: in a browser, unless it has one that carries any number of answers at a time.
 * @param {URL} url
 */
function areFew({ origin }) {
  if (!globalThis.location) return false
  const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType?.("navigation") ?? [])
  return origin !== globalThis.location.origin || !/^h[23]/.test(page?.nextHopProtocol ?? "")
}

/**
 * One of those that all tabs have together: each is a lock, and beside it a second one names the priority of who holds it.
 * @param {LockManager} locks
 * @param {string} prefix
 * @param {number} priority
 * @returns {Promise<Slot | null>}
 */
async function slotOfOrigin(locks, prefix, priority) {
  const slot = new Slot()
  const names = Array.from({ length: SLOTS }, (_, number) => `${prefix} ${number}`)
  const now = () => (isHidden() ? HIDDEN : priority)
  const take = async (/** @type {string} */ name, /** @type {LockOptions} */ options) => {
    const release = await held(locks, name, options, () => slot.release())
    if (!release) return null
    slot.onRelease(release)
    mark(locks, name, now, slot)
    return slot
  }
  for (const name of names) {
    if (await take(name, { ifAvailable: true })) return slot
  }
  const priorities = prioritiesOf(await locks.query(), names)
  const lowest = Math.min(...priorities)
  return lowest < now() ? take(names[priorities.indexOf(lowest)], { steal: true }) : null
}

/**
 * Of each slot the highest priority that is marked; of one that is just being taken, none is known.
 * @param {LockManagerSnapshot} snapshot
 * @param {string[]} names
 */
function prioritiesOf({ held = [] }, names) {
  const all = held.map((lock) => lock.name ?? "")
  return names.map((name) => {
    const marked = all.filter((lock) => lock.startsWith(`${name} `)).map((lock) => Number(lock.at(-1)))
    return marked.length ? Math.max(...marked) : Infinity
  })
}

/**
 * Marks the priority, and when the page gets out of sight, that.
 * @param {LockManager} locks
 * @param {string} name
 * @param {() => number} priority
 * @param {Slot} slot
 */
function mark(locks, name, priority, slot) {
  const { document } = globalThis
  /** @type {ReturnType<typeof held> | undefined} */
  let unmark
  const again = () => {
    const before = unmark
    unmark = held(locks, `${name} ${priority()}`, { mode: "shared" })
    unmark.then(() => before?.then((release) => release?.()))
  }
  again()
  document?.addEventListener("visibilitychange", again)
  slot.onRelease(() => {
    document?.removeEventListener("visibilitychange", again)
    unmark?.then((release) => release?.())
  })
}

/**
 * A lock: how to release it, null if it cannot be had. `lost` is called when it is taken away.
 * @param {LockManager} locks
 * @param {string} name
 * @param {LockOptions} options
 * @returns {Promise<(() => void) | null>}
 */
function held(locks, name, options, lost = () => {}) {
  return new Promise((resolve, reject) => {
    const hold = (/** @type {Lock | null} */ lock) =>
      lock && new Promise((/** @type {(none: void) => void} */ release) => resolve(release))
    locks.request(name, options, hold).then(
      () => resolve(null),
      (error) => {
        lost()
        reject(error)
      },
    )
  })
}

const inTab = new Set()

/** Where tabs cannot agree: one in each that is seen. */
function slotOfTab() {
  if (inTab.size || isHidden()) return null
  const slot = new Slot()
  inTab.add(slot)
  slot.onRelease(() => inTab.delete(slot))
  return slot
}
