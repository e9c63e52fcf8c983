"""The simulated market: invented instruments, and what each of them did on a day.

The series and the oddities of each era are real; instruments and prices are invented. Prices are as traded: they answer
to the changes of `capital`. Symbols and names are those of the day, by `companies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from champion_luigi.datasets.equity import FIRST_DATE
from champion_luigi.datasets.model import MONTHS
from champion_luigi.exchange import sessions
from champion_luigi.simulated import capital, companies
from champion_luigi.simulated.companies import invented_company
from champion_luigi.simulated.dice import MARKET, TAIL, along, is_within, rolled

# The number of listed instruments of each kind at the start of a year, with straight lines between. Some do not trade
# every day, so a day has about 800 rows in 1994, and 2,500 from 2010 on.
POPULATION: Mapping[str, Sequence[tuple[int, int]]] = {
    "equity": ((1994, 780), (2000, 1400), (2010, 2250), (2025, 1990)),
    "bond": ((1994, 30), (2010, 360), (2025, 180)),
    "paper": ((1994, 8), (2010, 20), (2025, 40)),
    "small": ((2012, 0), (2025, 300)),
    "gold": ((2015, 0), (2020, 50)),
    "gilt": ((2017, 0), (2025, 60)),
}

# Oddities of the exchange's own files, with the first and the last date of each.
_LAST_UNRECORDED = (date(1995, 10, 5), date(1998, 3, 31))
_OPEN_IS_PREVIOUS_CLOSE = (date(1995, 12, 11), date(1996, 6, 28))
_RANGE_UNRECORDED = (date(1996, 1, 1), date(2003, 12, 31))
_DUMMY_ISINS = (date(2011, 6, 22), date(2023, 12, 31))
_TRADE_TO_TRADE = (date(1998, 1, 1), date.max)
_BLOCK_DEALS = (date(2005, 11, 14), date.max)
_SAME_DAY_SETTLEMENT = (date(2024, 3, 28), date.max)
_LAST_MAY_BE_BLANK = (date(2024, 1, 1), date.max)
_ONE_PAISA_TICKS = (date(2024, 6, 10), date.max)
# Of 256 days: how many have no LastPric in any row. Of 256 shares: how many trade under BE, and under BZ.
_BLANK_DAYS = 4
_BE, _BZ = 25, 3

# An instrument moves around the market in one of 256 ways. The last one is debt, whose price stays the same.
_WAYS = 256
_DEBT = 255
# Further rows of a symbol, beside its EQ row: for how many symbols, on how many of 256 days, usual volume.
_SIDES = {"BL": (60, 6, 300_000), "T0": (25, 20, 50)}
# A share that did not trade in so many sessions has never traded.
_LATELY = 6
_SHARES = ("EQ", "BE", "BZ", "SM", "ST")
_DUMMIES = {700: "DUMMY", 701: "INE"}

_BOND_SERIES = ("NA", *(f"N{n}" for n in range(1, 10)), *(f"N{letter}" for letter in "BCDEFGHIJKLMNOPQRSTUVWXYZ"))
_PAPER_SERIES = ("P1", "W1", "E1", "P2", "W2", "DR")


class _Instrument(NamedTuple):
    """The constants of an instrument. ``base`` is its price in 1994 in paise, ``usual`` its volume in lots.

    It trades on ``active`` of 256 sessions; ``way`` is how its price moves around the market.
    """

    symbol: str
    series: str
    name: str
    isin: str
    base: int
    way: int
    lot: int
    usual: int
    active: int


class Listing(NamedTuple):
    """An instrument in one quarter. ``slot`` is its place in `_universe`; ``is_side`` marks a row beside an EQ row.

    ``is_share`` marks the main row of a company's share.

    ``legacy`` and ``udiff`` are the constant parts of its lines in these formats.
    """

    slot: int
    active: int
    lot: int
    usual: int
    is_side: bool
    is_share: bool
    legacy: str
    udiff: str
    isin: str
    symbol: str
    series: str
    name: str


class Row(NamedTuple):
    """One row of a day. Prices and turnover in paise, volume in shares; a price of 0 is not recorded."""

    of: Listing
    open: int
    high: int
    low: int
    close: int
    last: int
    previous: int
    volume: int
    turnover: int
    trades: int
    settlement: int


def rows(day: date) -> list[Row]:
    """The rows of a day, sorted by symbol and series."""
    listed = listed_on(day)
    closes = _closes(day)
    before = _closes(sessions.previous(day) if day > FIRST_DATE else day - timedelta(days=1))
    starts = _starts(day, before)
    tick = _tick(day)
    found = []
    for of, a, b, c, d, e, f in zip(listed, *rolled(f"rows {day}", 6, len(listed)), strict=True):
        slot, active, lot, usual, is_side = of[:5]
        if a >= active:
            continue
        close = closes[slot]
        previous = before[slot]
        volume = lot * (1 + usual * TAIL[f] // 100)
        if is_side:
            found.append(_side_row(of, close, previous, close + (close * (b - 128) >> 12) // tick * tick, volume))
            continue
        start = starts[slot]
        open = start + (start * (b - 128) >> 13) // tick * tick
        low, high = (open, close) if open < close else (close, open)
        low -= (close * d >> 14) // tick * tick
        high += (close * c >> 14) // tick * tick
        last = low + ((high - low) * e >> 8) // tick * tick
        turnover = volume * (open + close) // 2
        trades = 1 + volume // (lot * 40)
        settlement = close + (tick if e > 204 else 0)
        found.append(Row(of, open, high, low, close, last, previous, volume, turnover, trades, settlement))
    return _with_oddities(found, day)


def shares(day: date) -> Iterator[tuple[Listing, date | None, int]]:
    """Every share listed on a day, sorted by symbol, with the last day on which it traded and its close of that day.

    A share that did not trade lately has none, but a close of its own: it was listed a day or two ago.
    """
    lately = [day]
    while len(lately) < _LATELY:
        lately.append(sessions.previous(lately[-1]))
    for of in listed_on(day):
        if of.is_share:
            last = next((each for each in lately if of.slot in _traded(each)), None)
            yield of, last, _closes(last or day)[of.slot]


@lru_cache(maxsize=16)
def _traded(day: date) -> frozenset[int]:
    """The shares that trade on a day, by slot."""
    listed = listed_on(day)
    [dice] = rolled(f"rows {day}", 1, len(listed))
    return frozenset(of.slot for of, each in zip(listed, dice, strict=True) if of.is_share and each < of.active)


def _starts(day: date, before: list[int]) -> list[int]:
    """Where each instrument's day starts: at its close of the session before, adjusted for what takes effect today."""
    struck = capital.on(day) if day > FIRST_DATE else []
    if not struck:
        return before
    found, tick = before.copy(), _tick(day)
    for each in struck:
        more, less = each.price
        found[each.company] = before[each.company] * less // more // tick * tick
    return found


