"""What was known on a day: the newest session, each instrument's names, and the adjustments in effect."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from champion_luigi.base.errors import SettingsError, UnknownSymbol
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.exchange import sessions
from champion_luigi.reading.source import Source

if TYPE_CHECKING:
    import polars as pl

_MOST_SIMILAR = 3


@dataclass(frozen=True)
class Known:
    """The state of knowledge when ``through`` was the newest session.

    ``events``, ``names`` and ``spans`` have the columns of `adjustments.tables`. ``wanted`` has the instrument of each
    symbol as it was given; without symbols it is None. ``note`` says what is doubtful about the adjustments.
    """

    through: date
    events: pl.DataFrame
    names: pl.DataFrame
    spans: pl.DataFrame
    wanted: dict[str, str] | None
    note: str | None = None

    def events_of(self, instruments: Iterable[str]) -> pl.DataFrame:
        """The adjustments of some instruments."""
        import polars as pl

        return self.events.filter(pl.col("instrument").is_in(list(instruments)))

    def symbols_of(self, instruments: Iterable[str]) -> set[str]:
        """All symbols that some instruments had."""
        import polars as pl

        return set(self.names.filter(pl.col("instrument").is_in(list(instruments)))["symbol"])

    def latest_symbols(self, instruments: Iterable[str]) -> dict[str, str]:
        """The symbol under which each instrument traded last."""
        import polars as pl

        given = list(instruments)
        periods = self.names.filter(pl.col("instrument").is_in(given), pl.col("start") <= self.through).sort("start")
        return {each: each for each in given} | dict(periods.select("instrument", "symbol").iter_rows())


def known(source: Source, symbols: Sequence[str] | None, as_of: date | None) -> Known:
    """What a source knew at the end of ``as_of``; None: what it knows now.

    Raises UnknownSymbol, and the source's errors if it has no prices or no adjustments.
    """
    through = source.days(as_of or date.max)[-1]
    made = source.adjustments()
    events, names, spans = made.events, made.names, made.spans
    note = None
    if made.through is not None and made.through < through and as_of is None:
        note = f"adjustments were made for prices to {made.through}, and later actions are missing: run champion adjust"
    wanted = None if symbols is None else {symbol: find(names, symbol) for symbol in symbols}
    if as_of is not None:
        events, spans = _on(as_of, through, source, names, wanted)
    return Known(through, events, names, spans, wanted, note)


def texts_of(given: str | Sequence[str]) -> list[str]:
    """A text, or several, each once. Raises SettingsError if there is anything else."""
    texts: list[object] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]
    if others := [each for each in texts if not isinstance(each, str)]:
        raise SettingsError("this is not a text", expected="texts, such as RELIANCE", found=repr(others[0]))
    return list(dict.fromkeys(map(str, texts)))


def find(names: pl.DataFrame, symbol: str) -> str:
    """The instrument that a symbol stands for: the latest one, where several companies have used the symbol.

    An instrument's own name is understood too, and capital letters may be left out. Raises UnknownSymbol.
    """
    import polars as pl

    for text in dict.fromkeys((symbol, symbol.strip().upper())):
        found = names.filter(pl.col("symbol") == text).sort("start")
        if found.height:
            return str(found["instrument"][-1])
        if text in names["instrument"]:
            return text
    similar = _similar(names, symbol.strip().upper())
    raise UnknownSymbol(
        f"no instrument had the symbol {symbol!r}",
        todo=f"Did you mean {' or '.join(similar)}?" if similar else "Load the days on which it traded.",
    )


def _similar(names: pl.DataFrame, text: str) -> list[str]:
    symbols = sorted(set(names["symbol"]))
    begin_alike = [name for name in symbols if len(text) >= 3 and name.startswith(text)]
    return [*dict.fromkeys([*difflib.get_close_matches(text, symbols, _MOST_SIMILAR), *begin_alike])][:_MOST_SIMILAR]


def _on(
    as_of: date, through: date, source: Source, names: pl.DataFrame, wanted: dict[str, str] | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The adjustments and spans as they were known on a day, made anew from the notices published by then."""
    import polars as pl

    from champion_luigi.adjustments import events, instruments, spans

    notices = source.rows(CORPORATE_ACTIONS, date.min, date.max, None)
    symbols = None
    if wanted is not None:
        symbols = set(names.filter(pl.col("instrument").is_in(list(wanted.values())))["symbol"])
        # One line of every list stays, because a notice has vanished if a later list lacks it.
        is_first = pl.col("line") == pl.col("line").min().over("trade_date")
        notices = notices.filter(pl.col("symbol").is_in(sorted(symbols)) | is_first)
    of_instruments = instruments.Names.of(names)
    actions = events.by_instrument(notices.collect(), of_instruments)
    face_values = events.face_values_of(actions, _face_values(source, through, symbols, names))
    prices = source.rows(EQUITY, date.min, through, symbols)
    rows = prices.select("symbol", "series", "trade_date", "close", "prev_close").collect()
    placed = spans.with_instrument(rows, names).with_columns(security=spans.security_of(pl.col("series")))
    days = source.days(through)
    missing = sorted(set(sessions.sessions(days[0], through)) - set(days))
    found = events.events_of(actions, of_instruments, placed, face_values, missing=missing, as_of=as_of)
    if wanted is not None:
        found = found.filter(pl.col("instrument").is_in(list(wanted.values())))
    return found, spans.spans_of(found, names, rows, through, missing)


def _face_values(source: Source, through: date, symbols: set[str] | None, names: pl.DataFrame) -> pl.DataFrame:
    """Each face value with its first and last day, by instrument."""
    import polars as pl

    from champion_luigi.adjustments import spans
    from champion_luigi.adjustments.tables import SHARE_SERIES

    day = pl.col("trade_date")
    shares = source.rows(MARKET_CAP, date.min, through, symbols).filter(
        pl.col("series").is_in(SHARE_SERIES), pl.col("face_value") > 0
    )
    rows = spans.with_instrument(shares.select("trade_date", "symbol", "face_value").collect(), names)
    return rows.group_by("instrument", "face_value").agg(day.min().alias("first"), day.max().alias("last"))
