// The keyboard: what single keys do where nobody is typing.

const TYPING = "input, textarea, select, [contenteditable]"

/**
 * Listens for as long as the page lasts.
 * @param {object} parts
 * @param {import("./list.js").List} parts.list
 * @param {import("./search.js").Search} parts.search
 * @param {import("./composer.js").Composer} parts.composer
 */
export function keys({ list, search, composer }) {
  /** @type {Record<string, () => void>} */
  const typed = {
    "/": () => search.focus(),
    n: () => fresh(composer),
    r: () => composer.focus(),
    j: () => list.move(1, true),
    k: () => list.move(-1, true),
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return
    const target = event.target instanceof Element ? event.target : document.body
    if (event.key === "Escape") escape(event, target, search)
    else if (target.closest(TYPING)) return
    else if (typed[event.key]) take(event, typed[event.key])
    else if (target.closest("#list")) {
      if (event.key === "ArrowDown") take(event, () => list.move(1, false))
      if (event.key === "ArrowUp") take(event, () => list.move(-1, false))
    }
  })
}

/**
 * A new conversation.
 * @param {import("./composer.js").Composer} composer
 */
function fresh(composer) {
  location.hash = "#new"
  composer.focus()
}

/**
 * @param {Event} event
 * @param {() => void} action
 */
function take(event, action) {
  event.preventDefault()
  action()
}

/**
 * Out of a field, then out of the results, then out of the stream.
 * @param {Event} event
 * @param {Element} target
 * @param {import("./search.js").Search} search
 */
function escape(event, target, search) {
  if (target instanceof HTMLElement && target.matches("textarea, select")) target.blur()
  else if (search.clear()) event.preventDefault()
  else if (target instanceof HTMLInputElement) target.blur()
  else if (location.hash.length > 1) location.hash = ""
}
