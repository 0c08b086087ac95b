// The page: what it is made of, and who is told of what. The state is in the URL (place.js), all else on the daemon.

import { Composer } from "./composer.js"
import { Daemon } from "./daemon.js"
import { keys } from "./keys.js"
import { List } from "./list.js"
import { placeOf } from "./place.js"
import { Reader } from "./reader.js"
import { Search } from "./search.js"
import { keep } from "./session.js"
import { clean } from "./untrusted.js"

const $ = (selector) => document.querySelector(selector)

const daemon = new Daemon()
const notice = new Notice($("#notice"))
const list = new List($("#list"), daemon)
const reader = new Reader($("#stream"), $("dialog"), daemon, notice)
const composer = new Composer($("#composer"), daemon, notice)
const search = new Search($("#search"), $("#results"), daemon)

/** One line above all else, for what went wrong. */
function Notice(element) {
  const [text, dismiss] = element.children
  this.say = (said) => {
    text.textContent = clean(said)
    element.hidden = !said
  }
  dismiss.addEventListener("click", () => this.say(""))
}

function go() {
  const place = placeOf(location.hash)
  document.body.dataset.view = place.id ? "text" : place.fresh ? "new" : "list"
  notice.say("")
  $("#hello").hidden = Boolean(place.id)
  list.mark(place.id)
  reader.open(place)
  if (!place.id) composer.about(null)
  if (place.fresh) composer.focus()
}

reader.addEventListener("stream", ({ detail }) => {
  composer.about(detail)
  list.know(detail)
})
reader.addEventListener("deleted", () => list.refresh())
list.addEventListener("stream", ({ detail }) => reader.know(detail))
composer.addEventListener("created", () => list.refresh())
// Who was not let in asks on: a link that is opened in another tab helps this one.
daemon.addEventListener("state", () => {
  const was = document.body.dataset.connection
  document.body.dataset.connection = daemon.state
  $("#connection").textContent = daemon.state === "lost" ? "Offline, trying again." : ""
  $("#locked").hidden = daemon.state !== "locked"
  $("#ended").hidden = daemon.state !== "ended"
  if (["locked", "ended"].includes(was) && daemon.state === "found") go()
})

addEventListener("hashchange", go)
keep().catch(() => {}) // out of reach: then the next time that the page is opened
keys({ list, search, composer })
go()
