// The keyboard: what single keys do where nobody is typing.

const TYPING = "input, textarea, select, [contenteditable]"

/** Listens for as long as the page lasts. */
export function keys({ list, search, composer }) {
  const typed = {
    "/": () => search.focus(),
    n: () => composer.focus(),
    j: () => list.move(1, true),
    k: () => list.move(-1, true),
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return
    if (event.key === "Escape") escape(event, search)
    else if (event.target.closest?.(TYPING)) return
    else if (typed[event.key]) take(event, typed[event.key])
    else if (event.target.closest?.("#list")) {
      if (event.key === "ArrowDown") take(event, () => list.move(1, false))
      if (event.key === "ArrowUp") take(event, () => list.move(-1, false))
    }
  })
}

function take(event, action) {
  event.preventDefault()
  action()
}

/** Out of a field, then out of the results, then out of the stream. */
function escape(event, search) {
  if (event.target.matches("textarea, select")) event.target.blur()
  else if (search.clear()) event.preventDefault()
  else if (event.target.matches("input")) event.target.blur()
  else if (location.hash.length > 1) location.hash = ""
}
