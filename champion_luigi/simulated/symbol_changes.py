"""The simulated list of changed symbols: without names of columns or a date of its own, as it stands today.

The oddities are real: a change to the same symbol, a line without a company, one that starts with a blank, a name
beyond ASCII. As on the exchange, a company has its newest name on all of its lines, which are sorted by that name.
"""

from __future__ import annotations

from datetime import date

from champion_luigi.datasets.model import MONTHS
from champion_luigi.simulated.companies import invented_company, renames

PATH = "/content/equities/symbolchange.csv"

# Changes of securities that the market does not have, and one that changes nothing.
_FUND = "BRAZO MF \N{EN DASH} Sr. 1 - Plan B - GO"
_OTHERS = (
    ("", "780KHUL30", "799KHUL30", date(2025, 2, 19)),
    (" BRAZO MF - Dual Advantage FTF Sr. 2 - DPO", "RBRADAD", "NBRADAD", date(2019, 10, 30)),
    (_FUND, "RBRA1BDG", "BRAZ1BDG", date(2016, 6, 23)),
)
_TO_ITSELF = (1500, date(2024, 11, 12))


def written() -> bytes:
    """The list with all changes that the simulated market ever has."""
    names = {each.company: each.name for each in renames()}
    company, day = _TO_ITSELF
    symbol, name = invented_company(company)
    lines = [
        *_OTHERS,
        (name, symbol, symbol, day),
        *((names[each.company], each.old, each.symbol, each.day) for each in renames()),
    ]
    return "".join(
        f"{name},{old},{new},{day:%d}-{MONTHS[day.month - 1]}-{day.year}\n" for name, old, new, day in sorted(lines)
    ).encode()
