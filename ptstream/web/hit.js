// Shows where something that was found stands in a text.

/** Frames in which a place must stay in sight to be left alone, and after which it is left alone all the same. */
const STEADY = 3
const LONGEST = 60

/** Characters on either side of a place in which its words are looked for: some patterns take long in long texts. */
const NEAR = 16384

/** Marks the place of `words` nearest to so many bytes into `node`, if there are words; its range. */
export function mark(node, words, before) {
  const range = words ? found(node, words, before) : null
  CSS.highlights?.delete("hit")
  if (range) CSS.highlights?.set("hit", new Highlight(range))
  return range
}

/** Whether what was marked is no more: what is still being written is drawn anew. */
export function isLost() {
  return [...(CSS.highlights?.get("hit") ?? [])].some((range) => range.collapsed)
}

/** Marks the place of `words` nearest to so many bytes into `node`, and scrolls there. Without words, `node` itself. */
export async function show(node, words, before) {
  const range = mark(node, words, before)
  const place = range ? range.startContainer.parentElement : node
  place.scrollIntoView({ block: "center" })
  await keepInSight(range ?? node, node.closest(".scroller"))
}

/**
 * Scroll until it stays in sight: what comes near it is only then laid out, and may be larger or smaller than was
 * thought. In a long block this finds the place in it, too. Whoever scrolls meanwhile is left in peace.
 */
async function keepInSight(place, scroller) {
  const moved = new AbortController()
  for (const event of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    scroller.ownerDocument.addEventListener(event, () => moved.abort(), { signal: moved.signal, passive: true })
  }
  for (let frame = 0, steady = 0; frame < LONGEST && steady < STEADY && !moved.signal.aborted; frame++) {
    steady = isInSight(place, scroller) ? steady + 1 : 0
    await new Promise(requestAnimationFrame)
  }
  moved.abort()
}

/** Whether it was there already; it is now. */
function isInSight(place, scroller) {
  const box = place.getBoundingClientRect()
  const frame = scroller.getBoundingClientRect()
  if (box.top >= frame.top && (box.bottom <= frame.bottom || box.height > frame.height)) return true
  scroller.scrollTop += box.top - frame.top - frame.height / 2
  return false
}

function found(node, words, before) {
  const text = node.textContent
  const pattern = new RegExp(words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), words === words.toLowerCase() ? "giu" : "gu")
  const at = characters(text, before)
  const begin = Math.max(0, at - NEAR)
  let nearest = null
  for (const match of text.slice(begin, at + NEAR + words.length).matchAll(pattern)) {
    match.index += begin
    if (nearest && Math.abs(match.index - at) > Math.abs(nearest.index - at)) break
    nearest = match
  }
  return nearest && rangeOf(node, nearest.index, nearest.index + nearest[0].length)
}

/** How many characters the first so many bytes of a text are. */
function characters(text, bytes) {
  return new TextEncoder().encodeInto(text, new Uint8Array(bytes)).read
}

function rangeOf(node, begin, end) {
  const range = document.createRange()
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT)
  let at = 0
  let begun = false
  for (let text; (text = walker.nextNode()); at += text.length) {
    if (!begun && begin < at + text.length) {
      range.setStart(text, begin - at)
      begun = true
    }
    if (begun && end <= at + text.length) {
      range.setEnd(text, end - at)
      return range
    }
  }
  return null
}
