"""The simulated market capitalisation: the member MCAP of the zip for the press, a row for each share that is listed.

The columns, the padding, the totals and the rounded closes are real. The numbers of shares are invented, and change
with splits, bonuses, consolidations and rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import MONTHS
from champion_luigi.simulated import capital, market
from champion_luigi.simulated.companies import invented_company

# From this day on, closes below 250 rupees are rounded to five paise.
_ROUNDED_FROM = date(2024, 6, 10)
_ROUNDED_BELOW = 25_000
# One share in so many is only permitted to trade.
_PERMITTED = 290
_NEVER = "Not Traded"
# Companies beside the market, whose shares have never traded, with the value of each share in paise.
_NEVER_TRADED = ((6001, 20_000), (6002, 9475))


def lines(day: date) -> Iterator[str]:
    """The lines of a session's member, header first, and its totals last."""
    stamp = _stamp(day)
    capitals = capital.of_companies(day)
    yield ",".join(MARKET_CAP.layouts[0].columns) + " " * 14
    totals = {"Listed": 0, "Permitted": 0}
    for of, traded, close in market.shares(day):
        face_value, (more, fewer) = capitals.get(of.slot, capital.UNCHANGED)
        issued = (200_000 + 157 * of.slot + 360 * of.usual) * more // fewer
        category = "Listed" if of.slot % _PERMITTED else "Permitted"
        value = issued * close
        totals[category] += value
        # Names are cut and padded, and the market value has more or fewer blanks behind it.
        is_rounded = day >= _ROUNDED_FROM and close < _ROUNDED_BELOW
        printed = (close + 2) // 5 * 5 if is_rounded else close
        of_share = f"{of.symbol},{of.series},{of.name:25},{category:10}"
        last = _stamp(traded) if traded else _NEVER
        yield f"{stamp},{of_share},{_numbers(last, face_value, issued, printed, value)}{' ' * (of.slot % 4)}"
    for company, close in _NEVER_TRADED:
        symbol, name = invented_company(company)
        issued = 400 * company
        totals["Listed"] += issued * close
        yield f"{stamp},{symbol},IT,{name:25},{'Listed':10},{_numbers(_NEVER, 10, issued, close, issued * close)}"
    for title, total in (*totals.items(), ("Total", sum(totals.values()))):
        yield f"{stamp},{title:10},  ,{'':25},{'':10},{_numbers('', 0, 0, 0, total)}"


def _numbers(last: str, face_value: int, issued: int, close: int, value: int) -> str:
    amounts = f"{close // 100:15}.{close % 100:02},{value // 100:15}.{value % 100:02}"
    return f"{last:11},{face_value:16}.00,{issued:18},{amounts}"


@lru_cache(maxsize=16)
def _stamp(day: date) -> str:
    return f"{day.day:02} {MONTHS[day.month - 1]} {day.year}"
