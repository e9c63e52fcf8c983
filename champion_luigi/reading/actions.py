"""The adjustments behind the prices: an instrument's actions by ex-date, those without a factor included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.reading.known import known
from champion_luigi.reading.source import Name, opened

if TYPE_CHECKING:
    import polars as pl


def actions(
    symbols: Sequence[str] = (),
    *,
    as_of: date | None = None,
    unadjusted: bool = False,
    root: str | Path | None = None,
    source: Name = "lake",
) -> pl.DataFrame:
    """The adjustments of some symbols' instruments, of all without symbols, by ex-date and symbol.

    The frame has the columns of the adjustments, and ``remarks``: why an action has no factor, the symbol before a
    change, whether a notice vanished from the exchange's lists, whether its date is still to come. ``unadjusted``
    leaves those that change prices by a ratio that is not known. Raises UnknownSymbol; NotMade or WarehouseError if
    there are no adjustments yet.
    """
    import polars as pl

    with opened(source, root) as opened_source:
        facts = known(opened_source, symbols or None, as_of)
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
