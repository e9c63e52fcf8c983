"""Prices of instruments as one frame: adjusted as chosen, over changes of symbol, as known today or on another day."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from champion_luigi.base.dates import day_of, range_of
from champion_luigi.base.errors import SettingsError
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.reading.known import Known, known, texts_of
from champion_luigi.reading.source import Name, Source, opened

if TYPE_CHECKING:
    import polars as pl

Adjustment = Literal["splits", "exchange", "total_return"]

DEFAULT_FIELDS = ("open", "high", "low", "close", "volume")
# Of an adjusted row, beside the columns of the data set.
_FURTHER = (
    "factor",
    "exchange_factor",
    "total_factor",
    "raw_close",
    "total_return_close",
    "unadjusted",
    "prev_close_by_exchange",
)
_KEY = ("trade_date", "symbol", "instrument")
FIELDS = (*(name for name in EQUITY.names if name not in _KEY), *_FURTHER)


def prices(
    symbols: str | Sequence[str] | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    *,
    adjusted: Adjustment | None = "splits",
    fields: str | Sequence[str] | None = None,
    series: str | Sequence[str] = SHARES,
    as_of: date | str | None = None,
    wide: bool = False,
    root: str | Path | None = None,
    source: Name = "lake",
) -> pl.DataFrame:
    """Daily prices of shares and funds, comparable over years. Returns a Polars frame; `.to_pandas()` makes it Pandas'.

        >>> from champion_luigi import prices
        >>> prices(["ALPHA", "BETA"], start="2024-03-11", end="2024-03-13", wide=True)
        shape: (3, 3)
        ┌────────────┬───────┬──────┐
        │ trade_date ┆ ALPHA ┆ BETA │
        │ ---        ┆ ---   ┆ ---  │
        │ date       ┆ f64   ┆ f64  │
        ╞════════════╪═══════╪══════╡
        │ 2024-03-11 ┆ 22.0  ┆ 48.0 │
        │ 2024-03-12 ┆ 22.0  ┆ 50.0 │
        │ 2024-03-13 ┆ 23.0  ┆ 52.0 │
        └────────────┴───────┴──────┘

    ``symbols`` are any symbols that the companies have had: each stands for its company under all its names. None means
    every share and fund. ``start`` and ``end`` are dates or ISO texts, both included; without them, all days are read.

    ``adjusted`` divides the prices (open, high, low, close, last, settlement, prev_close) before an ex-date by the
    factors of later actions, so that the newest session has factor 1:

    - ``"splits"``: splits, bonuses and consolidations; volume is multiplied by the same factor
    - ``"exchange"``: rights as well, as the exchange adjusts them; volume too
    - ``"total_return"``: dividends as well; volume as for ``"exchange"``, as dividends make no shares
    - ``None``: nothing; prices and volume are as published

    Nothing is rounded. Adjusted prices are in rupees of today's shares, volume is then Float64; turnover never changes.

    ``fields`` are columns: those of the data set equity, ``factor``, ``exchange_factor`` and ``total_factor`` (raw
    price / adjusted price), ``raw_close``, and ``unadjusted``, the number of later actions without a factor (demergers,
    for example). By default they are open, high, low, close and volume.

    An instrument has one row a day. Where it traded in several of the ``series`` on a day, the row is that with the
    highest turnover. Block deals (BL) and same-day settlement (T0) are never read.

    ``as_of`` gives the series as it was known at the end of that day: prices up to it, and only actions that were
    published and effective by then. It has no look-ahead, so a backtest can use it.

    The frame is sorted by trade_date and symbol. It has the columns trade_date, symbol (as traded on that day),
    instrument (the same for all names of a company) and the fields. With ``wide``, it has one field (close by default):
    trade_date, and a column for each symbol as it was given, null on days without a trade.

    ``root`` is the root of a lake; by default the settings' lake is read, or with ``source="warehouse"`` ClickHouse.

    Raises UnknownSymbol, which names similar symbols; SettingsError if an argument cannot be used; StorageError or
    WarehouseError if there are no prices, NotMade if there are no adjustments yet. Warns if prices are newer than the
    adjustments.
    """
    found = answered(
        symbols,
        start,
        end,
        adjusted=adjusted,
        fields=fields if fields is not None or not wide else "close",
        series=series,
        as_of=as_of,
        root=root,
        source=source,
    )
    if found.facts.note:
        warnings.warn(found.facts.note, stacklevel=2)
    return found.wide() if wide else found.frame


@dataclass(frozen=True)
class Answer:
    """Prices, and what they rest on: ``wanted`` has the instrument of each symbol as it was given.

    Without symbols, it has every instrument of ``frame`` under its latest symbol, or, where several share that, by its
    own name.
    """

    frame: pl.DataFrame
    facts: Known
    wanted: Mapping[str, str]

    def wide(self) -> pl.DataFrame:
        """The frame's one field, with a column for each symbol that is wanted. Raises SettingsError."""
        import polars as pl

        fields = self.frame.columns[len(_KEY) :]
        if len(fields) != 1:
            raise SettingsError("a wide frame has one field", expected="fields='close'", found=", ".join(fields))
        # A cell of each instrument and day, which is many times faster than a pivot of millions of rows.
        days = self.frame["trade_date"].unique().sort()
        place = {each: number * days.len() for number, each in enumerate(self.frame["instrument"].unique().sort())}
        first = pl.col("instrument").cast(pl.Enum(list(place))).to_physical().cast(pl.Int64) * days.len()
        cells = self.frame.select((first + pl.col("trade_date").rle_id()).alias("cell"), pl.col(*fields).alias("value"))
        grid = pl.select(pl.int_range(len(place) * days.len()).alias("cell"))
        values = grid.join(cells, on="cell", how="left", maintain_order="left")["value"]
        nothing = pl.repeat(None, days.len(), dtype=values.dtype, eager=True)
        columns = (
            (values.slice(place[each], days.len()) if each in place else nothing).alias(text)
            for text, each in self.wanted.items()
        )
        return pl.DataFrame([days, *columns])


