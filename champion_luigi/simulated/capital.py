"""What happens to the simulated companies' shares: splits, bonuses, consolidations, rights issues and demergers.

From the first list of notices on, two companies in five have such a change now and then, and at most one in four years.
Prices answer to it. In the year before the ex-date a price rises from its usual level to that level times the change's
factor, and from the ex-date on it is at its usual level again. So a day's prices depend on its date alone, and nobody
has to follow them from 1994 on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache, lru_cache
from math import isqrt
from types import MappingProxyType
from typing import NamedTuple

from champion_luigi.exchange import sessions
from champion_luigi.simulated.companies import first_price
from champion_luigi.simulated.dice import rolled

# Companies with higher numbers are not listed throughout.
COMPANIES = 1900
# The first list is that of 2010-01-04, and an action is listed for some weeks before its ex-date.
_FIRST_YEAR, _FIRST_DATE = 2010, date(2010, 2, 1)
_RUN_UP_DAYS = 365
# Of five companies, so many have changes at all; each has its turn in one of so many years.
_OF_FIVE, _TURNS = 2, 4
# Of 256 companies whose turn it is, how many have which change. Only low face values are consolidated.
_OF_256 = {
    "split": 56,
    "bonus": 64,
    "split and bonus": 8,
    "rights": 40,
    "demerger": 10,
    "reduction": 6,
    "consolidation": 32,
}
_KINDS = tuple(kind for kind, count in _OF_256.items() for _ in range(count))
_FACE_VALUES = (10, 10, 10, 10, 10, 5, 2, 1)
_BONUS_TERMS = ((1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (1, 3), (4, 1), (1, 4))
_RIGHTS_TERMS = ((1, 4), (1, 5), (2, 7), (1, 3), (3, 10), (1, 1), (6, 47), (8, 11))
# Rights are issued at 7 tenths of the price after, by companies whose shares are then above their face value: by those
# with such a price in 1994, in paise. The price falls by 5 to 4 in a demerger.
ISSUED_AT = (7, 10)
_ISSUED_FROM = 3000
_BY_DEMERGER = (5, 4)


class Change(NamedTuple):
    """A change of a company's shares, which takes effect on the first session from ``day`` on.

    ``texts`` are its notices, in which ``{premium}`` stands for that of a rights issue. Prices fall by the ratio
    ``price``: the first number to the second. The number of shares grows from ``shares[1]`` to ``shares[0]``.
    ``rights`` are the shares offered for so many old ones; ``face_value`` is that after the change.
    """

    company: int
    day: date
    texts: tuple[str, ...]
    price: tuple[int, int] = (1, 1)
    shares: tuple[int, int] = (1, 1)
    rights: tuple[int, int] = (0, 1)
    face_value: int = 10

    @property
    def ex_date(self) -> date:
        """The first session without the right."""
        return sessions.next_after(self.day - timedelta(days=1))


class Capital(NamedTuple):
    """A company's face value, and its number of shares as a multiple, first by second, of its first number."""

    face_value: int
    grown: tuple[int, int]


# The capital of all other companies.
UNCHANGED = Capital(10, (1, 1))


def on(ex_date: date) -> list[Change]:
    """The changes that take effect on a session."""
    before = sessions.previous(ex_date)
    years = {before.year, ex_date.year}
    return [each for year in sorted(years) for each in changes(year) if before < each.day <= ex_date]


def changes(year: int) -> tuple[Change, ...]:
    """The changes of a year, by company."""
    return _year(year)[0] if year >= _FIRST_YEAR else ()


