// Where a link leads, and whether its text says so. A model, or who speaks through it, writes both.

const SAFE = /^(https?:\/\/|mailto:)/i

/** What may be read as a host's name: words with dots between them, an address of four numbers, what follows "://". */
const NAMED = /:\/\/[^\s/?#]+|(?:[\p{L}\p{M}\p{N}_-]+[.。])+\p{L}[\p{L}\p{M}\p{N}-]+|\b\d+(?:\.\d+){3}\b/gu

const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu

/**
 * The address as a browser goes there, without the name of a user, which can look like a host; null for no link.
 * @param {string} address
 */
export function targetOf(address) {
  if (!SAFE.test(address)) return null
  try {
    const url = new URL(address)
    url.username = ""
    url.password = ""
    return url
  } catch {
    return null
  }
}

/**
 * Whether the text of a link to `url` names another host: then it must show where it leads.
 * @param {string} text
 * @param {URL} url
 */
export function misleads(text, url) {
  const seen = text.normalize("NFKC").replace(INVISIBLE, "").toLowerCase()
  const named = Array.from(seen.match(NAMED) ?? [], (host) => host.replace("://", ""))
  if (url.protocol === "mailto:") return named.length > 0 && seen.trim() !== decoded(url.pathname).toLowerCase()
  // The address has a host of other letters than ASCII as "xn--…": the text that has the letters may be a look-alike.
  return named.some((host) => withoutWww(host) !== withoutWww(url.hostname) && host !== url.host)
}

/** @param {string} host */
const withoutWww = (host) => host.replace(/^www\./, "")

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
