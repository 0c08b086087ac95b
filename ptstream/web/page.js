// The page: what it is made of, and what each part is notified of. The state is in the URL (route.js), all else on the daemon.

import { Composer } from "./page/composer.js"
import { Daemon } from "./page/daemon.js"
import { only } from "./page/elements.js"
import { keys } from "./page/keyboard.js"
import { List } from "./page/list.js"
import { Notice } from "./page/notice.js"
import { Questions } from "./page/questions.js"
import { routeOf } from "./page/route.js"
import { Search } from "./page/search.js"
import { keep } from "./page/session.js"
import { StreamView } from "./page/stream-view.js"

const daemon = new Daemon()
const notice = new Notice(only("#notice"))
const list = new List(only("#list"), daemon)
const questions = new Questions(daemon, notice)
const view = new StreamView(only("#stream"), only("dialog"), daemon, notice, questions.element, list)
const composer = new Composer(only("#composer"), daemon, notice, questions)
const search = new Search(only("#search"), only("#results"), daemon)

function go() {
  const route = routeOf(location.hash)
  document.body.dataset.view = route.id ? "text" : route.fresh ? "new" : "list"
  notice.say("")
  only("#hello").hidden = Boolean(route.id)
  list.mark(route.id)
  view.open(route)
  if (!route.id) {
    composer.about(null)
    questions.show("")
  }
  if (route.fresh) composer.focus()
}

view.on("stream", (stream) => {
  composer.about(stream)
  list.know(stream)
  questions.show(stream.id)
  questions.know(stream)
})
view.on("conversation", () => list.mark(view.id, view.ids))
view.on("deleted", () => list.refresh())
list.on("stream", (stream) => view.know(stream))
// In another tab, say. What waits here for the open stream is its next turn here.
list.on("begun", (stream) => questions.areNext(view.id) || view.goOnWith(stream))
questions.on("asked", (stream) => {
  view.made(stream)
  if (!stream.parent || stream.parent === view.id) location.hash = view.placeOf(stream)
  list.refresh()
})
questions.on("waits", () => view.toEnd())
questions.on("back", (question) => composer.takeBack(question))
// Who was not let in asks on: a link that is opened in another tab helps this one.
daemon.addEventListener("state", () => {
  const was = document.body.dataset.connection
  document.body.dataset.connection = daemon.state
  only("#connection").textContent = daemon.state === "lost" ? "Offline, trying again." : ""
  only("#locked").hidden = daemon.state !== "locked"
  only("#ended").hidden = daemon.state !== "ended"
  if (["locked", "ended"].includes(was ?? "") && daemon.state === "found") go()
})

addEventListener("hashchange", go)
keep().catch(() => {}) // out of reach: then the next time that the page is opened
keys({ list, search, composer })
go()
