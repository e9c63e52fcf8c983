"""Every error that the package raises on purpose.

ChampionError
├── TransientError          another attempt may succeed: tasks retry these, and only these
│   ├── ArchiveUnreachable  time-out, connection error, 5xx
│   ├── TruncatedPayload    fewer bytes than announced, or a zip whose size or CRC is wrong
│   ├── StoreUnreachable    the object store of lake or raw files did not answer
│   └── WarehouseUnreachable
└── TerminalError           another attempt at once would fail the same way
    ├── NotPublished        the archive answered 404, or with the previous session's file
    ├── Refused             the archive refused this path: never retried at once
    │   └── RateLimited     the archive as a whole wants a pause
    ├── ArchiveUnusable     this machine cannot use the archive: a proxy, a certificate, an empty folder
    ├── RejectedPayload     the body is not the day's file
    │   ├── UnknownLayout   its columns are not those of a known layout
    │   └── WrongDate       it holds another day
    ├── CheckFailed         no rows at all, or too many rejected
    ├── DamagedFile         a stored file differs from what was written
    ├── StorageError        a file could not be written or read
    ├── WarehouseError      ClickHouse refused, or holds something other than was sent
    ├── OtherVersion        written by a newer or an older version of this package
    ├── Busy                another process holds a lock
    ├── SettingsError       a setting that cannot be used
    │   └── NotInstalled    what is set needs a library that is not installed
    ├── UnknownSymbol       no instrument had this symbol
    └── WrongClock          this machine's clock is before the first file

An error is a sentence for the person on call: the date, what is wrong, what was expected and found, the
file or URL, and what to do. Each part is also an attribute, for code. An error may quote any text from a server or
file, so every secret in the settings is replaced by stars when the error is created.
"""

from __future__ import annotations

import errno
from datetime import date, datetime
from typing import Any

from champion_luigi.base.secrets import hidden

# Errors that a disk or network file system can recover from within a minute; a full disk is not one of them.
_PASSING = frozenset({errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT})


class ChampionError(Exception):
    """What is wrong and, if known, the date, the source (URL or path), expected, found and what to do."""

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
        self.what, self.day = hidden(what), day
        texts = (source, expected, found, todo)
        source, expected, found, todo = (text and hidden(text) for text in texts)
        self.source, self.expected, self.found, self.todo = source, expected, found, todo
        around = (("; expected {}", expected), ("; found {}", found), (" [{}]", source), (". {}", todo))
        sentence = f"{day}: {self.what}" if day else self.what
        super().__init__(sentence + "".join(form.format(text) for form, text in around if text is not None))


class TransientError(ChampionError):
    """Another attempt may succeed."""


class TerminalError(ChampionError):
    """Another attempt at once would fail the same way."""


class ArchiveUnreachable(TransientError):
    """The archive did not answer, or reported that it cannot at present.

    Retried. If it persists, do what the message says: it names a proxy or a name server that is at fault. After a 5xx,
    run the day again later.
    """


class TruncatedPayload(TransientError):
    """The payload ends too early: fewer bytes than announced, or a zip whose size or CRC is wrong.

    Retried. If it persists, the published file itself is damaged: wait for the exchange to replace it.
    """


class StoreUnreachable(TransientError):
    """The object store did not answer, or cannot take more at present.

    Retried. An object is whole or absent, whatever happens. Run the same command again when the store answers.
    """


class WarehouseUnreachable(TransientError):
    """ClickHouse did not answer, or cannot take more at present; the rows sent may or may not be stored.

    Retried. Run the day again when the server is back: a repeated load changes nothing that is already right.
    """


class NotPublished(TerminalError):
    """The archive has no file for that date: no session, not published yet, or absent from this archive.

    Some paths have the previous session's file instead of a 404. That proves as little about the date.
    The message says what the calendar expects. On a session's evening, wait for publication and run again; an absent
    day stays due.
    ``answered`` is the time of the 404 by the archive's own clock, if known.
    """

    def __init__(self, what: str, *, answered: datetime | None = None, **parts: Any) -> None:
        super().__init__(what, **parts)
        self.answered = answered


