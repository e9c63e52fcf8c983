"""The table of checks of `champion doctor`, and the code that runs them.

A check is a function that returns one finding and changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace

from champion_luigi.base.errors import ChampionError
from champion_luigi.commands.doctor import disks, servers, setup, warehouse
from champion_luigi.commands.doctor.findings import Finding, Status, of_error
from champion_luigi.config import settings

# All checks start at once; those still running after this time are abandoned.
LIMIT_SECONDS = 12.0

_MOST_AHEAD_SECONDS = 120
_HUNG = "A disk or a network hangs: check whether the disk or server can be reached, also by name."


@dataclass(frozen=True)
class Check:
    """A check: its name, its function, and the status to report if it does not end in time."""

    name: str
    look: Callable[[], Finding]
    hung: Status = "PROBLEM"


# The lines of the report, in order; `clock` comes last, from the clocks of the servers that answered.
CHECKS = (
    Check("python", setup.python),
    Check("packages", setup.packages),
    Check("settings", setup.every_setting),
    Check("data folder", disks.data_folder),
    Check("layout", disks.layout),
    Check("lake folder", disks.lake_folder),
    Check("raw folder", disks.raw_folder),
    Check("free space", disks.space),
    Check("locks", disks.locks),
    Check("shared", disks.shared),
    Check("archive", servers.archive),
    Check("warehouse", warehouse.warehouse),
    Check("mlflow", servers.mlflow, "WARNING"),
    Check("unsent", servers.unsent, "WARNING"),
    Check("luigid", servers.luigid, "WARNING"),
    Check("time zone", setup.time_zone),
    Check("sessions", setup.session_table),
    Check("absent", setup.absent),
    Check("adjustments", setup.adjusted_prices),
)


def examine(limit_seconds: float = LIMIT_SECONDS) -> Iterator[tuple[str, Finding]]:
    """Each check's name and finding, in the order of the table, all within ``limit_seconds``."""
    deadline = time.monotonic() + limit_seconds
    outcomes = [(check, _begun(check)) for check in CHECKS]
    ahead: dict[str, float] = {}
    for check, outcome in outcomes:
        wait([outcome], max(0.0, deadline - time.monotonic()))
        hung = Finding(check.hung, f"no answer within {limit_seconds:g} s", _HUNG)
        found = outcome.result() if outcome.done() else hung
        if found.server_ahead is not None:
            ahead[check.name] = found.server_ahead
        yield check.name, _fit_to_show(found)
    yield "clock", clock(ahead)


def doctor() -> dict[str, Finding]:
    """The findings of `champion doctor`: installation, settings, disks, servers and clock, by the check's name.

        >>> from champion_luigi import doctor
        >>> {name: finding.todo for name, finding in doctor().items() if finding.status != "OK"}

    Changes nothing, and requests one file from the archive. Ends within 15 seconds, even if servers hang.
    """
    return dict(examine())


def _begun(check: Check) -> Future[Finding]:
    """The finding of a check that runs in a thread of its own, which does not delay the exit."""
    outcome: Future[Finding] = Future()

    def look() -> None:
        try:
            outcome.set_result(check.look())
        except (ChampionError, OSError) as error:
            outcome.set_result(of_error(error))
        except BaseException as error:  # noqa: BLE001 - `examine` raises it in the main thread
            outcome.set_exception(error)

    threading.Thread(target=look, name=f"doctor {check.name}", daemon=True).start()
    return outcome


def _fit_to_show(finding: Finding) -> Finding:
    """The finding without secrets and terminal control characters, because it can quote a server."""
    found, todo = (
        "".join(letter if letter.isprintable() else " " for letter in settings.without_secrets(text))
        for text in (finding.found, finding.todo)
    )
    return replace(finding, found=found, todo=todo)


def clock(ahead: Mapping[str, float]) -> Finding:
    """This machine's clock compared with the servers' clocks, each ``ahead`` by a number of seconds."""
    if not ahead:
        return Finding("OK", "no server to compare it with")
    name, seconds = max(ahead.items(), key=lambda each: abs(each[1]))
    if abs(seconds) > _MOST_AHEAD_SECONDS:
        words = f"{abs(seconds):,.0f} s {'behind' if seconds > 0 else 'ahead of'} the server's ({name})"
        return Finding("WARNING", words, "Set the clock by NTP: it decides which session is the latest.")
    return Finding("OK", f"within {max(abs(seconds), 1):.0f} s of the server's ({name})")
