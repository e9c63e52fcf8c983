"""The exchange as referee: its 52-week highs and lows, adjusted by itself, against the lake's prices and factors.

`CM_52_wk_High_low_DDMMYYYY.csv` has the highest and lowest price of each share over 52 weeks, with the date of each,
divided by the exchange for splits, bonuses and rights up to the day for which the file is effective. A raw high or low
of that date, divided by the `exchange_factor` as of that day, is the same number to the paisa.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from champion_luigi.adjustments import events, spans
from champion_luigi.base.errors import RejectedPayload, WrongDate
from champion_luigi.datasets.corporate_actions import OF_SHARES
from champion_luigi.datasets.model import as_written

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.adjustments.instruments import Names

# The file of a day, on the exchange's host.
PATH: Final = "/content/CM_52_wk_High_low_{day:%d%m%Y}.csv"
# The longest time between a price and the file, with a week for holidays.
REACH: Final = timedelta(days=372)

_HEADER = "symbol,series,adjusted 52_week_high,52_week_high_date,adjusted 52_week_low,52_week_low_dt".split(",")
_EFFECTIVE_FOR = re.compile(r'"?Effective for (\S+?)"?', re.ASCII | re.IGNORECASE)
_NO_VALUE = ("", "-")
_SHOWN_LETTERS = 60
# Both are rounded to the paisa; the rest is what floats need.
_PAISA = 0.0051
# The exchange rounds the factor of rights to two decimals, and the last one can be another than ours.
_BY = (-0.01, 0.01)

# What a value can be. Only the last one is a difference that nothing explains.
RAW, ADJUSTED, SECOND_DECIMAL, UNADJUSTED = "raw", "adjusted", "second_decimal", "unadjusted"
KNOWN_SLIP, DIFFERENT = "known", "different"
VERDICTS: Final = (RAW, ADJUSTED, SECOND_DECIMAL, UNADJUSTED, KNOWN_SLIP, DIFFERENT)


class Known(NamedTuple):
    """A difference with a known reason: the exchange divides by ``ratio`` times our factor.

    It holds for prices before ``ex_date``, in the files of the 52 weeks from then on.
    """

    symbol: str
    ex_date: date
    ratio: float
    reason: str


KNOWN: Final = (
    Known("ANUP", date(2024, 4, 23), 2, "a bonus 1:1, for which the exchange divided by 4; it opened at half"),
    Known("DAVANGERE", date(2024, 5, 31), 10, "a split by 10 that no list of notices has"),
    Known("SBGLP", date(2024, 4, 18), 10, "a split by 10 that no list of notices has"),
)


class RangeFile(NamedTuple):
    """The dated values of a file: ``symbol``, ``series``, ``what`` (high or low), ``value``, ``trade_date``."""

    effective_for: date
    values: pl.DataFrame


def read_range_file(content: bytes, day: date | None = None, source: str | None = None) -> RangeFile:
    """The values in the bytes of a file; those without a number or a date are left out.

    Raises RejectedPayload, which names ``source``, if it is no such file or damaged, and WrongDate if it is not
    effective for ``day``.
    """
    import polars as pl

    lines = content.decode("utf-8-sig", "replace").splitlines()
    effective_for = _effective_for(lines, day, source)
    rows = csv.reader(lines[2:])
    header = [name.strip().casefold() for name in next(rows, [])]
    if header != _HEADER:
        raise _rejected(day, source, f"the columns {', '.join(_HEADER)}", ", ".join(header) or "nothing")
    values = [value for number, row in enumerate(rows, start=4) for value in _values(row, number, day, source)]
    if not values:
        raise _rejected(day, source, "a row for each share", "no row")
    types = {"symbol": pl.String, "series": pl.String, "what": pl.String, "value": pl.Float64, "trade_date": pl.Date}
    return RangeFile(effective_for, pl.DataFrame(values, types, orient="row"))


def factors_as_of(
    day: date,
    since: date,
    *,
    actions: pl.DataFrame,
    names: Names,
    rows: pl.DataFrame,
    face_values: pl.DataFrame,
    missing: Sequence[date] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events that the exchange adjusts for, and their spans, as known on ``day``, of dates from ``since`` on.

    The other arguments are those of `events.events_of`. Only instruments with such an event after ``since`` are looked
    at: the spans hold for dates from then on.
    """
    import polars as pl

    of_shares = actions.filter(pl.col("kind").is_in(OF_SHARES))
    is_near = pl.col("ex_date").is_between(since, day, closed="right")
    concerned = of_shares.filter(is_near).select(pl.col("symbol").alias("instrument")).unique()
    of_shares = of_shares.join(concerned, left_on="symbol", right_on="instrument", how="semi")
    near = rows.filter(pl.col("trade_date") <= day).join(concerned, on="instrument", how="semi")
    found = events.events_of(of_shares, names, near, face_values, missing=missing, as_of=day)
    found = found.filter(pl.col("counts_in").is_not_null() | pl.col("unadjusted"), pl.col("ex_date") > since)
    return found, spans.spans_of(found, names.frame, near, day, missing)


