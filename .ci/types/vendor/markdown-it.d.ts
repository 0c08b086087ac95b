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

export interface StateBlock {
  src: string
  bMarks: number[]
  eMarks: number[]
  tShift: number[]
  sCount: number[]
  blkIndent: number
  line: number
  push(type: string, tag: string, nesting: -1 | 0 | 1): Token
  getLines(begin: number, end: number, indent: number, keepLastLineFeed: boolean): string
}

export interface Delimiter {
  marker: number
  length: number
  token: number
  end: number
  open: boolean
  close: boolean
}

export interface StateInline {
  src: string
  pos: number
  posMax: number
  tokens: Token[]
  delimiters: Delimiter[]
  push(type: string, tag: string, nesting: -1 | 0 | 1): Token
}

type BlockRule = (state: StateBlock, begin: number, end: number, silent: boolean) => boolean
type InlineRule = (state: StateInline, silent: boolean) => boolean

export interface Ruler<Rule> {
  at(name: string, rule: Rule): void
  before(beforeName: string, name: string, rule: Rule, options?: { alt: string[] }): void
}

export default class MarkdownIt {
  constructor(preset: string, options: { html: boolean; maxNesting: number })
  enable(rules: string[]): this
  disable(rules: string[]): this
  block: { ruler: Ruler<BlockRule> }
  inline: { ruler: Ruler<InlineRule> }
  validateLink(address: string): boolean
  parse(source: string, environment: object): Token[]
}
