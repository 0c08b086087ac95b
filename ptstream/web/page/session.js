// The session of this browser, and how a daemon that was started anew knows it again.
//
// The cookie is good for the life of one daemon: while that is down, another program may hold its port, and is sent the
// cookie. The session's key stays here, where no script can read it out: what is sent is a proof, for one daemon and one
// address. Where a browser has no cryptography (plain HTTP to another machine), a new daemon needs a new link.

const STORE = "session"

/** Keeps the session's key, which is given until a page says that it has: this one may be closed at any moment. */
export async function keep() {
  if (!globalThis.crypto?.subtle) return
  const answer = await asked("POST")
  if (!answer?.key) return
  const raw = Uint8Array.from(answer.key.match(/../g), (/** @type {string} */ digits) => parseInt(digits, 16))
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"])
  await stored("readwrite", (all) => all.put({ id: answer.id, key }, STORE))
  await asked("POST", {}, "?kept")
}

/** Where the page is from now on, if the daemon knows this browser's session; else null. Throws what `fetch` throws. */
export async function resume() {
  if (!globalThis.crypto?.subtle) return null
  const session = await stored("readonly", (all) => all.get(STORE))
  const nonce = session && (await asked("GET"))?.nonce
  if (!nonce) return null
  const said = new TextEncoder().encode(`${nonce} ${location.origin}`)
  const proof = new Uint8Array(await crypto.subtle.sign("HMAC", session.key, said))
  const digits = Array.from(proof, (byte) => byte.toString(16).padStart(2, "0")).join("")
  const answer = await asked("POST", { authorization: `PTStream ${session.id}:${digits}` })
  // Who answers need not be the daemon: the page is led to no other site.
  return /^\/([\w.~-]+\/)+$/.test(answer?.place) ? answer.place : null
}

/**
 * The JSON of an answer, null for a refusal.
 * @param {string} method
 * @param {Record<string, string>} headers
 */
async function asked(method, headers = {}, query = "") {
  const response = await fetch(`session${query}`, { method, headers, cache: "no-store" })
  return response.ok ? response.json() : null
}

/**
 * What a request to this browser's database gives; undefined where it has none, as in some private windows.
 * @param {IDBTransactionMode} mode
 * @param {(all: IDBObjectStore) => IDBRequest} ask
 * @returns {Promise<any>}
 */
function stored(mode, ask) {
  return new Promise((resolve) => {
    const opening = indexedDB.open("ptstream", 1)
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE)
    opening.onerror = () => resolve(undefined)
    opening.onsuccess = () => {
      let request
      try {
        request = ask(opening.result.transaction(STORE, mode).objectStore(STORE))
      } catch {
        return resolve(undefined) // somebody else's database of that name, as of who held the port once
      }
      request.onsuccess = request.onerror = () => {
        opening.result.close()
        resolve(request.result)
      }
    }
  })
}
