"""The simulated companies: invented names, and the symbols under which they trade over the years.

A company is known by its number, which is also its place among the market's shares.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from champion_luigi.simulated.dice import TAIL

_ONSETS = ("B", "BR", "CH", "D", "DH", "F", "G", "GR", "H", "J", "K", "KH", "P", "PR", "S", "SH", "T", "TR", "V", "Y")
_VOWELS = "AEIOU"
_CODAS = ("N", "R", "L", "M", "X", "Z", "Q", "W")
_TRADES = (
    ("", "LIMITED"),
    ("IND", "INDUSTRIES LTD"),
    ("", "INDIA LIMITED"),
    ("CHEM", "CHEMICALS LTD"),
    ("TEX", "TEXTILE MILLS LTD"),
    ("FIN", "FINANCE LTD."),
    ("", "STEEL & POWER LTD"),
    ("BANK", "BANK LTD"),
    ("LAB", "LABORATORIES LTD"),
    ("", "ENGG (INDIA) LTD"),
    ("SOFT", "SOFTWARE LTD"),
    ("-AGRO", "AGRO-TECH LTD"),
)
# The numbers of invented names that no company starts with.
_LATER_NAMES = 20_000


class Rename(NamedTuple):
    """A change of a company's symbol and name; ``day`` is the first session under the new ones."""

    company: int
    day: date
    old: str
    symbol: str
    name: str


def invented_company(number: int) -> tuple[str, str]:
    """An invented company's symbol and name, up to 10 and 25 letters; the first 80,000 all differ."""
    rest = number * 31_337 % 80_000
    word = ""
    for sounds in (_ONSETS, _VOWELS, _CODAS, _ONSETS, _VOWELS):
        rest, sound = divmod(rest, len(sounds))
        word += sounds[sound]
    short, long = _TRADES[number % len(_TRADES)]
    symbol = f"{word[0]}&{word[1:]}" if number % 47 == 0 else f"{word}{short}"
    return symbol[:10], f"{word} {long}"[:25]


def first_price(dice: bytes) -> int:
    """The price of a company's share in 1994, in paise, by its dice among the shares."""
    return 5000 * TAIL[dice[0]] // 100 + 5 * dice[1]


# The companies that change their symbol, by first session, each with the number of the invented one. No bond and no
# warrant bears these companies' symbols. One changes twice, one takes the symbol that another has given up, one has a
# split a month before, and one while its notice is listed.
_TWICE, _GIVES_UP = 1003, 1112
_CHANGES = (
    (date(2003, 6, 16), 731, 20_000),
    (date(2011, 9, 12), _GIVES_UP, 20_001),
    (date(2015, 2, 2), _TWICE, 20_002),
    (date(2019, 8, 19), 1301, _GIVES_UP),
    (date(2023, 11, 6), 869, 20_004),
    (date(2024, 4, 15), _TWICE, 20_005),
    (date(2024, 7, 3), 1120, 20_006),
    (date(2024, 8, 2), 1300, 20_008),
    (date(2025, 9, 22), 1240, 20_007),
)


@lru_cache(maxsize=1)
def renames() -> tuple[Rename, ...]:
    """All changes of symbols, oldest first."""
    found = []
    symbols: dict[int, str] = {}
    for place, (day, company, number) in enumerate(_CHANGES):
        symbol, name = invented_company(number)[0], invented_company(_LATER_NAMES + place)[1]
        found.append(Rename(company, day, symbols.get(company, invented_company(company)[0]), symbol, name))
        symbols[company] = symbol
    return tuple(found)


def renamed_by(day: date) -> int:
    """The number of changes that are in force on a day."""
    return sum(each.day <= day for each in renames())


@lru_cache(maxsize=16)
def later_names(count: int) -> dict[int, tuple[str, str]]:
    """The symbol and name of each company that changed them, once the first so many changes are in force."""
    return {each.company: (each.symbol, each.name) for each in renames()[:count]}


def company_on(number: int, day: date) -> tuple[str, str]:
    """A company's symbol and name on a day."""
    return later_names(renamed_by(day)).get(number) or invented_company(number)
