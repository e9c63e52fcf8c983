"""The simulated index closes: about 30 indices in 2012 and 160 in 2026, in the exchange's own file format.

The layout, each era's number and date formats, and the kinds of names are real; members, values and valuations are
invented. Share indices, among them the Nifty 50, follow the market of the simulated instruments.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from champion_luigi.datasets import index_names
from champion_luigi.datasets.index_close import NOT_PUBLISHED
from champion_luigi.datasets.model import Layout, Source
from champion_luigi.exchange import sessions
from champion_luigi.simulated.dice import MARKET, SHORT_HUNDREDTHS, along, is_within, rolled

# The number of indices at the start of a year, with straight lines between.
POPULATION = ((2012, 30), (2013, 32), (2014, 41), (2016, 54), (2023, 104), (2026, 160), (2027, 167))

# Oddities of the exchange's own files.
_SLASHES = (date(2014, 6, 26), date(2015, 6, 30))
_NO_SLASHES = date(2014, 8, 12)
_MONTH_FIRST = frozenset({date(2023, 4, 6), date(2023, 4, 10), date(2023, 4, 11)})
_WITHOUT_S_AND_P_FROM = date(2013, 2, 8)
_NIFTY_FROM = date(2015, 11, 9)
# Between these dates two indices had another name. One file of that time was written again later, with later names.
_FREE_FLOAT = (date(2016, 4, 1), date(2018, 3, 28))
_IS_FREE_FLOAT = ("NIFTY Midcap 100", "NIFTY Smallcap 100")
_WITH_LATER_NAMES = date(2016, 7, 7)

# Of 256 days: how many have dates with slashes (in the year that has both forms), CRLF line ends, and no zero before
# the point in numbers below 1. Of 256 quarters: in how many an index has no P/E, because of losses.
_SLASHED, _CRLF, _BARE, _LOSSES = 64, 192, 64, 3

# The kind of an index decides which of its columns have values.
_SHARES = "shares"  # all columns
_AT_CLOSE = "shares at the close"  # no open, high and low
_NUMBER = "number"  # only the close and its change
_BONDS = "bonds"  # values, no shares and no valuation
_VOLATILITY = "volatility"  # as bonds, the open with four decimals
_DIVIDENDS = "dividends"  # only the close, from 0 each April

_SECTORS_2012 = (
    *("Auto", "Bank", "Energy", "Finance", "FMCG", "IT", "Media", "Metal", "MNC", "Pharma", "PSU Bank", "Realty"),
    *("Consumption", "Commodities", "Infrastructure", "PSE", "Service Sector"),
)
# Their later names, where those differ.
_RENAMED = {"Finance": "Financial Services", "Consumption": "India Consumption", "Service Sector": "Services Sector"}
_SECTORS = tuple(_RENAMED.get(sector, sector) for sector in _SECTORS_2012)
# What the exchange may invent next.
_INVENTED = (
    *("Logistics", "Textiles", "Water", "Ports & Shipping", "Power", "Insurance", "Gaming", "Semiconductors"),
    *("Hotels", "Agriculture", "Space", "Recycling", "Hydrogen", "Education", "Pensions", "Exports", "Toys"),
    *("Metro", "Optics", "Spices", "Seeds", "Paper", "Glass", "Ceramics", "Jewellery", "Films", "Museums"),
)
# Values whose names have one of these words are not of shares.
_OF_BONDS, _OF_NUMBERS = ("G-Sec", "Bond"), ("Futures", "Arbitrage", "1D Rate", "Inverse", "Leverage", "USD")


class _Index(NamedTuple):
    """The constants of an index: its names before and after November 2015, its kind, and its base values.

    ``base`` is its value in 1994, in tens of points, or in hundredths if the market does not move it. ``usual`` is the
    volume of its members in thousands of shares, and ``price`` their average price in rupees. ``pe``, ``pb`` and
    ``pays`` (the dividend yield) are in hundredths.
    """

    before: str
    name: str
    kind: str
    base: int
    usual: int
    price: int
    pe: int
    pb: int
    pays: int


class Values(NamedTuple):
    """An index on a day, in hundredths of a point. Open, high and low are 0 if only the close is calculated.

    The open of an index that ``has_four_decimals`` is a quarter of a hundredth higher.
    """

    name: str
    open: int
    high: int
    low: int
    close: int
    previous: int
    has_four_decimals: bool
    is_main: bool


def written(day: date, source: Source, layout: Layout) -> bytes | None:  # noqa: ARG001 - there is one source
    """A session's CSV of all indices; None for sessions without one on the exchange's archive."""
    if day in NOT_PUBLISHED:
        return None
    [dice] = rolled(f"index closes {day}", 1, 3)
    end = "\r\n" if dice[0] < _CRLF else "\n"
    lines = [",".join(layout.columns), *_lines(day, _stamp(day, dice[1]), is_bare=dice[2] < _BARE), ""]
    return end.join(lines).encode("ascii")


def values(day: date) -> list[Values]:
    """The indices listed on a day, in the order in which they began."""
    listed = _universe()[: along(POPULATION, day)]
    closes, previous = _closes(day), _closes(sessions.previous(day))
    found = []
    for place, (of, a, b, c, _, _) in enumerate(zip(listed, *rolled(f"indices {day}", 5, len(listed)), strict=True)):
        close, before = closes[place], previous[place]
        open = high = low = 0
        if of.kind in (_SHARES, _BONDS, _VOLATILITY):
            open = before + (before * (a - 128) >> 14) // 5 * 5
            high = max(open, close) + (close * b >> 15) // 5 * 5 + (5 if of.kind == _VOLATILITY else 0)
            low = min(open, close) - (close * c >> 15) // 5 * 5
        # The press has no index that is calculated at the close alone, but for that of dividends.
        is_main = of.kind in (_SHARES, _BONDS, _VOLATILITY, _DIVIDENDS)
        found.append(Values(_name(of, day), open, high, low, close, before, of.kind == _VOLATILITY, is_main))
    return found


def in_press(day: date) -> list[tuple[str, Values]]:
    """The main indices of a day, each with its name in the zip for the press: a shorter one, or one in other case."""
    stable = index_names.stable_names(day)
    found = []
    for place, index in enumerate(each for each in values(day) if each.is_main):
        known = stable.get(index_names.plain(index.name), "")
        name = _short_names().get(known, index.name) if day >= _NIFTY_FROM else index.name
        found.append((name.upper() if known and place % 3 == 1 else name, index))
    return found


@lru_cache(maxsize=1)
def _short_names() -> dict[str, str]:
    return {each.index: each.name for each in index_names.table() if each.basis.startswith("short name")}


def _stamp(day: date, dice: int) -> str:
    if day in _MONTH_FIRST:
        return f"{day:%m-%d-%Y}"
    is_slashed = is_within(day, _SLASHES) and day != _NO_SLASHES and (dice < _SLASHED or day == _SLASHES[0])
    return f"{day:%d/%m/%Y}" if is_slashed else f"{day:%d-%m-%Y}"


def _lines(day: date, stamp: str, *, is_bare: bool) -> list[str]:
    listed = values(day)
    [losses] = rolled(f"losses of quarter {_quarter(day)}", 1, len(_universe()))

    def text(hundredths: int) -> str:
        whole, rest = divmod(abs(hundredths), 100)
        sign = "-" if hundredths < 0 else ""
        return f"{sign}{'' if is_bare and not whole and rest else whole}{SHORT_HUNDREDTHS[rest]}"

    lines = []
    *_, second, first = rolled(f"indices {day}", 5, len(listed))
    for place, (index, of, d, e) in enumerate(zip(listed, _universe(), second, first, strict=False)):
        name, open, high, low, close, before, *_ = index
        change = close - before
        percent = (abs(change) * 20_000 // before + 1) // 2 * (1 if change > 0 else -1) if before else 0
        fields = [name, stamp, "-", "-", "-", text(close), text(change), text(percent), *"-----"]
        if of.kind in (_SHARES, _BONDS, _VOLATILITY):
            fields[2:5] = text(open), text(high), text(low)
            if of.kind == _VOLATILITY:
                fields[2] = f"{open // 100}.{open % 100:02}25"
        if of.kind in (_SHARES, _AT_CLOSE):
            volume = of.usual * (700 + 3 * d) + e
            turnover = volume * of.price // 100_000
            valuation = (of.pe + d // 4, of.pb + d // 32, of.pays + e // 64)
            fields[8:] = str(volume), text(turnover), *map(text, valuation)
        # The Nifty 50 always has a P/E, to be plausible.
        if place and losses[place] < _LOSSES:
            fields[10] = "-"
        if of.kind == _DIVIDENDS:
            # The exchange does not calculate this index's change, whatever its closes.
            fields[6:8] = "0", "-"
        lines.append(",".join(fields))
    return lines


def _name(of: _Index, day: date) -> str:
    if of.name in _IS_FREE_FLOAT and is_within(day, _FREE_FLOAT) and day != _WITH_LATER_NAMES:
        return of.name.replace("NIFTY", "Nifty Free Float")
    name = of.name if day >= _NIFTY_FROM else of.before
    return name if day < _WITHOUT_S_AND_P_FROM else name.removeprefix("S&P ")


@lru_cache(maxsize=16)
def _closes(day: date) -> list[int]:
    """The close of every index, listed or not, in hundredths of a point; it depends on the date alone."""
    market = along(MARKET, day)
    elapsed = (day - date(day.year, (day.month - 1) // 3 * 3 + 1, 1)).days
    count = len(_universe())
    [here], [there] = (rolled(f"index ways of quarter {_quarter(day) + each}", 1, count) for each in (0, 1))
    [noise] = rolled(f"index closes {day}", 1, count)
    return [
        _close(of, day, market, (a * (92 - elapsed) + b * elapsed) // 92, n)
        for of, a, b, n in zip(_universe(), here, there, noise, strict=True)
    ]


def _close(of: _Index, day: date, market: int, way: int, noise: int) -> int:
    """A close in hundredths of a point; ``way`` and ``noise`` are 0 to 255."""
    if of.kind == _DIVIDENDS:
        # Nothing is paid until June; then the close rises by a seventh of the year's dividends at a time.
        return of.base * ((day.month - 4) % 12 * 7 // 12)
    if of.kind == _VOLATILITY:
        return (of.base + 5 * way + noise) // 5 * 5
    if of.kind == _BONDS:
        days = (day - date(2012, 1, 1)).days
        return of.base * (100_000 + 18 * days) * (9995 + way // 64 + noise // 64) // 10**9
    close = of.base * market * (900 + 200 * way // 255) * (9930 + 140 * noise // 255) // 10**7
    return close // 5 * 5 if of.kind == _SHARES else close


def _quarter(day: date) -> int:
    return day.year * 4 + (day.month - 1) // 3


@lru_cache(maxsize=1)
def _universe() -> tuple[_Index, ...]:
    """Every index, in the order in which they began, which is also the order in the files."""
    return tuple(_index(place, before, name, kind) for place, (before, name, kind) in enumerate(_kinds()))


def _index(place: int, before: str, name: str, kind: str) -> _Index:
    a, b, c, d, e, f = rolled(f"index {place}", 1, 6)[0]
    of_shares = 20 + 2 * a if place else 175
    base = {_BONDS: 100_000 + 700 * a, _VOLATILITY: 1100, _DIVIDENDS: 1150}.get(kind, of_shares)
    return _Index(before, name, kind, base, 200 * (1 + b) * (1 + b % 7), 150 + 2 * c, 800 + 12 * d, 100 + 4 * e, 40 + f)


def _kinds() -> list[tuple[str, str, str]]:
    """Every index's names before and after November 2015, and its kind."""
    first = [
        ("S&P CNX Nifty", "Nifty 50", _SHARES),
        ("CNX Nifty Junior", "Nifty Next 50", _SHARES),
        ("CNX 100", "Nifty 100", _SHARES),
        ("CNX 200", "Nifty 200", _SHARES),
        ("S&P CNX 500", "Nifty 500", _SHARES),
        ("NIFTY Midcap 50", "Nifty Midcap 50", _SHARES),
        ("CNX Midcap", "NIFTY Midcap 100", _SHARES),
        ("CNX Smallcap", "NIFTY Smallcap 100", _SHARES),
        ("S&P CNX Nifty Dividend", "Nifty50 Dividend Points", _DIVIDENDS),
        *((f"CNX {before}", f"Nifty {after}", _SHARES) for before, after in zip(_SECTORS_2012, _SECTORS, strict=True)),
        ("S&P CNX Nifty Shariah", "Nifty50 Shariah", _AT_CLOSE),
        ("S&P CNX 500 Shariah", "Nifty500 Shariah", _AT_CLOSE),
        ("CNX Low Volatility", "Nifty Low Volatility 50", _AT_CLOSE),
        ("CNX DEFTY", "Nifty50 USD", _NUMBER),
    ]
    second = [
        ("CNX Alpha Index", "Nifty Alpha 50", _AT_CLOSE),
        ("CNX High Beta", "Nifty High Beta 50", _AT_CLOSE),
        ("CNX 100 Equal Weight", "NIFTY100 Equal Weight", _AT_CLOSE),
        ("LIX 15", "Nifty100 Liquid 15", _SHARES),
        ("CPSE", "Nifty CPSE", _SHARES),
        ("NV 20", "Nifty50 Value 20", _AT_CLOSE),
        ("LIX15 Midcap", "Nifty Midcap Liquid 15", _AT_CLOSE),
        ("India VIX", "India VIX", _VOLATILITY),
        ("NI15", "Nifty Growth Sectors 15", _SHARES),
        ("Nifty TR 1X Inverse", "Nifty50 TR 1x Inverse", _NUMBER),
        ("Nifty TR 2X Leverage", "Nifty50 TR 2x Leverage", _NUMBER),
        ("GSEC10 NSE Index", "Nifty 8-13 yr G-Sec", _BONDS),
        ("GSECBM NSE Index", "Nifty 10 yr Benchmark G-Sec", _BONDS),
    ]
    listed = {index_names.plain(name) for _, name, _ in (*first, *second)}
    # Those of the exchange's files before those that are known from its list alone.
    known = sorted((each for each in index_names.table() if each.index == each.name), key=_is_of_list)
    invented = [f"Nifty India {theme}" for theme in _INVENTED]
    later = [name for name in (*(each.name for each in known), *invented) if index_names.plain(name) not in listed]
    every = [*first, *second, *((name, name, _kind(name, place)) for place, name in enumerate(later))]
    return every[: POPULATION[-1][1]]


def _is_of_list(named: index_names.Named) -> bool:
    return not named.basis.startswith("file")


def _kind(name: str, place: int) -> str:
    lower = name.lower()
    if any(word.lower() in lower for word in _OF_BONDS):
        return _BONDS
    if any(word.lower() in lower for word in _OF_NUMBERS):
        return _NUMBER
    return _AT_CLOSE if place % 3 == 1 else _SHARES
