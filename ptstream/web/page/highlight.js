// Shows where something that was found stands in a text.

/** Frames in which a place must stay in sight to be left alone, and after which it is left alone all the same. */
const STEADY = 3
const LONGEST = 60

/** Characters on either side of a place in which its words are looked for: some patterns take long in long texts. */
const NEAR = 16384

/**
 * Marks the place of `words` nearest to so many bytes into `node`, if there are words; its range.
 * @param {Element} node
 * @param {string} words
 * @param {number} before
 */
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

/**
 * Marks the place of `words` nearest to so many bytes into `node`, and scrolls there. Without words, `node` itself.
 * @param {Element} node
 * @param {string} words
 * @param {number} before
 */
export async function show(node, words, before) {
  const range = mark(node, words, before)
  const place = range?.startContainer.parentElement ?? node
  place.scrollIntoView({ block: "center" })
  const scroller = node.closest(".scroller")
  if (scroller) await keepInSight(() => (range ? marked() : node.isConnected ? node : null), scroller)
}

/** What is marked; null if it is no more, until it is marked again. */
function marked() {
  const [range] = CSS.highlights?.get("hit") ?? []
  return range instanceof Range && !range.collapsed ? range : null
}

/**
 * Scroll until it stays in sight: what comes near it is only then laid out, and may be larger or smaller than was
 * thought. In a long block this finds the place in it, too. Whoever scrolls meanwhile is left in peace.
 * @param {() => Element | Range | null} where null while it is being drawn anew
 * @param {Element} scroller
 */
async function keepInSight(where, scroller) {
  const moved = new AbortController()
  for (const event of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    scroller.ownerDocument.addEventListener(event, () => moved.abort(), { signal: moved.signal, passive: true })
  }
  for (let frame = 0, steady = 0; frame < LONGEST && steady < STEADY && !moved.signal.aborted; frame++) {
    const place = where()
    steady = place && isInSight(place, scroller) ? steady + 1 : 0
    await new Promise(requestAnimationFrame)
  }
  moved.abort()
}

/**
 * Whether it was there already; it is now.
 * @param {Element | Range} place
 * @param {Element} scroller
 */
function isInSight(place, scroller) {
  const box = place.getBoundingClientRect()
  const frame = scroller.getBoundingClientRect()
  if (box.top >= frame.top && (box.bottom <= frame.bottom || box.height > frame.height)) return true
  scroller.scrollTop += box.top - frame.top - frame.height / 2
  return false
}

/**
 * @param {Node} node
 * @param {string} words
 * @param {number} before
 */
function found(node, words, before) {
  const text = node.textContent ?? ""
  const pattern = new RegExp(words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), words === words.toLowerCase() ? "giu" : "gu")
  const at = characters(text, before)
  const begin = Math.max(0, at - NEAR)
  let nearest = null
  for (const { 0: found, index } of text.slice(begin, at + NEAR + words.length).matchAll(pattern)) {
    const place = begin + index
    if (nearest && Math.abs(place - at) > Math.abs(nearest.begin - at)) break
    nearest = { begin: place, end: place + found.length }
  }
  return nearest && rangeOf(node, nearest.begin, nearest.end)
}

/**
 * How many characters the first so many bytes of a text are.
 * @param {string} text
 * @param {number} bytes
 */
function characters(text, bytes) {
  return new TextEncoder().encodeInto(text, new Uint8Array(bytes)).read
}

/**
 * @param {Node} node
 * @param {number} begin
 * @param {number} end
 */
function rangeOf(node, begin, end) {
  const range = document.createRange()
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT)
  let at = 0
  let begun = false
  for (let text; (text = /** @type {Text | null} */ (walker.nextNode())); at += text.length) {
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
