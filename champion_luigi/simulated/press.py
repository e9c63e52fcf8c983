"""The simulated zip for the press: the day's prices in its member Pd, corporate actions in Bc, market values in MCAP.

The other members have a line or two each.

Names, columns, sections and padding are real, and the changes of 2025-10-13; so is what Pd leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset, Layout, Source
from champion_luigi.datasets.press import PD
from champion_luigi.simulated import index_close, market, market_cap, notices
from champion_luigi.simulated.zips import zipped_all

# From this day on, names are in lower case with eight digits, dates start with the year, and zero has a zero.
_NEW_NAMES_FROM = date(2025, 10, 13)

# The titles of the sections of Pd, with the series and the mark that stood on their rows until the change.
_NIFTY, _NEXT = ("NIFTY 50 Sec", "", "Y"), ("NIFTY Next 50 Sec", "", "N")
_ROLLING, _FOR_TRADE = ("COMPULSORY ROLLING STOCKS", "EQ", ""), ("TRADE FOR TRADE STOCKS", "BT", "N")
_OTHERS, _PHYSICAL = ("OTHER SECURITIES", "N1", "N"), ("LIMITED PHYSICAL MARKET", "BT", "")
_FUNDS = ("EXCHANGE TRADED FUND", "", "")
# The shares of two sections are the first so many of those that trade, by symbol.
_MEMBERS = 50
_SECTIONS = {"EQ": _ROLLING, "SM": _ROLLING, "BE": _FOR_TRADE, "BZ": _FOR_TRADE, "ST": _FOR_TRADE, "BL": _PHYSICAL}
_MARKS = {"BL": "O", "BZ": "G"}

# The columns of the members beside Pd. Only the first lines of the exchange's files were looked at.
_AN = "COMPANY NAME    SYMBOL    : ANNOUNCEMENTS"
_BM = "COMPANY NAME    SYMBOL     : BM DATE    : BM PURPOSE "


def written(day: date) -> bytes:
    """A session's zip, with the members of all data sets."""
    is_new = day >= _NEW_NAMES_FROM
    shares = market.rows(day)
    of = shares[0].of
    on = f"{day}" if is_new else f"{day:%d/%m/%Y}"
    actions = notices.lines(day, year_first=is_new)
    texts = {
        "An.txt": f"{_AN}\r\n{of.name}    {of.symbol} : General Updates\r\n",
        "Bc.csv": "" if day == notices.EMPTY else "\r\n".join([_header(CORPORATE_ACTIONS, day), *actions, ""]),
        "Bm.txt": f"{_BM}\r\n{of.name}    {of.symbol} : {on} : Financial Results\r\n",
        "Pd.csv": "\n".join([",".join(PD), *_prices(day, shares), ""]),
        "Tt.csv": f"SECURITY,PREV_CL_PR,CLOSE_PRIC,NET_TRDQTY,NET_TRDVAL\r\n{of.name},,,,\r\n",
    }
    if day >= MARKET_CAP.first_date:
        texts["MCAP.csv"] = "\n".join([*market_cap.lines(day), ""])
    members = {_named(name, day): text.encode("ascii") for name, text in texts.items()}
    members["readme.txt" if is_new else "Readme.txt"] = b"The press file of the simulated exchange.\n"
    return zipped_all(members, day)


def written_for(day: date, source: Source, layout: Layout) -> bytes:  # noqa: ARG001 - there is one zip
    """The zip, for a data set that has no other file."""
    return written(day)


def _header(dataset: Dataset, day: date) -> str:
    names = {source.name for source in dataset.sources if source.is_one_of_many}
    layouts = (each for each in dataset.layouts if each.source in names and each.is_in_force(day))
    return ",".join(next(layouts).columns)


def _named(name: str, day: date) -> str:
    stem, _, ending = name.partition(".")
    if day >= _NEW_NAMES_FROM:
        return f"{stem.lower()}{day:%d%m%Y}.{ending}"
    return f"{stem}{day:%d%m%Y}.{ending}" if stem == "MCAP" else f"{stem}{day:%d%m%y}.{ending}"


def _prices(day: date, shares: Sequence[market.Row]) -> Iterator[str]:
    """The lines of Pd: the indices, then the shares of each section, behind its title."""
    is_new = day >= _NEW_NAMES_FROM

    def price(paise: int) -> str:
        whole, rest = divmod(paise, 100)
        return f"{f'{whole if whole or is_new else str()}.{rest:02}':>13}"

    def line(row: market.Row, mark: str) -> str:
        of = row.of
        prices = (row.previous, row.open, row.high, row.low, row.close)
        year = (max(row.high, row.close) * 5 // 4, min(row.low or row.close, row.close) * 3 // 4)
        turnover = f"{row.turnover // 100}.{row.turnover % 100:02}"
        traded = f"{turnover:>28},{row.volume},{mark}, ,{row.trades}"
        fields = (_MARKS.get(of.series, "N"), of.series, of.symbol, of.name, *map(price, prices), traded)
        return ",".join([*fields, *map(price, year)])

    turnover, volume, trades = (sum(getattr(row, of) for row in shares) for of in ("turnover", "volume", "trades"))
    for place, (name, index) in enumerate(index_close.in_press(day)):
        whole_market = (f"{turnover // 100}.{turnover % 100:02}", volume, trades)
        value, count, number = (("0.00" if is_new else "0"), 0, 0) if place else whole_market
        values = [price(each) for each in (index.previous, index.open, index.high, index.low, index.close)]
        if index.has_four_decimals:
            values = [each.strip() + ("25" if at == 1 else "00") for at, each in enumerate(values)]
        year = map(price, (index.close * 5 // 4, index.close * 3 // 4) if place < 3 else (0, 0))
        yield ",".join(["Y, , ", name, *values, f"{value},{count},Y, ,{number}", *year])
    yield _title("", "", "Y", is_new)
    sections: dict[tuple[str, str, str], list[market.Row]] = {
        each: [] for each in (_NIFTY, _NEXT, _ROLLING, _FOR_TRADE, _OTHERS, _PHYSICAL, _FUNDS)
    }
    for row in shares:
        section = _SECTIONS.get(row.of.series, _OTHERS)
        if row.of.series == "EQ":
            section = next((each for each in (_NIFTY, _NEXT) if len(sections[each]) < _MEMBERS), _ROLLING)
        sections[section].append(row)
    for section, rows in sections.items():
        yield _title("", *section[1:], is_new)
        yield _title(*section, is_new)
        yield from (line(row, "Y" if section == _NIFTY else "N") for row in rows)


def _title(title: str, series: str, mark: str, is_new: bool) -> str:
    marks = ("", "") if is_new else (series, mark)
    return ",".join(text or " " for text in ("", marks[0], "", title, *[""] * 7, marks[1], *[""] * 4))
