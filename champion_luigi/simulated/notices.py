"""The simulated lists of corporate actions: invented companies, every kind, and notices that move, blank and vanish.

The texts are worded as the exchange words them, cut and padded to 25 characters. An action depends on its ex-date
alone; a day's list has the actions that are announced by then and not over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from champion_luigi.datasets.model import MONTHS
from champion_luigi.exchange import sessions
from champion_luigi.simulated.dice import rolled
from champion_luigi.simulated.market import invented_company

# Of 256 actions on shares: how many get another date on the way, have no date for some lists, or vanish early.
_MOVED, _DATELESS, _VANISHED = 24, 12, 12
# The lists of so many sessions before the ex-date can have an action.
_LONGEST_LEAD = 14
_A_DAY = 9
_COMPANIES = 1900
_BONDS = ("N3", "NB", "NC")
_WIDTH = 25
# The list of this day is empty.
EMPTY = date(2022, 1, 10)

_SHARES = (
    "FVSPLT FRM RS 10 TO RE {one}",
    "FVSPLT FRM RS 10 TO RS {five}",
    "BONUS {few}:{one}",
    "BONUS {one}:{few}/DIV - RS {few}",
    "RIGHTS {few}:{many} @PRM RS {many}",
    "CONSOLIDATION RE {one} TO 10",
    "DIV - RS {few} PER SH",
    "DIV - RS {few}.{many} PER SH",
    "AGM/DIV - RS {few} PER SH",
    "INTDIV - RE 0.{many} PER SH",
    "AGM, DIV - RS {few}.{many} PER SH",
    "DIV-{many}%",
    "SPLDIV - RS {many} PER SH",
    "ANNUAL GENERAL MEETING",
    "EGM",
    "BUYBACK OF SHARES",
    "DEMERGER",
    "CAPITAL REDUCTION",
    "BONUS NCRPS {few}:{one}",
    "TERMS AS ANNOUNCED",
)


class _Action(NamedTuple):
    """An action on one or more series of a company. ``lead`` is the number of sessions from notice to ex-date."""

    symbol: str
    name: str
    series: tuple[str, ...]
    text: str
    ex_date: date
    lead: int
    fate: int
    has_closure: bool


def lines(day: date, *, year_first: bool) -> list[str]:
    """The lines of a session's list, in no order of the ex-dates; none on the day whose list is empty."""
    if day == EMPTY:
        return []
    found: list[str] = []
    ex_date = sessions.previous(day)
    for place in range(-1, _LONGEST_LEAD + 1):
        for action in _actions(ex_date):
            if (listed := _listed(action, place)) is not None:
                found += _lines(action, listed, year_first=year_first)
        ex_date = sessions.next_after(ex_date)
    return sorted(found)


def export(day: date, columns: Sequence[str]) -> bytes:
    """What the website exports for the ex-dates up to a session and a month back: a row for each action on shares."""
    stop = day - timedelta(days=30)
    rows: list[Sequence[str]] = [columns]
    ex_date = day
    while ex_date >= stop:
        for action in _actions(ex_date):
            if "EQ" in action.series:
                text = f" {action.text}"
                dates = (_exported(ex_date), "-" if action.has_closure else _exported(ex_date), "-", "-")
                rows.append((action.symbol, action.name, "EQ", text, "10", *dates))
        ex_date = sessions.previous(ex_date)
    lines = (",".join(f'"{field}"' for field in row) for row in rows)
    return "\ufeff".encode() + "".join(f"{line}\n" for line in lines).encode("ascii")


def _exported(day: date) -> str:
    return f"{day:%d}-{MONTHS[day.month - 1].capitalize()}-{day.year}"


def _listed(action: _Action, left: int) -> date | str | None:
    """The ex-date in the list of the day that is so many sessions before it, "" for a blank; None if not listed."""
    if left > action.lead or (left < 0 and action.fate % 2):
        return None
    if action.fate < _MOVED and left > action.lead // 2 > 0:
        # The first date was two sessions earlier, and has not come yet.
        return _back(action.ex_date, 2) if left > 2 else action.ex_date
    if _MOVED <= action.fate < _MOVED + _DATELESS and 0 < left < action.lead:
        return ""
    if _MOVED + _DATELESS <= action.fate < _MOVED + _DATELESS + _VANISHED and left < action.lead:
        return None
    return action.ex_date


def _lines(action: _Action, ex_date: date | str, *, year_first: bool) -> Iterator[str]:
    def written(day: date | str) -> str:
        if isinstance(day, str):
            return " "
        return f"{day}" if year_first else f"{day:%d/%m/%Y}"

    start = ex_date + timedelta(days=1) if isinstance(ex_date, date) and action.has_closure else ""
    end = start + timedelta(days=6) if isinstance(start, date) else ""
    record = action.ex_date if not action.has_closure else ""
    dates = ",".join(map(written, (record, start, end, ex_date, "", "")))
    for series in action.series:
        yield f"{series},{action.symbol},{action.name},{dates},{action.text[:_WIDTH]:{_WIDTH}}"


def _back(day: date, count: int) -> date:
    for _ in range(count):
        day = sessions.previous(day)
    return day


@lru_cache(maxsize=64)
def _actions(ex_date: date) -> Sequence[_Action]:
    found = []
    for place, dice in enumerate(rolled(f"actions {ex_date}", _A_DAY, 8)):
        # Each text has its turn.
        number = (ex_date.toordinal() * _A_DAY + place) % len(_SHARES)
        few, many = 1 + dice[0] % 4, 11 + dice[1] % 80
        text = _SHARES[number].format(one=1, five=5, few=few, many=many)
        symbol, name = invented_company((dice[2] * 256 + dice[3]) % _COMPANIES)
        series = ("BE", "EQ", "BZ") if dice[4] < 16 else ("BE", "EQ")
        has_closure = text.startswith(("AGM", "ANNUAL"))
        found.append(_Action(symbol, name, series, text, ex_date, dice[5] % _LONGEST_LEAD, dice[6], has_closure))
    [dice] = rolled(f"interest {ex_date}", 1, 4)
    symbol, name = invented_company((dice[0] * 256 + dice[1]) % _COMPANIES)
    text = "INT PAYMENT/REDEMPTION" if dice[2] < 32 else "INTEREST PAYMENT"
    found.append(_Action(symbol, name, _BONDS, text, ex_date, 2 + dice[3] % 4, 255, has_closure=False))
    return tuple(found)
