"""The statements by which owners claim streams, append to them and hand them over, each one atomic step.

Each is fenced: it changes nothing for whom the stream is no more, nor in tables of a newer ptstream.
"""

from __future__ import annotations

from ptstream.engine.handover import AFTER_NOBODY, NOBODY
from ptstream.engine.sqlite.schema import VERSION

MAX_GROUP = 256
"""Flushes in one statement: SQLite's limit of 32,766 parameters is far, and a group's latency stays short."""


def flush_statement(rows: int) -> str:
    """The one statement that appends: `rows` flushes, each fenced by its epoch, returning the streams that took one.

    Parameters of a row, in order: stream, epoch, start, stop, text, at, pieces, status, cause, usage, note.
    What does not come back was refused: claimed by another, ended, deleted, or not where the last chunk ends.
    """
    values = ",".join(["(?,?,?,?,?,?,?,?,?,?,?)"] * rows)
    return (
        "WITH v (stream, epoch, start, stop, text, at, pieces, status, cause, usage, note)"
        f" AS (VALUES {values})"
        " INSERT INTO flushes (stream, epoch, start, stop, text, at, pieces, status, cause, usage, note)"
        " SELECT v.stream, v.epoch, v.start, v.stop, v.text, v.at, v.pieces, v.status, v.cause, v.usage, v.note"
        " FROM v JOIN streams s ON s.id = v.stream"
        " WHERE s.epoch = v.epoch AND s.status = 'streaming' AND s.bytes = v.start"
        f" AND {VERSION} = (SELECT user_version FROM pragma_user_version)"
        " RETURNING stream"
    )


CLAIM = f"""
INSERT INTO attempts (stream, epoch, owner, begin_offset, boot, started_at, model, place)
  SELECT id, epoch + 1, :owner, bytes, :boot, :at, :model, :place FROM streams
  WHERE id = :id AND status = 'pending' AND cancel_at IS NULL
    AND {VERSION} = (SELECT user_version FROM pragma_user_version)
  RETURNING epoch, begin_offset
"""
"""The claim, one atomic statement: a row comes back for the one owner that got the stream."""


def reclaim_statement(rows: int) -> str:
    """Further attempts at streams, where the texts of those before them end: by their living owner, or nobody's.

    Parameters of each of the `rows`, in order: stream, epoch, begin, the next one's owner, the cause of the end of the
    one before; then the moment, and the owner who asks, twice. The streams come back, with their epochs and beginnings.
    """
    values = ",".join(["(?,?,?,?,?)"] * rows)
    return (
        f"WITH v (stream, epoch, start, next, cause) AS (VALUES {values})"
        " INSERT INTO attempts (stream, epoch, owner, begin_offset, boot, started_at, model, place, cause)"
        " SELECT s.id, s.epoch + 1, v.next, s.bytes, a.boot, ?, a.model, a.place, v.cause"
        " FROM v JOIN streams s ON s.id = v.stream JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch"
        " WHERE s.epoch = v.epoch AND s.status = 'streaming' AND a.owner = ?"
        " AND s.bytes = v.start AND (v.next = ? OR s.cancel_at IS NULL)"
        f" AND {VERSION} = (SELECT user_version FROM pragma_user_version)"
        " RETURNING stream, epoch, begin_offset"
    )


TAKE = f"""
UPDATE attempts SET owner = :owner, boot = :boot, started_at = :at, model = :model, place = :place
  WHERE stream = :id AND owner = :nobody AND (julianday('now') - 2440587.5) * 86400 < :until
    AND epoch = (SELECT epoch FROM streams WHERE id = :id AND status = 'streaming' AND cancel_at IS NULL)
    AND {VERSION} = (SELECT user_version FROM pragma_user_version)
  RETURNING epoch, begin_offset
"""
"""An attempt that is nobody's becomes this owner's: a row comes back for the one that got it. Never once it has waited
for long enough: then recovery, whose end names the epoch alone, may be under way."""

HANDED_OVER = f"""
SELECT s.id, a.owner, a.model, a.place, a.started_at - first.started_at FROM streams s
  JOIN attempts a ON a.stream = s.id AND a.epoch = s.epoch
  JOIN attempts first ON first.stream = s.id AND first.epoch = 1
WHERE s.status = 'streaming' AND a.owner >= '{NOBODY}' AND a.owner < '{AFTER_NOBODY}' AND s.cancel_at IS NULL
"""
"""Streams that wait to be taken."""

CANCEL_HANDED_OVER = (
    f"""
UPDATE streams SET status = 'cancelled', error = 'cancelled at byte ' || bytes, ended_at = :now
  WHERE id = :id AND status = 'streaming' AND EXISTS (SELECT 1 FROM attempts a
    WHERE a.stream = :id AND a.epoch = streams.epoch AND a.owner >= '{NOBODY}' AND a.owner < '{AFTER_NOBODY}')
""",
    f"""
UPDATE attempts SET cause = (SELECT error FROM streams WHERE id = :id), ended_at = :now
  WHERE stream = :id AND owner >= '{NOBODY}' AND owner < '{AFTER_NOBODY}' AND ended_at IS NULL
    AND (SELECT status FROM streams WHERE id = :id) = 'cancelled'
""",
)
"""One of them has ended at once when it is cancelled, as a pending one."""
