"""Faults of several machines with one PostgreSQL: servers and daemons that die, stop, are cut off or run full."""
