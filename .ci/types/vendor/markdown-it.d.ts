// What the page has of markdown-it.
export interface Token {
  type: string
  tag: string
  nesting: -1 | 0 | 1
  level: number
  /** The lines of a block, from 0: its first one, and the one behind its last. */
  map: [number, number] | null
  children: Token[] | null
  content: string
  markup: string
  info: string
  attrGet(name: string): string | null
}

export default class MarkdownIt {
  constructor(preset: string, options: { html: boolean; maxNesting: number })
  enable(rules: string[]): this
  disable(rules: string[]): this
  validateLink(address: string): boolean
  parse(source: string, environment: object): Token[]
}
