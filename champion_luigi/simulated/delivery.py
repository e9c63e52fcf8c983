"""The simulated delivery files: the rows of the simulated market, with the shares delivered, as ``full`` and ``mto``.

The layouts, which series each file lacks, and the two days on which ``full`` was no such file are real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from champion_luigi.datasets.delivery import ALL_DELIVERED
from champion_luigi.datasets.model import MONTHS, Layout, Source
from champion_luigi.exchange import sessions
from champion_luigi.simulated import market
from champion_luigi.simulated.dice import is_within, rolled
from champion_luigi.simulated.zips import zipped_all

# Oddities of the exchange's own files.
_WORKBOOK = date(2022, 8, 8)
_PREVIOUS_ROWS = date(2021, 11, 4)
_UNKNOWN_DELIVERY = (date(2020, 1, 1), date(2020, 12, 31))
# The last year in which the settlement's number and date are known to follow its type.
_LAST_SETTLEMENT = date(2017, 12, 31)

# Of 256 days of that year: how many have a share without delivery. Of 256 rows: how many are delivered in full.
_UNKNOWN, _IN_FULL = 3, 8
# Block deals are in neither file; bonds of every second slot are in ``mto`` alone.
_BLOCK = "BL"

_MTO_TITLE = "Security Wise Delivery Position - Compulsory Rolling Settlement"


class _Delivery(NamedTuple):
    """A row of the market, and the shares delivered of it; -1 if the exchange does not say."""

    row: market.Row
    delivered: int


def written(day: date, source: Source, layout: Layout) -> bytes:
    """A session's file of one of the sources. Both have the same values for the keys that both have."""
    return _WRITERS[source.name](day, layout)


def _full(day: date, layout: Layout) -> bytes:
    if day == _WORKBOOK:
        return zipped_all({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}, day)
    of = sessions.previous(day) if day == _PREVIOUS_ROWS else day
    stamp = f"{of:%d}-{MONTHS[of.month - 1].capitalize()}-{of:%Y}"
    lines = [", ".join(layout.columns)]
    for row, delivered in _deliveries(of):
        if row.of.series.startswith("N") and row.of.slot % 2:
            continue
        prices = (row.previous, row.open, row.high, row.low, row.last, row.close)
        fields = [
            *(row.of.symbol, row.of.series, stamp),
            *(_hundredths(paise) if paise else "" for paise in prices),
            _hundredths(_rounded(row.turnover, row.volume)),
            f"{row.volume}",
            # A hundredth of a lakh is 1,000 rupees.
            _hundredths(_rounded(row.turnover, 100_000)),
            f"{row.trades}",
            *(("-", "-") if delivered < 0 else (f"{delivered}", _percent(delivered, row.volume))),
        ]
        lines.append(", ".join(fields))
    return "\n".join([*lines, ""]).encode("ascii")


def _mto(day: date, layout: Layout) -> bytes:
    listed = [each for each in _deliveries(day) if each.row.of.series not in ALL_DELIVERED and each.delivered >= 0]
    settlement = "Settlement Type <N>"
    if day <= _LAST_SETTLEMENT:
        number = len(sessions.sessions(date(day.year, 1, 1), day)) + 1
        settled = sessions.next_after(sessions.next_after(day))
        settlement += f",Settlement No <{day.year}{number:03}>,Settlement Date <{_upper(settled)}>"
    lines = [
        _MTO_TITLE,
        f"10,MTO,{day:%d%m%Y},{sum(each.delivered for each in listed)},{len(listed):07}",
        f"Trade Date <{_upper(day)}>,{settlement}",
        ",".join(layout.columns),
        *(
            f"20,{number},{row.of.symbol},{row.of.series},{row.volume},{delivered},{_percent(delivered, row.volume)}"
            for number, (row, delivered) in enumerate(listed, start=1)
        ),
    ]
    return "\n".join([*lines, ""]).encode("ascii")


def _deliveries(day: date) -> Iterator[_Delivery]:
    """The rows of a day that have a delivery, or that only ``full`` has, sorted by symbol and series."""
    rows = [row for row in market.rows(day) if row.of.series != _BLOCK]
    dice = rolled(f"deliveries {day}", 1, len(rows) + 2)[0]
    unknown = -1
    if is_within(day, _UNKNOWN_DELIVERY) and dice[-1] < _UNKNOWN:
        unknown = next(place for place in range(dice[-2], len(rows)) if rows[place].of.series == "EQ")
    for place, (row, share) in enumerate(zip(rows, dice, strict=False)):
        if row.of.series in ALL_DELIVERED or place == unknown:
            yield _Delivery(row, -1)
        else:
            yield _Delivery(row, row.volume if share < _IN_FULL else 1 + (row.volume - 1) * share // 256)


def _rounded(value: int, unit: int) -> int:
    return (2 * value + unit) // (2 * unit)


def _percent(part: int, whole: int) -> str:
    return _hundredths(_rounded(10_000 * part, whole))


def _hundredths(value: int) -> str:
    return f"{value // 100}.{value % 100:02}"


def _upper(day: date) -> str:
    return f"{day:%d}-{MONTHS[day.month - 1]}-{day:%Y}"


_WRITERS: Mapping[str, Callable[[date, Layout], bytes]] = {"full": _full, "mto": _mto}
