"""The simulated equity bhavcopy: the simulated market's rows in the exchange's own file formats.

The layouts, and each era's number formats and oddities, are real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from champion_luigi.datasets.equity import FIRST_DATE
from champion_luigi.datasets.model import MONTHS, Layout, Source
from champion_luigi.simulated import press
from champion_luigi.simulated.dice import SHORT_HUNDREDTHS, is_within
from champion_luigi.simulated.market import rows
from champion_luigi.simulated.zips import zipped

_UNPADDED_DAYS = (FIRST_DATE, date(2006, 12, 31))
_NO_TRAILING_COMMA = date(2020, 7, 13)

# The text after an amount's rupees, by its paise: three times as fast as formatting floats.
_PAISE = tuple(f".{n:02}" for n in range(100))


def written(day: date, source: Source, layout: Layout) -> bytes:
    """A session's zip in one of the sources' layouts. All have the same keys and values on a date."""
    if source.is_one_of_many:
        return press.written(day)
    return zipped(source.path_of(day), _WRITERS[source.name](day, layout).encode("ascii"), day)


def _legacy(day: date, layout: Layout) -> str:
    number = str(day.day) if is_within(day, _UNPADDED_DAYS) else f"{day.day:02}"
    month = MONTHS[day.month - 1]
    stamp, end = f"{number}-{month}-{day.year}", ",\n"
    if day == _NO_TRAILING_COMMA:
        stamp, end = f"{number}-{month.capitalize()}-{day.year % 100:02}", "\n"
    has_trades = "TOTALTRADES" in layout.columns
    paise = SHORT_HUNDREDTHS
    lines = [
        f"{of.legacy}{open // 100}{paise[open % 100]},{high // 100}{paise[high % 100]},"
        f"{low // 100}{paise[low % 100]},{close // 100}{paise[close % 100]},{last // 100}{paise[last % 100]},"
        f"{previous // 100}{paise[previous % 100]},{volume},{turnover // 100}{paise[turnover % 100]},"
        f"{stamp}{f',{trades},{of.isin}' if has_trades else ''}"
        for of, open, high, low, close, last, previous, volume, turnover, trades, _ in rows(day)
    ]
    return end.join([",".join(layout.columns), *lines, ""])


def _udiff(day: date, layout: Layout) -> str:
    # The first layout's header ends in a comma that its rows lack.
    header = ",".join(layout.columns) + ("," if layout.columns[-1] == "Rsvd04" else "")
    listed = rows(day)
    # Legacy rows are sorted; UDiFF rows are in no order.
    shuffled = [row for start in range(7) for row in listed[start::7]]
    stamps = f"{day},{day}"
    paise = _PAISE
    lines = [
        f"{stamps},{of.udiff}{open // 100}{paise[open % 100]},{high // 100}{paise[high % 100]},"
        f"{low // 100}{paise[low % 100]},{close // 100}{paise[close % 100]},"
        f"{f'{last // 100}{paise[last % 100]}' if last else ''},{previous // 100}{paise[previous % 100]},,"
        f"{settlement // 100}{paise[settlement % 100]},,,{volume},{turnover // 100}{paise[turnover % 100]},"
        f"{trades},F1,{of.lot},,,,,"
        for of, open, high, low, close, last, previous, volume, turnover, trades, settlement in shuffled
    ]
    return "\n".join([header, *lines, ""])


def _cm_bhavcopy(day: date, layout: Layout) -> str:
    stamp = f"{day.day:02}-{MONTHS[day.month - 1]}-{day.year}"
    paise = SHORT_HUNDREDTHS
    lines = [
        f"{of.isin},{of.symbol},,,{of.series},{open // 100}{paise[open % 100]},{high // 100}{paise[high % 100]},"
        f"{low // 100}{paise[low % 100]},{close // 100}{paise[close % 100]},{last // 100}{paise[last % 100]},"
        f"{previous // 100}{paise[previous % 100]},{volume},{turnover // 100}{paise[turnover % 100]},"
        f"{stamp},{trades},,,,,,,,,,,,,,,,,"
        for of, open, high, low, close, last, previous, volume, turnover, trades, _ in rows(day)
    ]
    return "\n".join([",".join(layout.columns), *lines, ""])


_WRITERS: Mapping[str, Callable[[date, Layout], str]] = {
    "legacy": _legacy,
    "udiff": _udiff,
    "cm_bhavcopy": _cm_bhavcopy,
}
