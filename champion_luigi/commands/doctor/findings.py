"""What a check of `champion doctor` finds: a status, what was found, and what to do where it is not OK."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Literal

from champion_luigi.base.errors import ChampionError

Status = Literal["OK", "WARNING", "PROBLEM"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``server_ahead`` is by how many seconds a server's clock was ahead of this machine's."""

    status: Status
    found: str
    todo: str = ""
    server_ahead: float | None = None


def of_error(error: ChampionError | OSError) -> Finding:
    """What an error that ended a check comes to."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return Finding("PROBLEM", f"{error.strerror or error}{where}", "See whether the disk or network is there.")
    # What an error says of itself is also what the README says.
    general = (inspect.getdoc(type(error)) or "").partition("\n\n")[2].removeprefix("Retried. ")
    source = f" [{error.source}]" if error.source else ""
    return Finding("PROBLEM", told(error) + source, " ".join((error.todo or general).split()))


def told(error: ChampionError) -> str:
    """What is wrong, what was expected and what was found."""
    parts = [error.what, error.expected and f"expected {error.expected}", error.found and f"found {error.found}"]
    return "; ".join(filter(None, parts))
