"""A daemon, as whoever is not one sees it: started, connected to by socket, ssh or https, asked, read from.

It knows the wire alone, never the daemon's code, which it starts as a process.
"""