class Refused(TerminalError):
    """The archive's firewall refused the request (403), which is never retried at once.

    Other paths may be served. Wait a minute, lower CHAMPION_REQUESTS_PER_SECOND, then run again. ``retry_after`` is the
    number of seconds for which no such request is sent, if known.
    """

    def __init__(self, what: str, *, retry_after: float | None = None, **parts: Any) -> None:
        super().__init__(what, **parts)
        self.retry_after = retry_after


class RateLimited(Refused):
    """The archive wants a pause in all requests (429, or any refusal with a Retry-After).

    Wait as long as the archive says (``retry_after``, in seconds), lower CHAMPION_REQUESTS_PER_SECOND, then run again.
    """


class ArchiveUnusable(TerminalError):
    """This machine cannot use the archive at all: the fault is in its folder, proxy, certificates or network.

    No day would fare better, and nothing is wrong with the exchange. Do what the message says, then run again.
    """


class RejectedPayload(TerminalError):
    """The archive answered with something other than the day's file, such as an HTML page with status 200.

    Open the URL in a browser on this machine: a network's login page appears there too. Nothing was stored; the next
    run requests the file again.
    """


class UnknownLayout(RejectedPayload):
    """The columns are not those that the format had on that date; missing and unexpected ones are listed.

    The exchange may have changed its file: add the new layout to the data set's module in champion_luigi/datasets/.
    """


class WrongDate(RejectedPayload):
    """The file holds another day than its name says, as can happen under a holiday's name.

    If the day had no session, there is nothing to do; otherwise wait for the exchange to replace the file.
    """


class CheckFailed(TerminalError):
    """The day as a whole fails the check: no rows, or too many rejected ones.

    Read its file under rejects/: each line names the rule that it broke. No later stage of the day ran.
    """


class DamagedFile(TerminalError):
    """A stored file does not hold what was written to it.

    The disk or a person has changed it. Delete the file that the message names and run the day again.
    """


class NotMade(TerminalError):
    """Something that is made from the days' data is not there yet.

    Run the command that the message names; it makes what is missing.
    """


class StorageError(TerminalError):
    """A file could not be written to the disk or read from it.

    Free space or correct permissions, then run again: no half-written file is left.
    """


class WarehouseError(TerminalError):
    """ClickHouse refused a statement, or holds something other than what was sent.

    The message quotes ClickHouse and says what to check: password, grants, database or table.
    """


class OtherVersion(TerminalError):
    """The data was written by another version of champion_luigi and is left untouched.

    If that version is newer, use it or a later one. If it is older, the message says how to rebuild the data.
    """


class Busy(TerminalError):
    """Another process holds what this one needs; the message names that process.

    Wait for it to end, or stop it, then run again.
    """


class SettingsError(TerminalError):
    """A setting cannot be used as it is.

    The message names the setting and says what was expected.
    """


class NotInstalled(SettingsError):
    """What was requested needs a library that only an extra installs.

    The message has the command that installs it. Nothing was begun: run the same again afterwards.
    """


class UnknownSymbol(TerminalError, LookupError):
    """No company or fund traded under this symbol, as far as the loaded days show.

    The message names similar symbols. If the symbol is right, load the days on which it traded, then run
    `champion adjust`.
    """


class WrongClock(TerminalError, ValueError):
    """This machine's clock is before the exchange's first file, so no session can be published yet.

    Set the clock, by NTP, and run again.
    """


def is_transient(error: BaseException) -> bool:
    """Whether a retry can help, decided by type and errno, never by the message."""
    cause = error.__cause__ if isinstance(error, StorageError) else error
    return isinstance(error, TransientError) or is_passing(cause)


def is_passing(error: BaseException | None) -> bool:
    """Whether it is an error of the system from which a disk or network can recover within a minute."""
    return isinstance(error, OSError) and error.errno in _PASSING