def _side_row(of: Listing, close: int, previous: int, price: int, volume: int) -> Row:
    """A block deal, whose previous close is the last block's, or a same-day settlement, with the EQ row's close."""
    if of.series == "BL":
        close, previous = price, 10_000 + 5 * of.slot
    return Row(of, price, price, price, close, price, previous, volume, volume * price, 1, close)


def _with_oddities(rows: list[Row], day: date) -> list[Row]:
    [dice] = rolled(f"oddities {day}", 1, 9)
    places = [int.from_bytes(dice[start : start + 2], "big") % len(rows) for start in range(0, 8, 2)]
    for place in places[:2]:
        rows[place] = rows[place]._replace(last=0)
    # The close is above every traded price, as in some of the exchange's files.
    row = rows[places[2]]
    below = row.close - row.close // 50 // 5 * 5 - 5
    rows[places[2]] = row._replace(open=below, high=below, low=below, last=below, turnover=row.volume * below)
    if is_within(day, _RANGE_UNRECORDED):
        rows[places[3]] = rows[places[3]]._replace(open=0, high=0, low=0)
    if is_within(day, _OPEN_IS_PREVIOUS_CLOSE):
        rows = [row._replace(open=row.previous) for row in rows]
    is_blank = is_within(day, _LAST_MAY_BE_BLANK) and dice[8] < _BLANK_DAYS
    if is_blank or is_within(day, _LAST_UNRECORDED):
        rows = [row._replace(last=0) for row in rows]
    return rows


