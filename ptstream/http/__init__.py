"""HTTP/1.1 as the daemon and apps speak it: reading a stream, server-sent events, request bodies, connections."""
