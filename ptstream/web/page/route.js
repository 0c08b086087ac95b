// The routes: where the page is, as the URL's hash has it: #ID, #ID/raw, #ID/markdown, #ID/panes; #ID?at=OFFSET&q=WORDS; #new; nothing.

/** Characters that may be looked for, as the daemon has it: a link may say anything. */
const LONGEST_WORDS = 1000

const VIEWS = ["raw", "markdown", "panes"]

/**
 * @typedef {object} Route
 * @property {string | null} id
 * @property {boolean} fresh
 * @property {string | null} view
 * @property {number | null} at
 * @property {string} words
 */

/**
 * What a URL's hash means: `id` (null without one), `view` (null: as the stream wants it), `at` (bytes), `words`.
 * @param {string} hash
 * @returns {Route}
 */
export function routeOf(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?", 2)
  const [id, view = null] = path.split("/", 2)
  const more = new URLSearchParams(query)
  const at = more.get("at")
  return {
    id: id && id !== "new" ? decoded(id) : null,
    fresh: id === "new",
    view: VIEWS.includes(view ?? "") ? view : null,
    at: /^\d{1,16}$/.test(at ?? "") ? Number(at) : null,
    words: (more.get("q") ?? "").slice(0, LONGEST_WORDS),
  }
}

/**
 * The hash of a route.
 * @param {Partial<Route> & { id: string }} route
 */
export function hashOf({ id, view = null, at = null, words = "" }) {
  const more = at === null ? "" : `?${new URLSearchParams({ at: String(at), q: words })}`
  return `#${encodeURIComponent(id)}${view ? `/${view}` : ""}${more}`
}

/** @param {string} word */
function decoded(word) {
  try {
    return decodeURIComponent(word)
  } catch {
    return word
  }
}
