export type Status = "pending" | "streaming" | "done" | "error" | "timeout" | "cancelled"

/** What comes at once. */
export interface Piece {
  /** New text; empty in the last one. */
  text: string
  /** Where it ends, in bytes of UTF-8 from the start of the stream: pass it back to go on. */
  offset: number
  status: Exclude<Status, "pending">
  /** The cause of a bad end. */
  error: string | null
  /** What is to be known of a good one: that the text was cut off at its length. */
  note: string | null
}

/** What is read of an answer; `body` gives runs of bytes as they come. */
export interface Answer {
  readonly ok: boolean
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | null
  json(): Promise<any>
}

export interface Options {
  offset?: number | string
  signal?: AbortSignal
  /** A function is called for each request. */
  headers?: HeadersInit | (() => HeadersInit | undefined | Promise<HeadersInit | undefined>)
  /** In place of the global one. */
  fetch?: (url: string, request: any) => Promise<Answer>
  /** Milliseconds without a byte after which a connection counts as lost. */
  silence?: number
}

export interface DriveOptions extends Options {
  method?: string
  /** Sent again when there was no answer: no ReadableStream. */
  body?: Exclude<BodyInit, ReadableStream> | null
  /** Where it reads on when the answer to `url` is over. */
  follow?: string | URL
}

export class StreamError extends Error {
  constructor(message: string, status: number, code?: string)
  readonly status: number
  /** Its word for what is the matter; "no-body": `fetch` gives no body to read as it comes. */
  readonly code?: string
}

export function follow(url: string | URL, options?: Options): AsyncGenerator<Piece, void, undefined>
export function drive(url: string | URL, options?: DriveOptions): AsyncGenerator<Piece, void, undefined>

// What follows is for ptstream's own page alone, and may change.

/** @internal */
export const Backoff: new (signal?: AbortSignal) => any
/** @internal */
export const StreamRequest: new (url: string | URL, options: Options) => any
/** @internal */
export class Connection {
  constructor(request: any, slot: any)
  [name: string]: any
}
/** @internal */
export const EventParser: new () => any
/** @internal */
export const REMARKS: number
/** @internal */
export function isTemporary(error: unknown): boolean
/** @internal */
export function onWake(wake: () => unknown): () => void
/** @internal */
export function takeSlot(url: URL, priority: number): Promise<any>
