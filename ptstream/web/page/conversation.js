// A conversation: a stream and what it answers, turn by turn, as the manual's `cat --thread` has it.

import { Refusal } from "./daemon.js"

/**
 * @typedef {import("./daemon.js").Stream} Stream
 * @typedef {{ stream: Stream, end: number | null }} Part A stream, and the byte up to which the next one answers it; null: all.
 */

/**
 * The conversation up to a stream, oldest turn first, as far as it has not been deleted; `get` gives a stream.
 * The same as `turns` in conversation.py.
 * @param {Stream} stream
 * @param {(id: string) => Promise<Stream>} get
 */
export async function turnsUpTo(stream, get) {
  /** @type {Part[]} */
  const newestFirst = [{ stream, end: null }]
  for (let last = stream; last.parent; ) {
    const parent = await get(last.parent).catch(unlessDeleted)
    if (!parent) break
    const { seam, parent_offset: end } = last
    if (seam === 0 && typeof end === "number" && !(end === 0 && last.prompt === parent.prompt)) {
      newestFirst.push({ stream: parent, end })
    }
    last = parent
  }
  return newestFirst.reverse()
}

/**
 * Whether a stream answers another, as far as a list knows.
 * @param {Stream} stream
 */
export const isAnswer = ({ parent, seam, parent_offset }) => Boolean(parent && seam === 0 && parent_offset)

/**
 * Whether what is typed while it is open is its next turn: it is a model's.
 * @param {Stream} stream
 */
export const canBeAnswered = ({ prompt, command, generator }) => Boolean(prompt && !command && !generator)

/** @param {unknown} error */
function unlessDeleted(error) {
  if (!(error instanceof Refusal && error.status === 404)) throw error
  return null
}
