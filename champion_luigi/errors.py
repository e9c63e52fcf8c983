"""Every error that the package raises on purpose.

ChampionError
├── TransientError          another attempt may succeed: tasks retry these, and only these
│   ├── ArchiveUnreachable  time-out, connection error, 5xx
│   ├── TruncatedPayload    fewer bytes than announced, or a zip whose size or CRC is wrong
│   └── WarehouseUnreachable
└── TerminalError           the same again would fail the same way
    ├── NotPublished        the archive answered 404
    ├── Refused             the archive's firewall or rate limit said no: never ask again at once
    ├── RejectedPayload     a body that is not the day's bhavcopy
    │   ├── UnknownLayout   its columns are not those of a known layout
    │   └── WrongDate       it holds another day
    ├── CheckFailed         no rows at all, or too many rejected
    ├── DamagedFile         a file at rest is not what was written
    ├── StorageError        the disk did not take or give a file
    ├── WarehouseError      ClickHouse refused, or holds something else than was sent
    ├── Busy                another process holds a lock
    └── SettingsError       a setting that cannot be used

An error is a sentence for the person on call: the date, what is wrong, what was expected and found, the
file or URL, and what to do. It keeps those as attributes, for code. No secret is ever passed to one.
"""

from __future__ import annotations

import errno
from datetime import date

# What a disk or a network file system can get over within a minute; a full disk is not among them.
_PASSING = frozenset({errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT})


class ChampionError(Exception):
    """What is wrong, and as far as known the date, the source (URL or path), expected, found and what to do."""

    def __init__(
        self,
        what: str,
        *,
        day: date | None = None,
        source: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        todo: str | None = None,
    ) -> None:
        self.what = what
        self.day = day
        self.source = source
        self.expected = expected
        self.found = found
        self.todo = todo
        sentence = f"{day}: {what}" if day else what
        if expected is not None:
            sentence += f"; expected {expected}"
        if found is not None:
            sentence += f"; found {found}"
        if source is not None:
            sentence += f" [{source}]"
        if todo is not None:
            sentence += f". {todo}"
        super().__init__(sentence)


class TransientError(ChampionError):
    """Another attempt may succeed."""


class TerminalError(ChampionError):
    """Another attempt at once would fail the same way."""


class ArchiveUnreachable(TransientError):
    """The archive did not answer, or answered that it cannot at present."""


class TruncatedPayload(TransientError):
    """The payload ends too early."""


class WarehouseUnreachable(TransientError):
    """ClickHouse did not answer, or the connection broke; what was sent may or may not be stored."""


class NotPublished(TerminalError):
    """The archive has no file for that date: no session, not published yet, or another format's era."""


class Refused(TerminalError):
    """The archive refused. ``retry_after`` is in seconds, where it said so."""

    retry_after: float | None = None


class RejectedPayload(TerminalError):
    """The archive answered with something that is not the day's bhavcopy."""


class UnknownLayout(RejectedPayload):
    """Columns are missing or unexpected; both are listed."""


class WrongDate(RejectedPayload):
    """The file holds another day than its name says."""


class CheckFailed(TerminalError):
    """The day as a whole cannot stand: no rows, or too many rejected ones."""


class DamagedFile(TerminalError):
    """A file at rest does not hold what was written to it."""


class StorageError(TerminalError):
    """The disk did not take or give a file."""


class WarehouseError(TerminalError):
    """ClickHouse refused a statement, or holds something else than what was sent."""


class Busy(TerminalError):
    """Another process holds what this one needs; the message names it."""


class SettingsError(TerminalError):
    """A setting that cannot be used as it is."""


def is_transient(error: BaseException) -> bool:
    """Whether a retry makes sense: decided by type and errno, never by the message."""
    cause = error.__cause__ if isinstance(error, StorageError) else error
    return isinstance(error, TransientError) or (isinstance(cause, OSError) and cause.errno in _PASSING)
