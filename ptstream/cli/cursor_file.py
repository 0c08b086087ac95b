"""How far streams have been shown, in a file: the next call goes on where the last one ended, however it ended.

A JSON object a line, appended by one `write`, so a process that is killed leaves a whole file behind. Opening it writes
it anew, short, and puts that in its place by a rename.

Where the output is a file, what is to be written to it is noted before, with where it will stand; so one can see later
whether it was. Of a pipe that cannot be seen: there, what was written is noted after that, in a place that was taken
for it before: nothing is shown that a full disk would not let be noted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ptstream import strict_json
from ptstream.cli.output import OutputFailed
from ptstream.errors import UsageError
from ptstream.ids import is_id

LONGEST = 10_000
"""Lines that are appended before it is written anew."""

PLACE = 80
"""Bytes of a line that is written anew in its place: more than any has."""

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What is no fault of the name that was given."""

HEADS = (b'{"id":', b'{"newest":')
"""How a line begins. A last one that a full disk has taken a part of may be left out; another file's may not."""


class CursorFile:
    """The cursors in one file, which is this process's alone while it is open. Made by `opened`."""

    def __init__(self, path: str, output: int) -> None:
        self._path = path
        self._output = output
        self._intended: str | None = None
        self._descriptor = -1
        self._appended = 0
        self._place: tuple[str, int] | None = None  # a stream's line that may be written anew, and where it is
        self._offsets: dict[str, int] = {}
        self._ended: set[str] = set()
        self.newest: float | None = None
        """When the newest stream was made that `watch --all` has seen (Unix seconds)."""

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: str, output: int = 1) -> Iterator[CursorFile]:
        """For as long as the context lasts; `output` is the descriptor where the text is written.

        Raises UsageError for a file that cannot be, or is not, one of these; OutputFailed for a full disk, then and
        later.
        """
        made = cls(os.path.realpath(path), output)
        try:
            made._open()
            yield made
            if made._intended:
                made.put(made._intended, made._offsets[made._intended])
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
        if self._place and self._place[0] == id:
            with self._writing():
                os.pwrite(self._descriptor, _line(fields, PLACE), self._place[1])
            self._place = None
        else:
            self._append(fields)

    def reserve(self, id: str, offset: int) -> None:
        """The stream was shown so far, and is shown now: there is room on the disk for what is put next."""
        self._append({"id": id, "offset": offset}, PLACE)
        self._place = id, os.lseek(self._descriptor, 0, os.SEEK_CUR) - PLACE

    def intend(self, id: str, begin: int, offset: int, data: bytes) -> bool:
        """Text of the stream, from byte `begin` to byte `offset`, is written now, as `data`; False for what is no file.

        What is put next tells that it was written. There is room for that.
        """
        place = end_of(self._output)
        if place is None:
            self.reserve(id, begin)
            return False
        self._offsets[id] = offset
        check = {"at": place.position, "size": len(data), "crc": zlib.crc32(data)}
        self._append({"id": id, "offset": offset, "from": begin, "file": [place.device, place.inode], **check})
        self._intended = id
        return True

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
            if os.path.exists(self._path) and not os.path.isfile(self._path):
                raise UsageError(f"--cursor-file: {self._path} is no plain file: name another")
            self._descriptor = _locked(self._path)
            with open(self._path, "rb") as file:
                self._read(file.read())
            self._shorten()

    def _shorten(self) -> None:
        """Write it anew, and put that in its place; the lock is held all the while."""
        new = f"{self._path}.new"
        before, descriptor = self._descriptor, os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._descriptor, self._appended, self._place = descriptor, 0, None
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
            kind = OutputFailed if error.errno in OF_THE_DISK else UsageError
            raise kind(f"--cursor-file: {self._path} cannot be written: {error.strerror}") from error

    def _read(self, data: bytes) -> None:
        *lines, torn = data.split(b"\n")
        try:
            if not any(head.startswith(torn[: len(head)]) for head in HEADS):
                raise ValueError(f"{torn[:80]!r} is the begin of no cursor")
            fields: dict[str, Any] = {}
            for line in lines:
                fields = strict_json.loads(line)
                self._take(fields)
            if "from" in fields and not is_written(self._output, fields):
                self._take(fields | {"offset": fields["from"]})
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

    def _append(self, fields: dict[str, Any], size: int = 0) -> None:
        self._intended = None
        with self._writing():
            if self._appended >= LONGEST:
                self._shorten()
            _write(self._descriptor, _line(fields, size))
            self._appended += 1


def cursors_in(path: str | None) -> contextlib.AbstractContextManager[CursorFile | None]:
    """Those of the file, if there is one to be. Raises as `CursorFile.opened` does."""
    return contextlib.nullcontext() if path is None else CursorFile.opened(path)


class Place(NamedTuple):
    """Where the next byte of an output is written, which is a file."""

    device: int
    inode: int
    position: int


def end_of(output: int) -> Place | None:
    """The place; None for an output that is no file."""
    found = os.fstat(output)
    if not stat.S_ISREG(found.st_mode):
        return None
    appends = fcntl.fcntl(output, fcntl.F_GETFL) & os.O_APPEND
    position = found.st_size if appends else os.lseek(output, 0, os.SEEK_CUR)
    return Place(found.st_dev, found.st_ino, position)


def is_written(output: int, intended: Mapping[str, Any]) -> bool:
    """Whether the output has what an earlier process meant to write there. False where that is not known."""
    place = end_of(output)
    if place is None or [place.device, place.inode] != intended["file"]:
        return False
    try:
        reading = os.open(f"/dev/fd/{output}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(zlib.crc32(os.pread(reading, intended["size"], intended["at"])) == intended["crc"])
    finally:
        os.close(reading)


def _line(fields: dict[str, Any], size: int = 0) -> bytes:
    """At least so many bytes long."""
    return strict_json.dumps(fields).encode().ljust(size - 1) + b"\n"


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
