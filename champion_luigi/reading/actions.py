"""The adjustments behind the prices: an instrument's actions by ex-date, those without a factor included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.base.dates import day_of
from champion_luigi.reading.known import known, texts_of
from champion_luigi.reading.source import Name, opened

if TYPE_CHECKING:
    import polars as pl


def actions(
    symbols: str | Sequence[str] | None = None,
    *,
    as_of: date | str | None = None,
    unadjusted: bool = False,
    root: str | Path | None = None,
    source: Name = "lake",
) -> pl.DataFrame:
    """The adjustments of some symbols' instruments, of all without symbols, by ex-date and symbol.

    The frame has the columns of the adjustments, and ``remarks``: why an action has no factor, the symbol before a
    change, whether a notice vanished from the exchange's lists, whether its date is still to come. ``unadjusted``
    leaves those that change prices by a ratio that is not known. ``as_of``, a date or an ISO text, gives those that
    were known on that day. Raises UnknownSymbol, SettingsError; StorageError or WarehouseError if there are no prices,
    NotMade if there are no adjustments yet.
    """
    import polars as pl

    named, known_on = None if symbols is None else texts_of(symbols), day_of(as_of, "as_of")
    with opened(source, root) as opened_source:
        facts = known(opened_source, named or None, known_on)
    events = facts.events if facts.wanted is None else facts.events_of(facts.wanted.values())
    if unadjusted:
        events = events.filter("unadjusted")
    remarks = pl.concat_str(
        "note",
        "formerly " + pl.col("from_symbol"),
        pl.when("vanished").then(pl.lit("gone from the lists before its date")),
        pl.when(pl.col("ex_date") > facts.through).then(pl.lit("still to come")),
        separator="; ",
        ignore_nulls=True,
    )
    return events.with_columns(remarks=remarks.replace("", None)).sort("ex_date", "symbol", "kind", "number")