@lru_cache(maxsize=16)
def _closes(day: date) -> list[int]:
    """The close of every instrument, listed or not, in paise. It depends on the date alone, not on earlier days."""
    ways = _ways(day)
    tick = _tick(day)
    bases = _bases()
    [noise] = rolled(f"closes {day}", 1, len(bases))
    closes = [
        base * ways[way] * (9872 + n) // 10**10 // tick * tick for (base, way), n in zip(bases, noise, strict=True)
    ]
    for company, times, by in capital.run_ups(day):
        closes[company] = closes[company] * times // by // tick * tick
    return closes


@lru_cache(maxsize=64)
def _ways(day: date) -> list[int]:
    """What each way makes of the prices of 1994, in millionths."""
    quarter = day.year * 4 + (day.month - 1) // 3
    elapsed = (day - date(day.year, quarter % 4 * 3 + 1, 1)).days
    market = along(MARKET, day)
    [here], [there] = (rolled(f"ways of quarter {each}", 1, _WAYS) for each in (quarter, quarter + 1))
    ways = [market * (704 + 2 * (a * (92 - elapsed) + b * elapsed) // 92) for a, b in zip(here, there, strict=True)]
    ways[_DEBT] = 1000 * 1000
    return ways


def level(company: int, day: date) -> int:
    """About the price of a company's share in paise, before the noise of the day, and without a run-up to a change."""
    base, way = _bases()[company]
    return base * _ways(day)[way] // 10**6


@lru_cache(maxsize=1)
def _bases() -> list[tuple[int, int]]:
    return [(instrument.base, instrument.way) for _, _, instrument in _universe()]


def listed_on(day: date) -> list[Listing]:
    """The instruments listed on a day, sorted by symbol and series. Not all of them trade every day."""
    return _listed(day.year, (day.month - 1) // 3, companies.renamed_by(day))


@lru_cache(maxsize=8)
def _listed(year: int, quarter: int, renamed: int) -> list[Listing]:
    """The instruments listed in a quarter (0 to 3), with the first so many changes of symbols in force."""
    first = date(year, quarter * 3 + 1, 1)
    counts = {kind: along(steps, first) for kind, steps in POPULATION.items()}
    [dice] = rolled(f"trade to trade {year}", 1, len(_universe()))
    is_watched = is_within(first, _TRADE_TO_TRADE)
    has_dummies = is_within(first, _DUMMY_ISINS)
    sides = [name for name, dates in (("BL", _BLOCK_DEALS), ("T0", _SAME_DAY_SETTLEMENT)) if is_within(first, dates)]
    later = companies.later_names(renamed)
    listed = []
    for slot, (kind, place, original) in enumerate(_universe()):
        if place >= counts[kind]:
            continue
        of = original
        if slot in later:
            symbol, name = later[slot]
            of = original._replace(symbol=symbol, name=name)
        series, isin = of.series, of.isin
        if series == "EQ" and is_watched and dice[slot] < _BE + _BZ:
            series = "BE" if dice[slot] < _BE else "BZ"
        if series == "EQ":
            for side in sides:
                among, active, usual = _SIDES[side]
                if place < among:
                    listed.append((slot, of._replace(series=side, active=active, usual=usual)))
        if kind == "equity" and has_dummies:
            isin = _DUMMIES.get(place, isin)
        listed.append((slot, of._replace(series=series, isin=isin)))
    listed.sort(key=lambda each: (each[1].symbol, each[1].series))
    return [
        Listing(
            slot,
            of.active,
            of.lot,
            of.usual,
            of.series in _SIDES,
            of.series in _SHARES,
            f"{of.symbol},{of.series},",
            f"CM,NSE,STK,{_number(slot, of)},{of.isin},{of.symbol},{of.series},,,,,{of.name},",
            of.isin,
            of.symbol,
            of.series,
            of.name,
        )
        for slot, of in listed
    ]


@lru_cache(maxsize=1)
def _universe() -> list[tuple[str, int, _Instrument]]:
    """Every instrument that is ever listed: its kind, its place within that kind, and its constants.

    Shares come first: the slot of a company's share is the company's number.
    """
    return [
        (kind, place, _KINDS[kind](place, *rolled(f"{kind} {place}", 1, 8)))
        for kind, steps in POPULATION.items()
        for place in range(max(count for _, count in steps))
    ]


def _equity(place: int, dice: bytes) -> _Instrument:
    symbol, name = invented_company(place)
    isin = _isin("INE", place, "0101")
    base, usual = companies.first_price(dice), 40 * TAIL[dice[2]]
    return _Instrument(symbol, "EQ", name, isin, base, dice[3] % _DEBT, lot=1, usual=usual, active=251)


def _small(place: int, dice: bytes) -> _Instrument:
    symbol, name = invented_company(4000 + place)
    isin = _isin("INE", 4000 + place, "0101")
    series = "SM" if place % 8 else "ST"
    lot = (500, 800, 1000, 1200, 1600, 2000)[dice[0] % 6]
    return _Instrument(symbol, series, name, isin, 1000 + 5 * dice[1], dice[2] % _DEBT, lot, usual=8, active=230)


def _paper(place: int, dice: bytes) -> _Instrument:
    """Preference shares, warrants and the like, of a company whose shares are also listed."""
    company, paper = 9 * place + 3, place % len(_PAPER_SERIES)
    symbol, name = invented_company(company)
    isin = _isin("INE", company, f"04{paper + 1:02}")
    base = 2000 + 5 * dice[0]
    return _Instrument(symbol, _PAPER_SERIES[paper], name, isin, base, dice[1] % _DEBT, lot=1, usual=900, active=200)


def _bond(place: int, dice: bytes) -> _Instrument:
    """A bond. Every second issuer's bonds trade under the symbol of its shares, other bonds under their own symbols."""
    issuer, issue = divmod(place, 6)
    company = 11 * issuer + 5
    symbol, name = invented_company(company)
    if issuer % 2:
        coupon = 700 + dice[0]
        name = f"SEC RE NCD {coupon // 100}.{coupon % 100:02}% SR.{issue + 1}"
        symbol = f"{coupon}{symbol[:4]}{41 + issuer % 20}"
    series = _BOND_SERIES[issue * (1 + issuer % 5) + issuer % 4]
    isin = _isin("INE", company, f"07{issue + 1:02}")
    return _Instrument(symbol, series, name, isin, 100_000, _DEBT, lot=1, usual=60, active=225)


def _gold(place: int, _: bytes) -> _Instrument:
    year, month = 2041 + place // 12, place % 12
    symbol, name = f"SGB{MONTHS[month]}{year % 100}", f"2.50%GOLDBONDS{year}SR-{month + 1}"
    return _Instrument(symbol, "GB", name, _isin("IN9", place, "6000"), 500_000, _DEBT, lot=1, usual=40, active=240)


def _gilt(place: int, dice: bytes) -> _Instrument:
    year, coupon = 2081 + place, 600 + dice[0]
    name = f"GOI LOAN {coupon // 100}.{coupon % 100:02}% {year}"
    isin = _isin("IN9", place, "2000")
    return _Instrument(f"{coupon}GS{year}", "GS", name, isin, 10_000, _DEBT, lot=1, usual=200, active=220)


_KINDS = {"equity": _equity, "small": _small, "paper": _paper, "bond": _bond, "gold": _gold, "gilt": _gilt}


def _isin(prefix: str, number: int, issue: str) -> str:
    """An ISIN with a valid check digit; its issuer code has a form that no real code has."""
    thousand, number = divmod(number, 1000)
    body = f"{prefix}{'KLMNPQ'[thousand]}{number:03}{issue}"
    # Luhn over the digits, with letters as 10 to 35: every other digit is doubled, from the right.
    digits = "".join(str(int(each, 36)) for each in body)
    doubled = "".join(str(int(each) * (2 - place % 2)) for place, each in enumerate(reversed(digits)))
    return body + str(-sum(map(int, doubled)) % 10)


def _number(slot: int, of: _Instrument) -> int:
    """The exchange's number for an instrument; rows beside an EQ row are separate instruments."""
    return 10 * slot + 100 + ([*_SIDES].index(of.series) + 1 if of.series in _SIDES else 0)


def _tick(day: date) -> int:
    """The smallest step of a price, in paise."""
    return 1 if is_within(day, _ONE_PAISA_TICKS) else 5
