// When to draw: with the next frame; in a page that nobody sees there are none, then a little later.

const UNSEEN = 200

/**
 * Calls `draw` once, soon. Gives back how to call it off.
 * @param {() => void} draw
 */
export function soon(draw) {
  const done = () => {
    cancelAnimationFrame(frame)
    clearTimeout(timer)
    draw()
  }
  const frame = requestAnimationFrame(done)
  const timer = setTimeout(done, UNSEEN)
  return () => {
    cancelAnimationFrame(frame)
    clearTimeout(timer)
  }
}
