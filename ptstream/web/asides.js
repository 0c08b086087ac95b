// What a generator says beside the text, reasoning and notes: folded, and text as it is.

import { pathOf } from "./daemon.js"
import { clean } from "./untrusted.js"
import { element } from "./units.js"

/** The fold, empty and hidden until something is said. `ended` tells whether more can come. */
export function asides(id, ended, signal) {
  const title = element("summary", {}, "Reasoning and notes")
  const said = element("div", { className: "said" })
  const fold = element("details", { className: "asides", hidden: true }, title, said)
  const events = new EventSource(pathOf(id, "asides"))
  let last = null

  const add = (kind, text) => {
    if (last?.className !== kind) {
      last = element("p", { className: kind })
      said.append(last)
    }
    last.append(clean(text))
    if (kind === "note") last = null
    fold.hidden = false
  }

  // Each connection is told everything from the beginning.
  events.addEventListener("open", () => {
    said.replaceChildren()
    last = null
  })
  events.addEventListener("note", ({ data }) => add("note", JSON.parse(data)))
  events.addEventListener("reasoning", ({ data }) => add("reasoning", JSON.parse(data)))
  events.addEventListener("error", () => ended() && events.close())
  signal.addEventListener("abort", () => events.close())
  return fold
}