def answered(
    symbols: str | Sequence[str] | None,
    start: date | str | None,
    end: date | str | None,
    *,
    adjusted: Adjustment | None,
    fields: str | Sequence[str] | None,
    series: str | Sequence[str],
    as_of: date | str | None,
    root: str | Path | None,
    source: Name,
) -> Answer:
    """What `prices` returns, with what it rests on; the arguments are the same."""
    typed = None if symbols is None else texts_of(symbols)
    (first, last), known_on = range_of(start, end), day_of(as_of, "as_of")
    if adjusted is not None and adjusted not in get_args(Adjustment):
        raise SettingsError(
            "there is no such adjustment", expected=f"{', '.join(get_args(Adjustment))} or None", found=repr(adjusted)
        )
    columns, of_series = _columns(fields), _series(series)
    with opened(source, root) as opened_source:
        facts = known(opened_source, typed, known_on)
        days = first or EQUITY.first_date, min(last or date.max, facts.through)
        frame = _rows(opened_source, facts, days=days, series=of_series, adjustment=adjusted, columns=columns)
    return Answer(frame, facts, _all(frame, facts) if facts.wanted is None else facts.wanted)


def _all(frame: pl.DataFrame, facts: Known) -> dict[str, str]:
    latest = facts.latest_symbols(frame["instrument"].unique())
    used = Counter(latest.values())
    found = {symbol if used[symbol] == 1 else each: each for each, symbol in latest.items()}
    return dict(sorted(found.items()))


# Arguments


def _columns(fields: str | Sequence[str] | None) -> list[str]:
    columns = [name for name in texts_of(DEFAULT_FIELDS if fields is None else fields) if name not in _KEY]
    if unknown := [name for name in columns if name not in FIELDS]:
        raise SettingsError("there is no such field", expected=", ".join(FIELDS), found=", ".join(unknown))
    return columns


def _series(series: str | Sequence[str]) -> list[str]:
    wanted = texts_of(series)
    if not wanted or set(wanted) - set(SHARES):
        raise SettingsError(
            "prices are adjusted in the series of shares and funds alone",
            expected=f"one or more of {', '.join(SHARES)}",
            found=", ".join(wanted) or "none",
            todo="Read other series as published: champion_luigi.lake.scan.",
        )
    return wanted


# Rows


def _rows(
    source: Source,
    facts: Known,
    *,
    days: tuple[date, date],
    series: list[str],
    adjustment: Adjustment | None,
    columns: list[str],
) -> pl.DataFrame:
    import polars as pl

    from champion_luigi.adjustments.spans import with_spans

    instruments = None if facts.wanted is None else set(facts.wanted.values())
    symbols = None if instruments is None else facts.symbols_of(instruments)
    rows = source.rows(EQUITY, *days, symbols).filter(pl.col("series").is_in(series))
    rows = with_spans(rows, facts.spans, facts.through)
    if instruments is not None:
        # Of a symbol that another company used as well, only the own rows are wanted.
        rows = rows.filter(pl.col("instrument").is_in(sorted(instruments)))
    rows = rows.with_columns(raw_close="close", total_return_close=pl.col("close") / pl.col("total_factor"))
    found = rows.with_columns(_adjusted(adjustment)).select(*_KEY, *dict.fromkeys((*columns, "series", "turnover")))
    return _one_a_day(found.collect(), _at_once(facts.names)).select(*_KEY, *columns)


def _adjusted(adjustment: Adjustment | None) -> list[pl.Expr]:
    import polars as pl

    from champion_luigi.adjustments.tables import PREVIOUS, PRICES, VOLUME

    if adjustment is None:
        return []
    factor = {"splits": "factor", "exchange": "exchange_factor", "total_return": "total_factor"}[adjustment]
    of_volume = "factor" if adjustment == "splits" else "exchange_factor"
    prices = [pl.col(name) / pl.col(factor) for name in PRICES]
    return [*prices, pl.col(PREVIOUS) / pl.col(f"prev_{factor}"), pl.col(VOLUME) * pl.col(of_volume)]


def _at_once(names: pl.DataFrame) -> list[str]:
    """The instruments that had two symbols at a time, as far as their periods show."""
    import polars as pl

    ended = pl.col("stop").cum_max().shift().over("instrument")
    return names.sort("instrument", "start").filter(pl.col("start") < ended)["instrument"].unique().to_list()


def _one_a_day(rows: pl.DataFrame, at_once: Sequence[str] = ()) -> pl.DataFrame:
    """Of several rows of an instrument and day that with the highest turnover; ``rows`` are by date and symbol.

    ``at_once`` are the instruments that can have rows of two symbols on a day.
    """
    import polars as pl

    day = ["trade_date", "symbol"]
    # Such days are few, and looking for neighbours is cheaper than grouping millions of rows.
    again = rows.select(pl.all_horizontal(pl.col(*day) == pl.col(*day).shift())).to_series().fill_null(value=False)
    several = again | again.shift(-1, fill_value=False)
    if at_once:
        several |= rows["instrument"].is_in(list(at_once))
    if not several.any():
        return rows
    best = rows.filter(several).sort("turnover", "series", descending=[True, False], nulls_last=True)
    return pl.concat([rows.filter(~several), best.unique(["trade_date", "instrument"], keep="first")]).sort(day)
