"""How far streams have been shown, in a file: the next call goes on where the last one ended, however it ended.

A JSON object a line, appended when its text has been written: that takes one `write`, so a process that is killed
leaves a whole file behind. Opening it writes it anew, short, and puts that in its place by a rename.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from ptstream import strict_json
from ptstream.errors import UsageError
from ptstream.ids import is_id

LONGEST = 10_000
"""Lines that are appended before it is written anew."""


class CursorFile:
    """The cursors in one file, which is this process's alone while it is open. Made by `opened`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._appended = 0
        self._offsets: dict[str, int] = {}
        self._ended: set[str] = set()
        self.newest: float | None = None
        """When the newest stream was made that `watch --all` has seen (Unix seconds)."""

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: str) -> Iterator[CursorFile]:
        """For as long as the context lasts. Raises UsageError for a file that cannot be, or is not, one of these."""
        made = cls(os.path.realpath(path))
        try:
            made._open()
            yield made
        finally:
            made._close()

    def offset(self, id: str) -> int | None:
        """How far the stream has been shown, in bytes; None if it was not begun."""
        return self._offsets.get(id)

    @property
    def begun(self) -> list[str]:
        """The ids of streams that were not shown to their ends."""
        return [id for id in self._offsets if id not in self._ended]

    @property
    def ended(self) -> frozenset[str]:
        """The ids of those that were."""
        return frozenset(self._ended)

    def put(self, id: str, offset: int, *, ended: bool = False) -> None:
        """The stream has been shown so far, or to its end."""
        fields = {"id": id, "offset": offset} | ({"ended": True} if ended else {})
        self._take(fields)
        self._append(fields)

    def put_newest(self, moment: float) -> None:
        """`watch --all` has seen all streams that were made before this moment (Unix seconds)."""
        if moment != self.newest:
            self.newest = moment
            self._append({"newest": moment})

    def forget(self, id: str) -> None:
        """The stream is no more."""
        self._offsets.pop(id, None)
        self._ended.discard(id)

    def _open(self) -> None:
        with self._writing():
            self._descriptor = _locked(self._path)
            with open(self._path, "rb") as file:
                self._read(file.read())
            self._shorten()

    def _shorten(self) -> None:
        """Write it anew, and put that in its place; the lock is held all the while."""
        new = f"{self._path}.new"
        before, descriptor = self._descriptor, os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._descriptor, self._appended = descriptor, 0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write(descriptor, b"".join(_line(fields) for fields in self._all()))
            os.fsync(descriptor)
            os.replace(new, self._path)
        finally:
            os.close(before)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"--cursor-file: {self._path} cannot be written: {error.strerror}") from error

    def _read(self, data: bytes) -> None:
        *lines, _torn = data.split(b"\n")
        try:
            for line in lines:
                self._take(strict_json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"--cursor-file: {self._path} is no file of cursors: name another") from error

    def _take(self, fields: dict[str, Any]) -> None:
        if "newest" in fields:
            self.newest = float(fields["newest"])
            return
        id, offset = fields["id"], fields["offset"]
        if not is_id(id) or not isinstance(offset, int) or offset < 0:
            raise ValueError(f"{fields} is no cursor")
        self._offsets[id] = offset
        if fields.get("ended"):
            self._ended.add(id)

    def _all(self) -> Iterator[dict[str, Any]]:
        if self.newest is not None:
            yield {"newest": self.newest}
        for id, offset in self._offsets.items():
            yield {"id": id, "offset": offset} | ({"ended": True} if id in self._ended else {})

    def _append(self, fields: dict[str, Any]) -> None:
        with self._writing():
            _write(self._descriptor, _line(fields))
            self._appended += 1
            if self._appended >= LONGEST:
                self._shorten()


def _line(fields: dict[str, Any]) -> bytes:
    return strict_json.dumps(fields).encode() + b"\n"


def _write(descriptor: int, data: bytes) -> None:
    """All of it at once. What a full disk takes a part of is the file's last line, and no line then."""
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(path: str) -> int:
    """The file, made if there is none, with its lock. Raises UsageError while another process has that."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # else it was replaced before it was locked
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"--cursor-file: another ptstream goes on from {path} just now") from None
        os.close(descriptor)