def run_ups(day: date) -> Iterator[tuple[int, int, int]]:
    """The companies whose prices run up to a change: the company, and by what its price is multiplied and divided."""
    for year in (day.year, day.year + 1):
        for each in changes(year):
            left = (each.day - day).days
            before, after = each.price
            if 0 < left <= _RUN_UP_DAYS and before != after:
                # From 1 to the factor, nearly as a geometric sequence does, in integers: root is in thousandths.
                root, gone = isqrt(1_000_000 * before // after), _RUN_UP_DAYS + 1 - left
                times = root * (1000 * _RUN_UP_DAYS + (root - 1000) * gone)
                yield each.company, times, 1000 * (root * _RUN_UP_DAYS + (1000 - root) * gone)


@lru_cache(maxsize=32)
def of_companies(day: date) -> Mapping[int, Capital]:
    """Face value and shares of the companies that have changes now and then, with those that are in force on a day."""
    found = dict(_year(day.year - 1)[1] if day.year > _FIRST_YEAR else _first())
    for each in changes(day.year):
        if each.day <= day:
            found[each.company] = _after(found[each.company], each)
    return found


def face_value(company: int, day: date) -> int:
    """The face value of a company's share on a day, in rupees."""
    return of_companies(day).get(company, UNCHANGED).face_value


@cache
def _year(year: int) -> tuple[tuple[Change, ...], Mapping[int, Capital]]:
    """The changes of a year, and the companies' capital at its end."""
    capital = dict(_year(year - 1)[1] if year > _FIRST_YEAR else _first())
    turn = [company for company in capital if company // 5 % _TURNS == year % _TURNS]
    found = []
    for company, dice in zip(turn, rolled(f"capital {year}", len(turn), 4), strict=True):
        day = date(year, 1, 1) + timedelta(days=(256 * dice[0] + dice[1]) % 360)
        change = _change(company, day, capital[company].face_value, dice[2], dice[3])
        if change and day >= _FIRST_DATE:
            capital[company] = _after(capital[company], change)
            found.append(change)
    return tuple(found), MappingProxyType(capital)


def _first() -> dict[int, Capital]:
    [dice] = rolled("face values", 1, COMPANIES)
    return {
        company: Capital(_FACE_VALUES[dice[company] % len(_FACE_VALUES)], (1, 1))
        for company in range(COMPANIES)
        if company % 5 < _OF_FIVE
    }


def _after(capital: Capital, change: Change) -> Capital:
    (new, old), (more, fewer) = capital.grown, change.shares
    return Capital(change.face_value, (new * more, old * fewer))


def _change(company: int, day: date, face_value: int, kind: int, dice: int) -> Change | None:
    """A company's change in its turn; None if it has none."""
    match _KINDS[kind] if kind < len(_KINDS) else "":
        case "rights" if first_price(rolled(f"equity {company}", 1, 8)[0]) >= _ISSUED_FROM:
            return _rights(company, day, face_value, *_RIGHTS_TERMS[dice % len(_RIGHTS_TERMS)])
        case "split" | "bonus" | "split and bonus" | "rights" as name:
            return _split_or_bonus(company, day, face_value, name, dice)
        case "demerger":
            return Change(company, day, ("DEMERGER",), price=_BY_DEMERGER, face_value=face_value)
        case "reduction":
            return Change(company, day, ("CAPITAL REDUCTION",), face_value=face_value)
        case "consolidation" if face_value <= 2:
            text, ratio = f"CONSOLIDATION {rupees(100 * face_value)} TO 10", (face_value, 10)
            return Change(company, day, (text,), ratio, ratio, face_value=10)
    return None


def _split_or_bonus(company: int, day: date, face_value: int, name: str, dice: int) -> Change:
    texts = []
    new, old, to = 1, 1, face_value
    if "split" in name and face_value > 1:
        lower = [each for each in (1, 2, 5) if each < face_value]
        to = lower[dice % len(lower)]
        texts.append(f"FVSPLT FRM {rupees(100 * face_value)} TO {rupees(100 * to)}")
        new, old = face_value, to
    # A share of one rupee cannot be split, and a cheap one has no rights.
    if not texts or "bonus" in name:
        few, each = (1, 1) if texts else _BONUS_TERMS[dice // 4 % len(_BONUS_TERMS)]
        texts.append(f"BONUS {few}:{each}" + ("/DIV - RE 1" if dice % 16 == 0 else ""))
        new, old = new * (few + each), old * each
    return Change(company, day, tuple(texts), (new, old), (new, old), face_value=to)


def _rights(company: int, day: date, face_value: int, new: int, old: int) -> Change:
    paid, whole = ISSUED_AT
    # The price before by the one after, (old * before + new * paid / whole * after) / (old + new).
    price = (whole * (old + new) - paid * new, whole * old)
    text = f"RIGHTS {new}:{old} @PRM {{premium}}"
    return Change(company, day, (text,), price, (old + new, old), (new, old), face_value)


def rupees(paise: int) -> str:
    """An amount as notices have it: RE 0.50, RE 1, RS 2.50."""
    whole, rest = divmod(paise, 100)
    return f"{'RE' if paise <= 100 else 'RS'} {whole}{f'.{rest:02}' if rest else ''}"
