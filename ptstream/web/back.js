// When the page is back: from sleep, from behind another tab, from no network.

/** Milliseconds out of sight after which a connection may be dead without having said so. */
const LONG = 30_000

/** Calls `back(long)` when the page can be seen again or the network is there: `long` if connections may be dead. */
export function whenBack(back, signal) {
  let hidden = document.hidden ? Date.now() : null
  const seen = () => {
    const long = hidden !== null && Date.now() - hidden > LONG
    hidden = document.hidden ? (hidden ?? Date.now()) : null
    if (!document.hidden) back(long)
  }
  document.addEventListener("visibilitychange", seen, { signal })
  document.addEventListener("resume", () => back(true), { signal })
  addEventListener("online", () => back(true), { signal })
  addEventListener("pageshow", ({ persisted }) => persisted && back(true), { signal })
}
