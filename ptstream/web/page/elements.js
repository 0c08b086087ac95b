// Elements of the page.

/**
 * An element with properties, and what is in it.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Partial<HTMLElementTagNameMap[Name]>} properties
 * @param {(Node | string | null | undefined)[]} children
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/**
 * The one element of the page that a selector names.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} parent
 */
export function only(selector, parent = document) {
  const found = /** @type {E | null} */ (parent.querySelector(selector))
  if (!found) throw new Error(`there is no ${selector} in the page`)
  return found
}

/**
 * A status as a coloured dot, and as a word.
 * @param {string} status
 */
export function dot(status) {
  const made = element("span", { className: "status" }, element("i"), element("span", {}, status))
  made.dataset.status = status
  return made
}
