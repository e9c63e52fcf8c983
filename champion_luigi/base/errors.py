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
    ├── OtherVersion        written by a newer or an older version of this package
    ├── Busy                another process holds a lock
    ├── SettingsError       a setting that cannot be used
    └── WrongClock          this machine's clock is before the first file

An error is a sentence for the person on call: the date, what is wrong, what was expected and found, the
file or URL, and what to do. It keeps those as attributes, for code. Errors quote what servers and files said, which
can be anything: what the settings know as a secret is starred out of an error when it is made.
"""

from __future__ import annotations

import errno
from datetime import date, datetime

from champion_luigi.base.secrets import hidden

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
        self.what = what = hidden(what)
        self.day = day
        self.source = source = source and hidden(source)
        self.expected = expected = expected and hidden(expected)
        self.found = found = found and hidden(found)
        self.todo = todo = todo and hidden(todo)
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
    """The archive did not answer, or answered that it cannot at present.

    Retried. If it stays: look at the exchange's site and your network, and run the day again later.
    """


class TruncatedPayload(TransientError):
    """The payload ends too early: fewer bytes than announced, or a zip whose size or CRC is wrong.

    Retried. If it stays, the published file itself is damaged: wait for the exchange to replace it.
    """


class WarehouseUnreachable(TransientError):
    """ClickHouse did not answer, or cannot take more at present; what was sent may or may not be stored.

    Retried. Run the day again when the server is back: a repeated load changes nothing that is right already.
    """


class NotPublished(TerminalError):
    """The archive has no file for that date: no session, or not published yet.

    The message says what the calendar expects. On a session's evening, wait for publication and run again.
    ``answered`` is when, by the archive's own clock, where it told.
    """

    answered: datetime | None = None


class Refused(TerminalError):
    """The archive's firewall or rate limit said no (403, 429); it is never asked again at once.

    Wait as long as it says (``retry_after``, in seconds), lower CHAMPION_REQUESTS_PER_SECOND, then run again.
    """

    retry_after: float | None = None


class RejectedPayload(TerminalError):
    """The archive answered with something that is not the day's bhavcopy, such as an HTML page with status 200.

    Look at the URL in a browser. Nothing was kept; the next run asks again.
    """


class UnknownLayout(RejectedPayload):
    """The columns are not those that the format had on that date; missing and unexpected ones are listed.

    The exchange may have changed its file: add the new layout to champion_luigi/layouts.py.
    """


class WrongDate(RejectedPayload):
    """The file holds another day than its name says, as under the name of a holiday.

    If the day was no session, there is nothing to do; else wait for the exchange to replace the file.
    """


class CheckFailed(TerminalError):
    """The day as a whole cannot stand: no rows, or too many rejected ones.

    Look at its file under rejects/: each line says which rule it broke. Nothing of the day went further.
    """


class DamagedFile(TerminalError):
    """A file at rest does not hold what was written to it.

    The disk, or somebody, has changed it. Delete the file that the message names and run the day again.
    """


class StorageError(TerminalError):
    """The disk did not take or give a file.

    Free space or mend permissions, then run again: nothing half-written is left.
    """


class WarehouseError(TerminalError):
    """ClickHouse refused a statement, or holds something else than what was sent.

    The message has ClickHouse's own words, and says what to check: password, grants, database or table.
    """


class OtherVersion(TerminalError):
    """What is there was written by another version of champion_luigi, and is not touched.

    If by a newer one, use that one or a later one. If by an older one, the message says how it is made anew.
    """


class Busy(TerminalError):
    """Another process holds what this one needs; the message names it.

    Wait for it to end, or stop it, then run again.
    """


class SettingsError(TerminalError):
    """A setting cannot be used as it is.

    The message names the setting, and what was expected.
    """


class WrongClock(TerminalError, ValueError):
    """This machine's clock is before the exchange's first file, so that no session could be published yet.

    Set the clock, by NTP, and run again.
    """


def is_transient(error: BaseException) -> bool:
    """Whether a retry makes sense: decided by type and errno, never by the message."""
    cause = error.__cause__ if isinstance(error, StorageError) else error
    return isinstance(error, TransientError) or (isinstance(cause, OSError) and cause.errno in _PASSING)
