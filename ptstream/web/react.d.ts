import type { DriveOptions, Options, Status } from "./ptstream.js"

export interface StreamOptions {
  /** Whether this tab has the stream written. */
  driven?: boolean
  /** Where that is asked for, if not at the stream's own URL. */
  drive?: string | URL
  headers?: Options["headers"]
  body?: DriveOptions["body"]
  fetch?: Options["fetch"]
}

export function useStream(
  url: string | URL | null | undefined,
  options?: StreamOptions,
): { text: string; status: Status; error: string | null }
