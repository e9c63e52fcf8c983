"""The simulated lists of corporate actions: invented companies, every kind, and notices that move, blank and vanish.

The texts are worded as the exchange words them, cut and padded to 25 characters. An action depends on its ex-date
alone; a day's list has the actions that are announced by then and not over, each under the symbol of the list's day.
Splits, bonuses, consolidations, rights and demergers are those of `capital`, which prices answer to; dividends are in
proportion to prices, and too small to show in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from champion_luigi.datasets.model import MONTHS
from champion_luigi.exchange import sessions
from champion_luigi.simulated import capital, market
from champion_luigi.simulated.companies import company_on
from champion_luigi.simulated.dice import rolled

# Of 256 actions on shares: how many get another date on the way, have no date for some lists, or vanish early.
_MOVED, _DATELESS, _VANISHED = 24, 12, 12
# The lists of so many sessions before the ex-date can have an action.
_LONGEST_LEAD = 14
_A_DAY = 9
_BONDS = ("N3", "NB", "NC")
_WIDTH = 25
# The list of this day is empty.
EMPTY = date(2022, 1, 10)

# Actions that leave the shares as they are. A special dividend is five times another one.
_SHARES = (
    "DIV - {dividend} PER SH",
    "AGM/DIV - {dividend} PER SH",
    "INTDIV - {dividend} PER SH",
    "AGM, DIV - {dividend} PER SH",
    "DIV-{percent}%",
    "SPLDIV - {special} PER SH",
    "ANNUAL GENERAL MEETING",
    "EGM",
    "BUYBACK OF SHARES",
    "BONUS NCRPS {few}:1",
    "TERMS AS ANNOUNCED",
)


class _Action(NamedTuple):
    """An action on one or more series of a company. ``lead`` is the number of sessions from notice to ex-date."""

    company: int
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
                found += _lines(action, day, listed, year_first=year_first)
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
                face_value = f"{capital.face_value(action.company, day)}"
                rows.append((*company_on(action.company, day), "EQ", text, face_value, *dates))
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


def _lines(action: _Action, day: date, ex_date: date | str, *, year_first: bool) -> Iterator[str]:
    def written(day: date | str) -> str:
        if isinstance(day, str):
            return " "
        return f"{day}" if year_first else f"{day:%d/%m/%Y}"

    start = ex_date + timedelta(days=1) if isinstance(ex_date, date) and action.has_closure else ""
    end = start + timedelta(days=6) if isinstance(start, date) else ""
    record = action.ex_date if not action.has_closure else ""
    dates = ",".join(map(written, (record, start, end, ex_date, "", "")))
    symbol, name = company_on(action.company, day)
    for series in action.series:
        yield f"{series},{symbol},{name},{dates},{action.text[:_WIDTH]:{_WIDTH}}"


def _back(day: date, count: int) -> date:
    for _ in range(count):
        day = sessions.previous(day)
    return day


@lru_cache(maxsize=64)
def _actions(ex_date: date) -> Sequence[_Action]:
    found = [*_changes(ex_date)]
    for place, dice in enumerate(rolled(f"actions {ex_date}", _A_DAY, 8)):
        # Each text has its turn.
        template = _SHARES[(ex_date.toordinal() * _A_DAY + place) % len(_SHARES)]
        company = (dice[2] * 256 + dice[3]) % capital.COMPANIES
        text = template.format(few=1 + dice[0] % 4, **_dividends(company, ex_date, dice[1]))
        series = ("BE", "EQ", "BZ") if dice[4] < 16 else ("BE", "EQ")
        has_closure = text.startswith(("AGM", "ANNUAL"))
        found.append(_Action(company, series, text, ex_date, dice[5] % _LONGEST_LEAD, dice[6], has_closure))
    [dice] = rolled(f"interest {ex_date}", 1, 4)
    text = "INT PAYMENT/REDEMPTION" if dice[2] < 32 else "INTEREST PAYMENT"
    company = (dice[0] * 256 + dice[1]) % capital.COMPANIES
    found.append(_Action(company, _BONDS, text, ex_date, 2 + dice[3] % 4, 255, has_closure=False))
    return tuple(found)


def _changes(ex_date: date) -> Iterator[_Action]:
    """The notices of the changes that take effect on a session."""
    for change in capital.on(ex_date):
        [dice] = rolled(f"notices {ex_date} {change.company}", 1, 2)
        # Each is in more than one list, as one list is empty.
        lead, fate = 3 + dice[0] % (_LONGEST_LEAD - 3), dice[1]
        for text in change.texts:
            whole = text.format(premium=_premium(change, ex_date)) if change.rights[0] else text
            yield _Action(change.company, ("BE", "EQ"), whole, ex_date, lead, fate, has_closure=False)


def _dividends(company: int, ex_date: date, dice: int) -> Mapping[str, str]:
    """What a company pays, worded in each way: up to 0.7 percent of its price, and at most 9.95 rupees."""
    paise = max(5, min(995, market.level(company, ex_date) * (20 + dice) // 200_000 * 5))
    return {
        "dividend": capital.rupees(paise),
        "special": capital.rupees(5 * paise),
        "percent": f"{paise // capital.face_value(company, ex_date) or 1}",
    }


def _premium(change: capital.Change, ex_date: date) -> str:
    """What a rights issue costs above the face value, in whole rupees."""
    paid, whole = capital.ISSUED_AT
    paise = market.level(change.company, ex_date) * paid // whole - 100 * change.face_value
    return capital.rupees(paise // 100 * 100)
