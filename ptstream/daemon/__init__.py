"""The daemon: an owner that outlives its callers, with an HTTP face on a Unix socket."""
