"""Whether what lies at a path is ours alone to change: by its owner, its mode and its kind, as ssh judges `~/.ssh`.

ssh's StrictModes, as Debian has it: a group may write if nobody else is in it, which is what a umask of 002 comes to.
Unlike ssh it never asks who owns the folders above, only who may write there. Light: `cat` begins with this module.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = 0
"""Who may do anything anyway, and so may also have written what we only read. Its group counts as nobody else's."""

ACCESS_LIST = "system.posix_acl_access"
"""Linux's attribute of what has more of an access control list than its mode shows: then others may write, where the
mode says that the group may. (macOS's lists are not known here.)"""

KINDS: dict[str, Callable[[int], bool]] = {
    "file": stat.S_ISREG,
    "written": stat.S_ISREG,
    "given": stat.S_ISREG,
    "directory": stat.S_ISDIR,
    "shelf": stat.S_ISDIR,
    "socket": stat.S_ISSOCK,
}
"""What may lie at a path, and what its mode says of it. A file that is `written` to must have no other name. What is
`given` we only read: it may be root's, and be reached by a link. A `shelf` is a directory of large files, and may be a
link of ours to anybody's."""

CALLED = {"directory": "directory", "shelf": "directory", "socket": "socket"}

BELONGS = "belongs to another user"
LINK = "is a symbolic link"
ODD = "is no regular file"
HARD_LINK = "has another name (a hard link)"
WRITABLE = "can be written by others"
"""Why something is not ours alone."""


def why_not_ours(path: str, kind: str) -> str | None:
    """Why others may have a hand in what lies at `path`, or why it is none of this kind; None if neither.

    What is not there is nobody's. Raises OSError where one may not look.
    """
    try:
        found = os.lstat(path)
        if kind in ("given", "shelf") and stat.S_ISLNK(found.st_mode):
            return _why_foreign(found, kind) or (why_unfit(path, os.stat(path), kind) if kind == "given" else None)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return why_unfit(path, found, kind)


def why_unfit(path: str, found: os.stat_result, kind: str) -> str | None:
    """The same of what was found at `path`, or of what was opened there."""
    if why := _why_foreign(found, kind):
        return why
    if stat.S_ISLNK(found.st_mode):
        return LINK
    if not KINDS[kind](found.st_mode):
        return f"is no {CALLED[kind]}" if kind in CALLED else ODD
    if kind == "written" and found.st_nlink > 1:
        return HARD_LINK
    return WRITABLE if others_write(path, found) else None


def _why_foreign(found: os.stat_result, kind: str) -> str | None:
    if found.st_uid == os.geteuid() or (kind == "given" and found.st_uid == ROOT):
        return None
    return BELONGS


def is_of_others(path: str) -> bool:
    """Whether what lies at `path` is neither ours nor root's; a link counts itself."""
    try:
        return os.lstat(path).st_uid not in (os.geteuid(), ROOT)
    except OSError:
        return False


def others_write(path: str, found: os.stat_result) -> bool:
    """Whether anybody but its owner and root may write to what was found at `path`."""
    if found.st_mode & stat.S_IWOTH:
        return True
    if not found.st_mode & stat.S_IWGRP:
        return False
    return _has_access_list(path) or not (found.st_gid == ROOT or _alone(found.st_gid))


def _alone(group: int) -> bool:
    """Whether nobody else is in the group, by the system's tables; one that they do not know is a container's.

    Where we are in a directory (LDAP), which knows each user but lists none, only a group of our own name is ours.
    """
    import grp
    import pwd

    try:
        entry = grp.getgrgid(group)
        names = set(entry.gr_mem)
        if me := _unlisted():
            return entry.gr_name == me and names <= {me}
    except KeyError:
        names = set()
    members = [entry for entry in pwd.getpwall() if entry.pw_gid == group or entry.pw_name in names]
    return {entry.pw_uid for entry in members} <= {os.geteuid(), ROOT} and names <= {each.pw_name for each in members}


def _unlisted() -> str | None:
    """Our name, if the system knows us but does not list us among its users."""
    import pwd

    with_our_number = (each for each in pwd.getpwall() if each.pw_uid == os.geteuid())
    try:
        return None if any(with_our_number) else pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def _has_access_list(path: str) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        return bool(os.getxattr(path, ACCESS_LIST))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)


def open_to_swaps(path: str) -> str | None:
    """The folder above `path` in which others could put something else in its place; None if there is none.

    Where the sticky bit is set, as in /tmp, only its owner moves a thing away.
    """
    real = os.path.realpath(path)
    for place in (path, real) if real != path else (path,):
        while (folder := os.path.dirname(place)) != place:
            place = folder
            try:
                found = os.stat(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not found.st_mode & stat.S_ISVTX and others_write(folder, found):
                return folder
    return None


def opened(path: str, kind: str = "file") -> int:
    """A descriptor of what lies at `path`, to read it: judged when it is open, so that nothing can come in between.

    Never waits, as for a FIFO's other end. Raises OSError; PermissionError with the reason, if it is not fit.
    """
    follow = 0 if kind == "given" else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | follow)
    if why := why_unfit(path, os.fstat(descriptor), kind):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, f"it {why}")
    return descriptor
