"""The factors of each symbol's rows, as spans of dates, and rows adjusted by them.

A factor of a date is the product over the later events, newest first, so that the newest prices have 1. Events that
are announced and not yet effective are in spans of their own: which ones hold is decided by the date of the newest
price, so that the price of an ex-date and its factor appear together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from champion_luigi.adjustments.tables import (
    END,
    NO_DAY,
    OF_SHARES,
    PREVIOUS,
    PRICES,
    SHARE_SERIES,
    SPANS,
    VOLUME,
    types_of,
)
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import FIRST_DATE

if TYPE_CHECKING:
    import polars as pl

# The series whose previous close is that of the security: measured on the moves between them in 2020 and 2024, all of
# 1,799 rows. Block deals (BL) have their own.
_ONE_CHAIN = (*SHARES, "T0")
_ORDER = ("symbol", "series", "valid_from", "start")
# A factor's column in the spans, the events that count in it, and the events' column.
_FACTORS = {
    "factor": (("splits",), "factor"),
    "exchange_factor": (("splits", "exchange"), "exchange_factor"),
    # Dividends come to it, see `_steps`.
    "total_factor": (("splits", "exchange"), "factor"),
}


def security_of(series: pl.Expr) -> pl.Expr:
    """The security of a row by its series: shares, or the series itself."""
    import polars as pl

    return pl.when(series.is_in(SHARE_SERIES)).then(pl.lit(OF_SHARES)).otherwise(series)


def spans_of(
    events: pl.DataFrame, names: pl.DataFrame, rows: pl.DataFrame, known_until: date, missing: Sequence[date] = ()
) -> pl.DataFrame:
    """The spans, in the columns of `tables.SPANS`: of every symbol and series that has an event or another instrument.

    ``rows`` are equity rows with ``symbol``, ``series``, ``trade_date``, ``close`` and ``prev_close``: each series'
    first and last one, and those on both sides of each ex-date. ``missing`` are the sessions that have no rows. Readers
    have rows at least up to ``known_until``: a later event takes effect with the row of its ex-date. Rows outside of
    all spans have the factor 1, and their symbol as instrument.
    """
    import polars as pl

    rows = _with_previous(with_instrument(rows, names), missing)
    events = events.filter(pl.col("kind") != "symbol_change")
    listed = rows.select("symbol", "series", "instrument", "security").unique()
    # Renamed, reused, or with an event.
    by = ["instrument", "security"]
    concerned = pl.concat(
        [
            listed.filter(pl.col("symbol") != pl.col("instrument")).select("symbol"),
            listed.join(events.select(by).unique(), on=by, how="semi").select("symbol"),
            names.filter(pl.col("symbol").is_duplicated()).select("symbol"),
        ]
    ).unique()
    listed = listed.join(concerned, on="symbol", how="semi")
    rows = rows.join(concerned, on="symbol", how="semi")
    periods = listed.join(names, on=["symbol", "instrument"], how="left").with_columns(
        pl.col("start").fill_null(FIRST_DATE), pl.col("stop").fill_null(END)
    )
    future = events.filter(pl.col("ex_date") > known_until)
    frames = []
    for day in [None, *future["ex_date"].unique().sort()]:
        now = events.filter(pl.col("ex_date") <= (day or known_until))
        of = periods
        if day is not None:
            of = periods.join(future.filter(pl.col("ex_date") == day), on=by, how="semi")
            now = now.join(of, on=by, how="semi")
        frames.append(_spans(now, of, rows).with_columns(valid_from=pl.lit(day or FIRST_DATE)))
    found = pl.concat(frames)
    # A later state ends an earlier one.
    starts = found.select("symbol", "series", "valid_from").unique().sort("symbol", "series", "valid_from")
    until = starts.with_columns(valid_until=pl.col("valid_from").shift(-1).over("symbol", "series").fill_null(END))
    found = found.join(until, on=["symbol", "series", "valid_from"], how="left")
    types = types_of(SPANS)
    return found.select(pl.col(name).cast(kind) for name, kind in types.items()).sort(_ORDER)


def adjusted(rows: pl.LazyFrame, spans: pl.DataFrame, through: date | None = None) -> pl.LazyFrame:
    """Equity rows with adjusted prices, and further columns: the counterpart of the view ``equity_adjusted``.

    ``rows`` need no certain columns but ``trade_date``, ``symbol`` and ``series``. ``through`` is the date of the
    newest price (default: that of ``rows``); later rows are left out. Prices are divided by ``factor``, ``prev_close``
    by that of its own day, and the volume is multiplied. Added are ``instrument``, the factors, ``raw_close``,
    ``total_return_close``, ``unadjusted`` and ``prev_close_by_exchange``.
    """
    import polars as pl

    names = rows.collect_schema().names()
    through = through or rows.select(pl.col("trade_date").max()).collect().item() or FIRST_DATE
    found = with_spans(rows.filter(pl.col("trade_date") <= through), spans, through)
    factor = pl.col("factor")
    changed = [(pl.col(name) / factor).alias(name) for name in PRICES if name in names]
    if PREVIOUS in names:
        changed.append((pl.col(PREVIOUS) / pl.col("prev_factor")).alias(PREVIOUS))
    if VOLUME in names:
        changed.append((pl.col(VOLUME) * factor).alias(VOLUME))
    if "close" in names:
        total = pl.col("close") / pl.col("total_factor")
        changed += [pl.col("close").alias("raw_close"), total.alias("total_return_close")]
    return found.with_columns(changed).select(
        *(name for name in names if name != "instrument"),
        "instrument",
        "factor",
        "exchange_factor",
        "total_factor",
        *(["raw_close", "total_return_close"] if "close" in names else []),
        "unadjusted",
        "prev_close_by_exchange",
    )


def with_spans(rows: pl.LazyFrame, spans: pl.DataFrame, through: date) -> pl.LazyFrame:
    """Equity rows beside the instrument and the factors that hold for them, sorted by date."""
    import polars as pl

    valid = spans.filter(pl.col("valid_from") <= through, through < pl.col("valid_until"))
    joined = (
        rows.drop("instrument", strict=False)
        .sort("trade_date", maintain_order=True)
        .join_asof(
            valid.lazy().drop("valid_from", "valid_until").sort("start"),
            left_on="trade_date",
            right_on="start",
            by=["symbol", "series"],
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
    )
    is_within = pl.col("trade_date") < pl.col("stop")
    values: dict[str, Any] = dict.fromkeys((name for name in valid.columns if name.endswith("factor")), 1.0)
    values |= {"instrument": pl.col("symbol"), "prev_close_by_exchange": False, "unadjusted": 0}
    is_first = pl.col("trade_date") == pl.col("first_day")
    own = [pl.when(is_first).then(f"prev_{name}").otherwise(name).alias(f"prev_{name}") for name in _FACTORS]
    return (
        joined.with_columns(*own, pl.col("prev_close_by_exchange") & is_first)
        .with_columns(
            pl.when(is_within).then(pl.col(name)).otherwise(value).alias(name) for name, value in values.items()
        )
        .drop("start", "stop", "first_day")
    )


def _with_previous(rows: pl.DataFrame, missing: Sequence[date]) -> pl.DataFrame:
    """With the security of each row, and the day and close before it: ``before`` and ``close_before``.

    A previous close is the security's, in whatever series that was; that of a series of blocks or lots is its own.
    Where a session is missing since the row before, the day is that session, and its close is not known.
    """
    import polars as pl

    of = ["instrument", "chain"]
    rows = rows.with_columns(
        security_of(pl.col("series")).alias("security"),
        pl.when(pl.col("series").is_in(_ONE_CHAIN)).then(pl.lit(OF_SHARES)).otherwise("series").alias("chain"),
    ).sort("trade_date")
    # Of a day's rows, the close of a share's own series: that of same-day settlement differs.
    closes = rows.sort(pl.col("series").is_in(SHARES).not_(), "series").unique([*of, "trade_date"], keep="first")
    rows = rows.join_asof(
        closes.select(*of, pl.col("trade_date").alias("before"), pl.col("close").alias("close_before")).sort("before"),
        left_on="trade_date",
        right_on="before",
        by=of,
        strategy="backward",
        allow_exact_matches=False,
        coalesce=False,
        check_sortedness=False,
    ).join_asof(
        pl.DataFrame({"gap": missing}, {"gap": pl.Date}).sort("gap"),
        left_on="trade_date",
        right_on="gap",
        strategy="backward",
        allow_exact_matches=False,
        coalesce=False,
    )
    is_later = (pl.col("gap") > pl.col("before")).fill_null(False)
    return rows.with_columns(
        before=pl.when(is_later).then("gap").otherwise("before"),
        close_before=pl.when(is_later.not_()).then("close_before"),
    ).drop("gap", "chain")


def with_instrument(rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """Rows with ``trade_date`` and ``symbol``, and the instrument that the symbol belonged to on that day."""
    import polars as pl

    joined = rows.sort("trade_date", maintain_order=True).join_asof(
        names.sort("start"),
        left_on="trade_date",
        right_on="start",
        by="symbol",
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    )
    is_within = pl.col("trade_date") < pl.col("stop")
    found = pl.when(is_within).then("instrument").otherwise("symbol")
    return joined.with_columns(found.alias("instrument")).drop("start", "stop")


def _spans(events: pl.DataFrame, periods: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The spans with all of these events in effect, for the symbols' periods: without their validity."""
    import polars as pl

    of, by = ["symbol", "series"], ["instrument", "security"]
    steps = _steps(events)
    # The first row of each series since an event: its previous close is from before the event.
    first = rows.join(periods.select(of).unique(), on=of, how="semi").filter(pl.col("before").is_not_null())
    first = _with_factors(_with_factors(first, steps, "trade_date", ""), steps, "before", "prev_")
    first = first.filter(pl.any_horizontal(pl.col(f"prev_{name}") != pl.col(name) for name in _FACTORS))
    ratio = pl.col("prev_factor") / pl.col("factor")
    # The close before divided by the previous close is about 1 if it is as traded, and about the ratio if adjusted. It
    # is not always exact: after days without a trade the exchange may state another close.
    to_adjusted = (pl.col("close_before") / pl.col("prev_close") / ratio).log().abs()
    by_exchange = (abs(ratio - 1) > 0.01) & (to_adjusted < 0.25 * ratio.log().abs())
    first = first.with_columns(prev_close_by_exchange=by_exchange.fill_null(False))
    own = [
        pl.when("prev_close_by_exchange").then(pl.col(name)).otherwise(pl.col(f"prev_{name}")).alias(f"prev_{name}")
        for name in _FACTORS
    ]
    first = first.with_columns(own).select(*of, pl.col("trade_date").alias("first_day"), *_PREVIOUS)
    # A span begins with a period, and with each ex-date in it.
    ex_dates = steps.select(*by, pl.col("ex_date").alias("start"))
    own_period = periods.select(*of, *by, pl.col("start").alias("from"), "stop")
    within = own_period.join(ex_dates, on=by).filter(pl.col("start") > pl.col("from"), pl.col("start") < pl.col("stop"))
    found = pl.concat([own_period.with_columns(start="from"), within]).unique([*of, "start"])
    following = pl.col("start").shift(-1).over(*of, order_by="start")
    found = found.with_columns(stop=pl.min_horizontal(following, "stop"))
    found = _with_factors(found, steps, "start", "").with_columns(last=pl.col("stop") - pl.duration(days=1))
    # A span has one such row at most.
    found = found.sort("last").join_asof(
        first.sort("first_day"),
        left_on="last",
        right_on="first_day",
        by=of,
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    )
    has_one = (pl.col("first_day") >= pl.col("start")).fill_null(False)
    found = found.with_columns(
        *(pl.when(has_one).then(f"prev_{name}").otherwise(name).alias(f"prev_{name}") for name in _FACTORS),
        pl.when(has_one).then("first_day").otherwise(pl.lit(NO_DAY)).alias("first_day"),
        (has_one & pl.col("prev_close_by_exchange")).alias("prev_close_by_exchange"),
    )
    return found.select(*of, "start", "stop", *by, *_FACTORS, "first_day", *_PREVIOUS, "unadjusted")


