"""Streams on one machine: a SQLite database in WAL mode, a tail file for each running attempt, a lock for each owner.

`engine.py` is all of it in an event loop, `store.py` in a plain thread (`cat`, `ls`). `writer.py` commits, and
`checkpoints.py` keeps the log small. `recovery.py` ends the streams of dead owners, `liveness.py` finds who is dead.
"""
