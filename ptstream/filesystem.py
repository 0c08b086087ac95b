"""What a directory lies on, and whether it carries what a home needs: locks, shared memory, sockets, permissions.

SQLite's write-ahead log needs locks that hold and a file mapped into several processes at once; owners need flock, the
daemon a Unix socket. What promises these and breaks the promise between machines is known by name; what does not
even promise is found out by trying. Light: `cat` begins with this module.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Callable

NETWORK_FILESYSTEMS = frozenset(
    {
        # Another machine's directory.
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "coda", "ncpfs", "davfs", "fuse.davfs", "davfs2"),
        *("fuse.sshfs", "fuse.curlftpfs", "fuse.gvfsd-fuse", "fuse.smbnetfs", "fuse.nfs", "fuse.afpfs"),
        # A virtual machine's host's: also those of containers' desktops and of Windows beneath Linux.
        *("9p", "v9fs", "drvfs", "virtiofs", "vboxsf", "vmhgfs", "fuse.vmhgfs-fuse", "prl_fs", "fuse.prl_fsd"),
        *("fakeowner", "fuse.grpcfuse", "osxfs", "fuse.osxfs"),
        # A cluster's.
        *("ceph", "fuse.ceph", "fuse.ceph-fuse", "lustre", "lustre_lite", "gpfs", "mmfs", "beegfs", "fhgfs", "panfs"),
        *("gfs", "gfs2", "ocfs2", "orangefs", "pvfs2", "wekafs", "quobyte", "fuse.quobyte", "stornext", "cvfs"),
        *("fuse.glusterfs", "glusterfs", "fuse.moosefs", "fuse.mfs", "fuse.lizardfs", "fuse.saunafs", "fuse.juicefs"),
        *("fuse.fuse_dfs", "fuse.hdfs", "fuse.alluxio-fuse", "fuse.seaweedfs", "fuse.weed", "fuse.cvmfs2", "dvs"),
        *("fuse.orangefs", "fuse.beegfs", "fuse.xtreemfs"),
        # An object store's.
        *("fuse.s3fs", "fuse.goofys", "fuse.geesefs", "fuse.mountpoint-s3", "fuse.rclone", "fuse.gcsfuse"),
        *("fuse.blobfuse", "fuse.blobfuse2", "fuse.yas3fs", "fuse.ossfs", "fuse.cosfs", "fuse.keybase", "fuse.kbfs"),
        *("fuse.google-drive-ocamlfuse", "fuse.onedriver", "fuse.dbxfs", "fuse.drivefs"),
    }
)
"""Types, as /proc/mounts has them, on which locks or shared memory do not hold between all who see the same files."""

PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES}
)
"""What says nothing of a file system's kind: it is full, read-only, broken, or we are out of something."""

PAGE = 4096


def filesystem_of(path: str, mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the file system that `path` lies on, None where the system does not say."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            rows = [line.split() for line in table]
    except OSError:
        return None
    real = os.path.realpath(path)
    best, kind = "", None
    for row in rows:
        point = row[1].replace("\\040", " ")
        inside = point == "/" or real == point or real.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, kind = point, row[2]
    return kind


def lacking(folder: str) -> str | None:
    """What a home in `folder` needs and its file system has not, in a few words; None if nothing is known to lack.

    Tries it, with files that are gone afterwards. A disk that takes none just now is not judged.
    """
    trial = os.path.join(folder, f".trial-{os.urandom(8).hex()}")
    try:
        for what, holds in TRIALS.items():
            if not _tried(holds, trial):
                return what
    except OSError as error:
        if error.errno not in PASSING:
            return f"{error.strerror}"
    finally:
        _removed(trial)
    return None


def _tried(holds: Callable[[str], bool], trial: str) -> bool:
    try:
        return holds(trial)
    except OSError as error:
        if error.errno in PASSING:
            raise
        return False


def _removed(trial: str) -> None:
    try:
        os.unlink(trial)
    except OSError:
        return


def _opened(trial: str) -> int:
    return os.open(trial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _flock_holds(trial: str) -> bool:
    """Whether a second descriptor does not get the lock that the first one has, and gets it after that."""
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

    first, second = _opened(trial), _opened(trial)
    try:
        flock(first, LOCK_EX | LOCK_NB)
        try:
            flock(second, LOCK_EX | LOCK_NB)
            return False
        except BlockingIOError:
            flock(first, LOCK_UN)
        flock(second, LOCK_EX | LOCK_NB)
    finally:
        os.close(first)
        os.close(second)
    return True


def _record_locks_hold(trial: str) -> bool:
    """The same of the locks that SQLite takes. Those of one process do not exclude each other, but a descriptor's own.

    Where the system has none of these (Linux has), only whether a lock can be had.
    """
    import fcntl
    import struct

    first, second = _opened(trial), _opened(trial)
    try:
        fcntl.lockf(first, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        if sys.platform != "linux":
            return True
        try:
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            fcntl.fcntl(second, fcntl.F_OFD_SETLK, lock)
            return False
        except OSError as error:  # POSIX allows either of two; a kernel that is none of Linux's knows no such lock
            return error.errno in (errno.EAGAIN, errno.EACCES, errno.EINVAL)
    finally:
        os.close(first)
        os.close(second)


def _memory_is_shared(trial: str) -> bool:
    """Whether what is written through one mapping of a file is read through another."""
    from mmap import mmap

    first, second = _opened(trial), _opened(trial)
    try:
        # Written, not only made so long: to touch a mapped page that a full disk has no space for is death by SIGBUS.
        if os.pwrite(first, bytes(PAGE), 0) != PAGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mmap(first, PAGE) as here, mmap(second, PAGE) as there:
            here[:5] = b"heard"
            return there[:5] == b"heard"
    finally:
        os.close(first)
        os.close(second)


def _sockets_bind(trial: str) -> bool:
    """Whether a Unix socket can be made there; true where the way to it is too long to try."""
    import socket

    _removed(trial)
    folder, name = os.path.split(trial)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    near = f"/proc/self/fd/{descriptor}"
    try:
        path = os.path.join(near if os.path.isdir(near) else folder, name)
        if len(os.fsencode(path)) > 100:
            return True
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
    finally:
        os.close(descriptor)
    return True


TRIALS: dict[str, Callable[[str], bool]] = {
    "locks do not hold": _flock_holds,
    "record locks do not hold": _record_locks_hold,
    "memory cannot be shared": _memory_is_shared,
    "no socket can be made": _sockets_bind,
}
"""What is said of a file system that fails, and the trial: whether it holds. OSError: it does not, or see PASSING."""
