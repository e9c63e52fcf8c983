"""The exchange's list of changed symbols, ``symbolchange.csv``, read line by line.

The file has no header: company, old symbol, new symbol, and the first session under the new one. Its lines are in no
order. It is the state of the day on which it was fetched: the exchange publishes no earlier ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from champion_luigi.base.errors import RejectedPayload
from champion_luigi.datasets.model import MONTHS

_DATE = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", re.ASCII)
_EXPECTED = "lines of company, old symbol, new symbol, and a date such as 26-JUL-2024"
# A file of which more lines are something else is another file.
_MOST_STRANGE = 0.5
_SHOWN_LETTERS = 60


@dataclass(frozen=True, order=True)
class Change:
    """A change of a symbol: ``day`` is the first session under ``new``."""

    day: date
    old: str
    new: str
    company: str


@dataclass(frozen=True)
class Changes:
    """The changes of a list, by day, and the lines that are none, by the kind of oddity.

    The kinds are ``self_map`` (old and new are the same), ``repeated`` (as an earlier line) and ``not_understood``.
    """

    listed: tuple[Change, ...] = ()
    odd: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The number of changes, and of each kind of oddity."""
        return {"changes": len(self.listed)} | {kind: len(lines) for kind, lines in self.odd.items()}


def read_changes(content: bytes, source: str | None = None, day: date | None = None) -> Changes:
    """The changes in the bytes of a list.

    Raises RejectedPayload, which names ``source`` and the ``day`` on which it was fetched, if it is no such list.
    """
    lines = [line for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    found: set[Change] = set()
    odd: dict[str, list[str]] = {"self_map": [], "repeated": [], "not_understood": []}
    for line in lines:
        change = _change_in(line)
        if change is None:
            odd["not_understood"].append(line)
        elif change.old == change.new:
            odd["self_map"].append(line)
        elif change in found:
            odd["repeated"].append(line)
        else:
            found.add(change)
    _require_list(lines, odd["not_understood"], source, day, is_open=not content.endswith((b"\n", b"\r")))
    return Changes(tuple(sorted(found)), {kind: tuple(each) for kind, each in odd.items()})


def _change_in(line: str) -> Change | None:
    """The change in a line; None if it is not understood. A company's name may contain commas."""
    parts = [part.strip().strip('"').strip() for part in line.rsplit(",", 3)]
    match = _DATE.fullmatch(parts[-1])
    if len(parts) != 4 or match is None or not (parts[1] and parts[2]):
        return None
    day, month, year = match.groups()
    try:
        first = date(int(year), MONTHS.index(month.upper()) + 1, int(day))
    except ValueError:
        return None
    return Change(first, parts[1], parts[2], " ".join(parts[0].split()))


def _require_list(lines: list[str], strange: list[str], source: str | None, day: date | None, *, is_open: bool) -> None:
    """Raise RejectedPayload if the lines are no list, or the last one, which ``is_open``, is not understood."""
    if lines and len(strange) <= _MOST_STRANGE * len(lines):
        if is_open and strange and strange[-1] is lines[-1]:
            raise RejectedPayload(
                "the list of changed symbols is cut off",
                day=day,
                source=source,
                expected=_EXPECTED,
                found=f"a last line {_short(lines[-1])}",
                todo="Fetch the list again.",
            )
        return
    found = "no line" if not lines else f"{len(strange):,} of {len(lines):,} lines are others: {_short(strange[0])}"
    if lines and lines[0].lstrip().startswith("<"):
        found = f"a page of HTML: {_short(lines[0])}"
    raise RejectedPayload(
        "this is not the exchange's list of changed symbols",
        day=day,
        source=source,
        expected=_EXPECTED,
        found=found,
        todo="Open the address or file, and fetch the list again.",
    )


def _short(line: str) -> str:
    return repr(line if len(line) <= _SHOWN_LETTERS else line[:_SHOWN_LETTERS] + "…")
