"""The finding of a `champion doctor` check: its status, what was found, and what to do if it is not OK."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Literal

from champion_luigi.base.errors import ChampionError

Status = Literal["OK", "WARNING", "PROBLEM"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``server_ahead`` is the number of seconds that a server's clock was ahead of ours."""

    status: Status
    found: str
    todo: str = ""
    server_ahead: float | None = None


def of_error(error: ChampionError | OSError) -> Finding:
    """The finding for an error that ended a check."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return Finding("PROBLEM", f"{error.strerror or error}{where}", "Check that the disk or network is available.")
    # The error's own docstring has the remedy, as in the README.
    general = (inspect.getdoc(type(error)) or "").partition("\n\n")[2].removeprefix("Retried. ")
    source = f" [{error.source}]" if error.source else ""
    return Finding("PROBLEM", told(error) + source, " ".join((error.todo or general).split()))


def told(error: ChampionError) -> str:
    """An error's message: what is wrong, what was expected and what was found."""
    parts = [error.what, error.expected and f"expected {error.expected}", error.found and f"found {error.found}"]
    return "; ".join(filter(None, parts))
