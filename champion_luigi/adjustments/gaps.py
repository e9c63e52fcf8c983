"""Opening prices against the closes before them: whether events have the right factor, and whether one is missing.

A share opens near the previous close divided by the factor of the events in between. Where a split, bonus or
consolidation has another factor than the market gave it, the open says so; and an open far from the close on a day
without an event means an event that no list had.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from champion_luigi.adjustments import spans
from champion_luigi.adjustments.tables import OF_SHARES
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.exchange import sessions

if TYPE_CHECKING:
    import polars as pl

# What an opening after a split, bonus or consolidation lies between, as a part of the previous close / factor.
LEAST, MOST = 0.8, 1.25
# From which ratio on, either way, an opening is a jump. Bands of 20 % stop most shares long before.
JUMP: Final = 1.45
# In rupees: below, one tick of five paise can be a jump.
_LEAST_PRICE = 1.0
# Rights that trade by themselves for some days have no bands, and no actions.
_ENTITLEMENTS = r"-RE\d*$"
# How far back a previous close is looked for.
REACH: Final = timedelta(days=45)

WITHIN, OUTSIDE, NOT_COMPARED = "within", "outside", "not_compared"
VERDICTS: Final = (WITHIN, OUTSIDE, NOT_COMPARED)


def moves_of(rows: pl.LazyFrame, factors: pl.DataFrame, through: date) -> pl.DataFrame:
    """One row for each day on which a share or fund traded, with its open and the close before.

    ``rows`` are equity rows; of a day's series of shares, that with the highest turnover counts. ``factors`` are spans,
    ``through`` is the date of the newest price. The result has ``instrument``, ``symbol``, ``trade_date``, ``open``;
    ``before`` and ``close_before``, the date and the close of the row before; and what took effect since then:
    ``factor`` and ``total_factor``, by which that close is divided, and ``unadjusted``.
    """
    import polars as pl

    names = ("symbol", "series", "trade_date", "open", "close", "turnover")
    placed = spans.with_spans(rows.select(names).filter(pl.col("series").is_in(SHARES)), factors, through)
    day = ["instrument", "trade_date"]
    main = placed.sort(*day, "turnover", "series").unique(day, keep="last").sort(*day)

    def before(name: str) -> pl.Expr:
        return pl.col(name).shift(1).over("instrument")

    return main.select(
        *("instrument", "symbol", "trade_date", "open"),
        before("trade_date").alias("before"),
        before("close").alias("close_before"),
        *((before(name) / pl.col(name)).alias(name) for name in ("factor", "total_factor")),
        (before("unadjusted") > pl.col("unadjusted")).alias("unadjusted"),
    ).collect()


def openings(moves: pl.DataFrame, events: pl.DataFrame, held: Collection[date]) -> pl.DataFrame:
    """The opening after each split, bonus and consolidation of shares in ``events``; those of one date are one.

    ``moves`` are those of `moves_of`, ``held`` are the days that the lake has. The result has ``instrument``,
    ``symbol``, ``ex_date``, ``kind``, ``factor``, ``trade_date``, ``open``, ``before``, ``close_before``; ``gap``, the
    adjusted open as a part of the adjusted close before; ``verdict`` (within, outside or not_compared), and ``reason``.
    """
    import polars as pl

    found = (
        events.filter(pl.col("counts_in") == "splits", pl.col("security") == OF_SHARES)
        .group_by("instrument", "ex_date")
        .agg(
            pl.col("symbol").first(),
            pl.col("kind").unique().sort().str.join(" and "),
            pl.col("factor").product(),
        )
        .sort("ex_date", "instrument")
        .join_asof(
            moves.rename({"factor": "applied"})
            .select("instrument", "trade_date", "open", "before", "close_before", "applied")
            .sort("trade_date"),
            left_on="ex_date",
            right_on="trade_date",
            by="instrument",
            strategy="forward",
            coalesce=False,
            check_sortedness=False,
        )
        .with_columns(gap=pl.col("open") * pl.col("applied") / pl.col("close_before"))
        .drop("applied")
    )
    asked = found.select("ex_date", "trade_date", "before", "gap").iter_rows()
    judged = [_judged(ex_date, day, before, gap, held) for ex_date, day, before, gap in asked]
    verdicts, reasons = ([each[place] for each in judged] for place in (0, 1))
    return found.with_columns(pl.Series("verdict", verdicts, pl.String), pl.Series("reason", reasons, pl.String))


def _judged(
    ex_date: date, trade_date: date | None, before: date | None, gap: float | None, held: Collection[date]
) -> tuple[str, str | None]:
    """The verdict about an opening, and the reason if it is not within the limits or was not compared."""
    first = ex_date if sessions.is_session(ex_date) else sessions.next_after(ex_date)
    last = sessions.previous(first)
    for needed in (last, first):
        if needed not in held:
            return NOT_COMPARED, f"the session {needed} is not in the lake"
    if trade_date is None or before is None:
        return NOT_COMPARED, f"no trade {'from the ex-date on' if trade_date is None else 'before the ex-date'}"
    if gap is None:
        return NOT_COMPARED, "the open is not known"
    if LEAST <= gap <= MOST:
        return WITHIN, None
    if (before, trade_date) != (last, first):
        return NOT_COMPARED, f"no trade from {before} to {trade_date}"
    return OUTSIDE, f"opened at {gap:.3f} of the previous close / factor"


def jumps(moves: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Openings further than `JUMP` from the previous close / factor that no event explains, by date and symbol.

    Only a close of the session before counts: after a pause, any price is possible. Shares below one rupee, where a
    tick is a jump, and entitlements to rights are left out. The result has the columns of `moves_of` and ``ratio``, the
    open as a part of that close.
    """
    import polars as pl

    ratio = pl.col("open") * pl.col("total_factor") / pl.col("close_before")
    is_far = abs(ratio.log()) > math.log(JUMP)
    is_priced = pl.min_horizontal("open", "close_before") >= _LEAST_PRICE
    is_plain = ~pl.col("unadjusted") & (pl.col("factor") == 1) & ~pl.col("symbol").str.contains(_ENTITLEMENTS)
    found = moves.filter(is_far, is_priced, is_plain).with_columns(ratio=ratio)
    # Dividends of unknown amount, too, can move a price.
    vague = events.filter(pl.col("factor").is_null(), pl.col("kind") != "symbol_change")
    found = found.join(vague, left_on=["instrument", "trade_date"], right_on=["instrument", "ex_date"], how="anti")
    follows = [before == sessions.previous(day) for day, before in found.select("trade_date", "before").iter_rows()]
    return found.filter(pl.Series(follows, dtype=pl.Boolean)).sort("trade_date", "symbol")