def compare(
    file: RangeFile, prices: pl.DataFrame, names: pl.DataFrame, found: pl.DataFrame, factors: pl.DataFrame
) -> pl.DataFrame:
    """The values of a file whose date, instrument and series have a row, each with its verdict, one of `VERDICTS`.

    ``prices`` are equity rows with ``instrument``, ``symbol``, ``series``, ``trade_date``, ``high`` and ``low``.
    ``names`` are the periods of all symbols; ``found`` and ``factors`` are what `factors_as_of` gives. The result has
    the file's columns and ``effective_for``, ``raw``, ``factor`` (ours), ``ours``, ``verdict`` and ``reason``.
    """
    import polars as pl

    day = file.effective_for
    # The file has the symbols of its own day; a price of an earlier date can stand under another one.
    own = file.values.select("symbol").unique().with_columns(trade_date=pl.lit(day))
    own = spans.with_instrument(own, names).drop("trade_date")
    values = file.values.join(own, on="symbol").rename({"symbol": "ticker"})
    raw = pl.concat(
        prices.select(*_ROW, pl.lit(what).alias("what"), pl.col(what).alias("raw")) for what in ("high", "low")
    )
    joined = values.join(raw.drop_nulls("raw"), on=["instrument", "series", "trade_date", "what"])
    rows = spans.with_spans(joined.lazy(), factors, day).collect()
    rows = rows.select(
        pl.lit(day).alias("effective_for"),
        pl.col("ticker").alias("symbol"),
        *("instrument", "series", "what", "trade_date", "value", "raw"),
        pl.col("exchange_factor").alias("factor"),
        (pl.col("raw") / pl.col("exchange_factor")).alias("ours"),
    )
    is_same = abs(pl.col("ours") - pl.col("value")) < _PAISA
    same = rows.filter(is_same).with_columns(
        pl.when(pl.col("factor") == 1).then(pl.lit(RAW)).otherwise(pl.lit(ADJUSTED)).alias("verdict"),
        pl.lit(None, pl.String).alias("reason"),
    )
    others = [row | dict(zip(_JUDGED, _judged(row, found), strict=True)) for row in rows.filter(~is_same).to_dicts()]
    return pl.concat([same, pl.DataFrame(others, same.schema)]).drop("instrument").sort("symbol", "series", "what")


_ROW = ("instrument", "symbol", "series", "trade_date")
_JUDGED = ("verdict", "reason")


def _judged(row: Mapping[str, Any], found: pl.DataFrame) -> tuple[str, str | None]:
    """The verdict about a value that is not ours to the paisa, and the reason."""
    import polars as pl

    raw, factor, value = row["raw"], row["factor"], row["value"]
    for slip in KNOWN:
        is_of = slip.symbol == row["symbol"] and row["trade_date"] < slip.ex_date <= row["effective_for"]
        if is_of and abs(raw / (factor * slip.ratio) - value) < _PAISA:
            return KNOWN_SLIP, slip.reason
    between = found.filter(
        pl.col("instrument") == row["instrument"],
        pl.col("ex_date").is_between(row["trade_date"], row["effective_for"], closed="right"),
    )
    rights = between.filter(pl.col("counts_in") == "exchange")
    if rights.height:
        least, most = (factor * math.prod(1 + by / each for each in rights["exchange_factor"]) for by in _BY)
        if raw / most - _PAISA < value < raw / least + _PAISA:
            return SECOND_DECIMAL, f"rights, by the exchange's factor {raw / value:.3f}, by ours {factor:.3f}"
    # Such an event can only divide further.
    for each in between.filter("unadjusted").to_dicts() if value < row["ours"] else ():
        return UNADJUSTED, f"{each['kind']} of {each['ex_date']}, for which we have no factor: {each['note']}"
    return DIFFERENT, None


def _effective_for(lines: Sequence[str], day: date | None, source: str | None) -> date:
    stated = _EFFECTIVE_FOR.fullmatch(lines[1].strip()) if len(lines) > 1 else None
    found = as_written(stated[1], day or date.min) if stated else None
    if found is None:
        shown = "no line" if not lines else repr(lines[min(1, len(lines) - 1)][:_SHOWN_LETTERS])
        raise _rejected(day, source, 'a second line such as "Effective for 26-Jun-2024"', shown)
    if day not in (None, found):
        raise WrongDate(
            "the 52-week file is of another day",
            day=day,
            source=source,
            expected=f"effective for {day}",
            found=f"effective for {found}",
        )
    return found


def _values(
    row: list[str], number: int, day: date | None, source: str | None
) -> Iterator[tuple[str, str, str, float, date]]:
    """The high and the low of a line."""
    fields = [field.strip() for field in row]
    if not any(fields):
        return
    if len(fields) != len(_HEADER) or not (fields[0] and fields[1]):
        raise _rejected(day, source, f"{len(_HEADER)} fields in line {number}", repr(",".join(row)[:_SHOWN_LETTERS]))
    for what, text, written in (("high", *fields[2:4]), ("low", *fields[4:6])):
        if text in _NO_VALUE or written in _NO_VALUE:
            continue
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        trade_date = as_written(written, day or date.min)
        if trade_date is None or not value > 0:
            raise _rejected(day, source, f"a price and its date in line {number}", f"{text!r} and {written!r}")
        yield fields[0], fields[1], what, value, trade_date


def _rejected(day: date | None, source: str | None, expected: str, found: str) -> RejectedPayload:
    return RejectedPayload(
        "this is not a whole file of 52-week highs and lows",
        day=day,
        source=source,
        expected=expected,
        found=found,
        todo="Open the address or file, and fetch it again.",
    )
