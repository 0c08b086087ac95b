// What `page` asks of the browser: a text in pieces, as the page shows it, and what has come of it.

import { Markdown } from "/page/markdown.js"
import { Filter } from "/page/untrusted.js"

const NAMES = new Set(
  "A B BLOCKQUOTE BR CODE DEL DIV EM H2 H3 H4 H5 H6 HR LI OL P PRE S SECTION SPAN STRONG TABLE TBODY TD TH THEAD TR UL".split(" "),
)
const ATTRIBUTES = new Set(
  "class data-address data-language href referrerpolicy rel start tabindex target title".split(" "),
)
const SAFE = new Set(["http:", "https:", "mailto:"])

function shown(pieces) {
  const target = document.createElement("div")
  const markdown = new Markdown(target)
  const filter = new Filter()
  for (const piece of pieces) {
    markdown.add(filter.feed(piece))
    markdown.draw()
  }
  markdown.add(filter.end())
  markdown.end()
  return target
}

/** A text's nodes, as they are whole and in pieces, its words, and what must not be there. */
window.tried = (whole, pieces) => {
  const target = shown([whole])
  const wrong = []
  for (const node of target.querySelectorAll("*")) {
    if (!NAMES.has(node.nodeName)) wrong.push(node.nodeName)
    for (const { name } of node.attributes) if (!ATTRIBUTES.has(name)) wrong.push(name)
    if (node.nodeName === "A" && !SAFE.has(node.protocol)) wrong.push(node.href)
  }
  document.body.replaceChildren(target) // what could run would do so here
  const [one, other] = [target, shown(pieces)].map((each) => each.firstChild.innerHTML)
  return { text: target.textContent, one, other, wrong, ran: window.ran ?? null }
}

/** Milliseconds for a text in one piece, and in pieces of so many characters. */
window.timed = (text, size) => {
  const began = performance.now()
  const pieces = []
  for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size))
  shown(pieces)
  return performance.now() - began
}
