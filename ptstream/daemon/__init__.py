"""The daemon: an owner that outlives its callers, which answers by HTTP on a Unix socket, and on TCP if asked to."""
