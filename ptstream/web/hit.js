// Shows where something that was found stands in a text.

/** Marks the place of `words` nearest to so many bytes into `node`, and scrolls there. Without words, `node` itself. */
export function show(node, words, before) {
  const range = words ? found(node, words, before) : null
  CSS.highlights?.delete("hit")
  if (range) CSS.highlights?.set("hit", new Highlight(range))
  const place = range ? range.startContainer.parentElement : node
  place.scrollIntoView({ block: "center" })
  if (!range) return
  // A long block: not it, but the place in it.
  const box = range.getBoundingClientRect()
  const scroller = node.closest(".scroller")
  const frame = scroller.getBoundingClientRect()
  if (box.top < frame.top || box.bottom > frame.bottom) scroller.scrollTop += box.top - frame.top - frame.height / 2
}

function found(node, words, before) {
  const text = node.textContent
  const pattern = new RegExp(words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), words === words.toLowerCase() ? "giu" : "gu")
  const at = characters(text, before)
  let nearest = null
  for (const match of text.matchAll(pattern)) {
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