_PREVIOUS = (*(f"prev_{name}" for name in _FACTORS), "prev_close_by_exchange")


def _steps(events: pl.DataFrame) -> pl.DataFrame:
    """Each ex-date with the factors of the dates before it: products over it and the later ones, newest first."""
    import polars as pl

    by = ["instrument", "security"]
    # The dividends of one day are one payment.
    paid = pl.col("counts_in") == "total_return"
    left = pl.col("close").filter(paid).first() - pl.col("amount").filter(paid).sum()
    of_dividends = pl.when(left > 0).then(pl.col("close").filter(paid).first() / left)
    of_day = events.group_by(*by, "ex_date").agg(
        *(
            pl.col(column).filter(pl.col("counts_in").is_in(counts)).product().alias(name)
            for name, (counts, column) in _FACTORS.items()
        ),
        of_dividends.fill_null(1.0).alias("of_dividends"),
        pl.col("unadjusted").sum().cast(pl.Int64),
    )
    of_day = of_day.with_columns(pl.col("total_factor") * pl.col("of_dividends")).drop("of_dividends")
    later = of_day.sort("ex_date", descending=True)
    return later.with_columns(
        *(pl.col(name).cum_prod().over(by) for name in _FACTORS), pl.col("unadjusted").cum_sum().over(by)
    ).sort("ex_date")


def _with_factors(rows: pl.DataFrame, steps: pl.DataFrame, day: str, prefix: str) -> pl.DataFrame:
    """The factors of the rows' dates ``day``: those of the next later ex-date, or 1."""
    import polars as pl

    names = {name: f"{prefix}{name}" for name in (*_FACTORS, "unadjusted")}
    joined = rows.sort(day).join_asof(
        steps.rename(names),
        left_on=day,
        right_on="ex_date",
        by=["instrument", "security"],
        strategy="forward",
        allow_exact_matches=False,
        coalesce=False,
        check_sortedness=False,
    )
    return joined.with_columns(
        *(pl.col(f"{prefix}{name}").fill_null(1.0) for name in _FACTORS), pl.col(names["unadjusted"]).fill_null(0)
    ).drop("ex_date")
