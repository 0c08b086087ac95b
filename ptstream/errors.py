"""Every error once, with its exit code and its HTTP status.

All of them are `PtstreamError`. `code` is the stable word for an error on the wire and in `--json`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest of this module
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar


class PtstreamError(Exception):
    """What went wrong, in one sentence for a person."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "failure"


class UsageError(PtstreamError):
    """The words of a command, or the arguments of a call, do not fit."""

    exit_code = 2
    http_status = 400
    code = "usage"


class AmbiguousId(UsageError):
    """A prefix that more than one stream begins with."""

    code = "ambiguous"


class NameTaken(UsageError):
    """A stream with this name exists already, with another request."""

    http_status = 409
    code = "name-taken"


class RequestDiffers(UsageError):
    """A stream was given another request than it is driven with now."""

    http_status = 409
    code = "words-differ"


class NoPrompt(UsageError):
    """A model is to be asked nothing."""

    http_status = 409
    code = "no-prompt"


class StreamNotFound(PtstreamError):
    """No such stream, or it has been deleted."""

    exit_code = 3
    http_status = 404
    code = "not-found"


class ConfigurationError(PtstreamError):
    """Something outside the command must be set right first: configuration, a key, a version, the home."""

    exit_code = 4
    http_status = 400
    code = "configuration"


class NoModel(ConfigurationError):
    """No model was named and none was found."""

    code = "no-model"


class ModelNotFound(ConfigurationError):
    """No model and no endpoint has that name here."""

    http_status = 404
    code = "model-not-found"


class ForeignListener(ConfigurationError):
    """A model server that nobody has configured is another user's process, or may be one."""

    http_status = 403
    code = "foreign-listener"


class StoreUnusable(ConfigurationError):
    """The database cannot be used: not one of ours, newer than this program, or not readable."""

    http_status = 500
    code = "store"


class StoreNewer(StoreUnusable):
    """A newer ptstream has written or migrated the database: this one reads and writes it no more."""

    code = "store-newer"


class StoreBusy(PtstreamError):
    """The store takes no write just now (locked, full, read-only); what was asked for did not happen."""

    http_status = 503
    code = "store-busy"


class ClaimLost(PtstreamError):
    """The stream is not this owner's (any more): it was claimed, ended or deleted by somebody else."""

    http_status = 409
    code = "claim-lost"


class OffsetBeyondEnd(UsageError):
    """An offset lies beyond the end of a stream that has ended."""

    http_status = 416
    code = "beyond-end"


class StreamFailed(PtstreamError):
    """The stream ended in `error`. The message is its cause."""

    exit_code = 5
    code = "stream-error"


class StreamCancelled(PtstreamError):
    """The stream was cancelled."""

    exit_code = 6
    code = "stream-cancelled"


class StreamTimedOut(PtstreamError):
    """The stream's generator did not answer in time."""

    exit_code = 7
    code = "stream-timeout"


ENDS: dict[str, type[PtstreamError]] = {
    "error": StreamFailed,
    "cancelled": StreamCancelled,
    "timeout": StreamTimedOut,
}
"""What a stream's bad end is as an error, by its status."""


class NotFinished(PtstreamError):
    """The stream had not ended when the time to wait was over."""

    exit_code = 8
    http_status = 409
    code = "not-finished"


class NotAuthenticated(PtstreamError):
    """A request over the network without the daemon's token, or with another one."""

    exit_code = 4
    http_status = 401
    code = "not-authenticated"


class SessionEnded(NotAuthenticated):
    """A request of a page whose session has ended: for its time, or because all of them were ended."""

    code = "session-ended"


class NotAllowed(PtstreamError):
    """What may not be asked for over the network, or not from there."""

    exit_code = 4
    http_status = 403
    code = "not-allowed"


class TooLarge(UsageError):
    """A request that is larger than one may be."""

    http_status = 413
    code = "too-large"


class CodedBody(UsageError):
    """A request whose body is compressed, which none here may be."""

    http_status = 415
    code = "coded-body"


class TooMany(PtstreamError):
    """More requests at once than are answered: ask again a little later."""

    http_status = 429
    code = "too-many"


class OwnerStopped(PtstreamError):
    """The stream's owner lives but does not answer: a stopped process. It ends the stream when it goes on."""

    exit_code = 8
    http_status = 409
    code = "owner-stopped"


class DaemonUnreachable(PtstreamError):
    """The daemon cannot be started or reached."""

    exit_code = 69
    http_status = 503
    code = "daemon-unreachable"


class DaemonStopping(DaemonUnreachable):
    """The daemon takes no more work: it is going down."""

    code = "daemon-stopping"


class ConnectionBroken(DaemonUnreachable):
    """The connection broke before the end: ask again from the offset that was reached."""

    code = "connection-broken"


class DaemonDied(DaemonUnreachable):
    """The daemon that was started died before it could say why: another one may live."""

    code = "daemon-died"


class DaemonSilent(DaemonUnreachable):
    """The daemon is there and does not answer, or may not be asked: another one would not help."""

    code = "daemon-silent"


class SshFailed(DaemonUnreachable):
    """ssh ended before ptstream answered there. Why, it has said itself, on stderr."""

    code = "ssh-failed"


class BadAnswer(PtstreamError):
    """What answers is there, and says what no daemon of this version does: asking again would not help."""

    code = "bad-answer"


class CallerGone(DaemonUnreachable):
    """The connection on whose behalf a drive was asked for has ended: connect again, and ask again."""

    http_status = 409
    code = "caller-gone"


class GeneratorError(PtstreamError):
    """A generator could not begin or go on. Its message becomes the cause of the stream's end."""

    http_status = 502
    code = "generator"


class GeneratorDropped(GeneratorError):
    """The upstream broke off in the middle of the text: one that continues a text may go on from there."""

    code = "generator-dropped"


class GeneratorTimeout(GeneratorError):
    """A generator's upstream did not answer in time: the stream ends in `timeout`."""

    http_status = 504
    code = "generator-timeout"


class EndpointError(GeneratorError):
    """A model's endpoint reports an error where an answer should be. The message has its own words."""


class NoAnswer(GeneratorError):
    """A model's endpoint sent something that is no part of an answer."""


class Refused(GeneratorError):
    """A model's endpoint gave no answer.

    `again`: whether asking once more may help, `wait` for how many seconds it wants not to be asked. `loading`:
    it is only not ready yet. `status` and `body` are those of its HTTP response, if there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        again: bool = False,
        wait: float | None = None,
        loading: bool = False,
        status: int = 0,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.again = again
        self.wait = wait
        self.loading = loading
        self.status = status
        self.body = body


def every_error() -> Iterator[type[PtstreamError]]:
    """Every class of the family, parents before children."""
    todo: list[type[PtstreamError]] = [PtstreamError]
    while todo:
        kind = todo.pop(0)
        yield kind
        todo.extend(kind.__subclasses__())


def error_named(code: str, message: str) -> PtstreamError:
    """The error that `code` stands for on the wire."""
    kinds = {kind.code: kind for kind in reversed([*every_error()])}  # of those with one code the parent
    return kinds.get(code, PtstreamError)(message)
