"""Corporate actions as adjustments: each event once, with the factor by which it divides earlier prices.

A split, bonus or consolidation has its factor from the terms alone. A rights issue has it from the last close before
the ex-date and the face value (`purposes.ex_rights_factor`), a dividend from that close: close / (close - dividend).
What has no ratio, or whose terms or close are not known, is listed with the reason, and never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from champion_luigi.adjustments.tables import EVENTS, OF_SHARES, types_of
from champion_luigi.datasets import purposes
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS, SHARES
from champion_luigi.datasets.effective_actions import effective

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.adjustments.instruments import Names

SYMBOL_CHANGE = "symbol_change"
_BY_TERMS = ("split", "bonus", "consolidation")
_DIVIDENDS = ("dividend", "special_dividend")
# Of kind other: what gives or takes value by no ratio of shares.
_WITHOUT_RATIO = ("merger", "capital reduction", "bonus of other", "rights of", "call on")
# What the kinds are that neither adjust prices nor break them.
_WITHOUT_EFFECT = ("interest", "buyback", "meeting")
# Columns of notices that are carried over as they are.
_CARRIED = (
    "from_value to_value ratio_new ratio_old basis percent phrase purpose first_listed last_listed vanished".split()
)


def by_instrument(actions: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Rows of corporate actions with the instrument in place of the symbol.

    A notice has the symbol of its day; an export, which comes after the ex-date, may have a later one.
    """
    import polars as pl

    day = pl.min_horizontal("trade_date", "ex_date")
    pairs = actions.select("symbol", day.alias("day")).unique()
    found = [names.at(symbol, day) for symbol, day in pairs.iter_rows()]
    pairs = pairs.with_columns(pl.Series("instrument", found, pl.String))
    joined = actions.with_columns(day.alias("day")).join(pairs, on=["symbol", "day"], how="left", maintain_order="left")
    return joined.with_columns(symbol="instrument").drop("instrument", "day")


def face_values_of(actions: pl.DataFrame, market_caps: pl.DataFrame | None = None) -> pl.DataFrame:
    """What is known of face values: ``instrument``, ``day``, ``face_value``.

    ``actions`` are rows of corporate actions by instrument: splits state the value before and after, exports today's.
    ``market_caps`` has ``instrument``, ``face_value`` and the dates ``first`` and ``last`` on which it was published.
    """
    import polars as pl

    def seen(rows: pl.DataFrame, day: pl.Expr | str, value: str) -> pl.DataFrame:
        days = pl.col(day) if isinstance(day, str) else day
        return rows.select(pl.col("symbol").alias("instrument"), days.alias("day"), pl.col(value).alias("face_value"))

    shares = actions.filter(pl.col("series").is_in(SHARES))
    split = shares.filter(pl.col("kind").is_in(["split", "consolidation"]) & pl.col("ex_date").is_not_null())
    frames = [
        seen(shares.filter(pl.col("face_value").is_not_null()), "trade_date", "face_value"),
        seen(split, pl.col("ex_date") - pl.duration(days=1), "from_value"),
        seen(split, "ex_date", "to_value"),
    ]
    if market_caps is not None:
        frames += [market_caps.select("instrument", pl.col(each).alias("day"), "face_value") for each in _ENDS]
    return pl.concat(frames).drop_nulls().filter(pl.col("face_value") > 0).unique().sort("instrument", "day")


_ENDS = ("first", "last")


def events_of(
    actions: pl.DataFrame,
    names: Names,
    rows: pl.DataFrame,
    face_values: pl.DataFrame,
    *,
    missing: Sequence[date] = (),
    as_of: date | None = None,
) -> pl.DataFrame:
    """The adjustments, in the columns of `tables.EVENTS`.

    ``actions`` are rows of corporate actions by instrument (`by_instrument`). ``rows`` are equity rows with
    ``instrument``, ``security``, ``trade_date``, ``close`` and ``prev_close``: at least those on both sides of each
    ex-date. ``missing`` are the sessions that have no rows. ``as_of`` leaves out what was not published or not yet
    effective on that day; an action that only an export has counts as published by its ex-date, because exports come
    later.
    """
    import polars as pl

    if as_of is not None:
        is_export = pl.col("layout").is_in(_EXPORTS)
        published = pl.when(is_export).then(pl.min_horizontal("trade_date", "ex_date")).otherwise("trade_date")
        actions = actions.filter(published <= as_of)
    lists = actions["trade_date"].unique().to_list()
    actions = actions.filter(~pl.col("kind").is_in(_WITHOUT_EFFECT).fill_null(False) | ~pl.col("understood"))
    found = pl.concat([effective(actions, lists), _unread(actions)], how="diagonal")
    if as_of is not None:
        # Only now: a notice of a later date can have taken the place of one that has passed.
        found = found.filter(pl.col("ex_date") <= as_of)
    of_shares = pl.col("series").list.eval(pl.element().is_in(SHARES)).list.any()
    found = found.with_columns(
        pl.when(of_shares).then(pl.lit(OF_SHARES)).otherwise(pl.col("series").list.first()).alias("security")
    )
    found = _with_closes(found.rename({"symbol": "instrument"}), rows, missing)
    found = _with_face_values(found, face_values)
    # The same action can be in the exchange's lists and in an export, which words it differently: the latest counts.
    latest: dict[tuple[object, ...], dict[str, Any]] = {}
    for each in found.sort("last_listed", "purpose", nulls_last=False).iter_rows(named=True):
        event = _event(each, names)
        latest[tuple(event[name] for name in _SAME)] = event
    standing = [each for of_day in _by_day(latest.values()) for each in of_day if not _is_corrected(each, of_day)]
    frame = pl.DataFrame([*standing, *_symbol_changes(names, as_of)], schema=types_of(EVENTS))
    by = ("instrument", "security", "ex_date", "kind")
    frame = frame.sort(*by, "purpose", "amount", "ratio_new", "symbol", nulls_last=True)
    return frame.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(by))


# The sources whose files come long after the actions.
_EXPORTS = [source.name for source in CORPORATE_ACTIONS.sources if source.is_saved_by_hand]
_SAME = (
    "instrument security ex_date kind from_value to_value ratio_new ratio_old amount percent basis wording note".split()
)


def _by_day(events: Iterable[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    """The events of one kind, security and ex-date, together."""
    found: defaultdict[tuple[object, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        found[tuple(event[name] for name in ("instrument", "security", "ex_date", "kind"))].append(event)
    return found.values()


def _is_corrected(event: Mapping[str, Any], of_day: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a later notice has other terms for the same action: one of the same kind and day that replaced it.

    Actions that a list has together, such as two rights issues, are several. Of dividends there are often several, so
    only one that was gone before its ex-date counts as corrected.
    """
    if event["factor"] is None or (event["kind"] in _DIVIDENDS and not event["vanished"]):
        return False
    return any(other["factor"] is not None and other["first_listed"] > event["last_listed"] for other in of_day)


def _unread(actions: pl.DataFrame) -> pl.DataFrame:
    """The notices whose text states no action that was understood, in the columns of `effective`."""
    import polars as pl

    unread = actions.filter(pl.col("kind").is_null() & pl.col("ex_date").is_not_null())
    return (
        unread.sort("trade_date", "line")
        .group_by("symbol", "ex_date", "purpose", maintain_order=True)
        .agg(
            pl.col("series").unique().sort(),
            pl.col("name").last(),
            pl.col("trade_date").min().alias("first_listed"),
            pl.col("trade_date").max().alias("last_listed"),
        )
        .with_columns(kind=pl.lit("other"), understood=pl.lit(False), vanished=pl.lit(False))
    )


def _with_closes(found: pl.DataFrame, rows: pl.DataFrame, missing: Sequence[date]) -> pl.DataFrame:
    """With the last close before the ex-date, and its date.

    Where a session between that date and the ex-date is missing, the close is what the ex-date's row states of the
    previous one, and has no date.
    """
    import polars as pl

    by = ["instrument", "security"]
    closes = rows.select(*by, pl.col("trade_date").alias("close_date"), "close").sort("close_date")
    found = _before(found.sort("ex_date"), closes, "ex_date", "close_date", by)
    stated = rows.select(*by, pl.col("trade_date").alias("ex_date"), pl.col("prev_close").alias("stated"))
    stated = stated.unique([*by, "ex_date"], keep="first", maintain_order=True)
    found = found.join(stated, on=[*by, "ex_date"], how="left")
    found = _before(found.sort("ex_date"), pl.DataFrame({"gap": missing}, {"gap": pl.Date}), "ex_date", "gap")
    is_old = pl.col("gap").is_not_null() & (pl.col("close_date").is_null() | (pl.col("gap") > pl.col("close_date")))
    return found.with_columns(
        close=pl.when(is_old).then(pl.when(pl.col("stated") > 0).then("stated")).otherwise("close"),
        close_date=pl.when(~is_old).then("close_date"),
    ).drop("stated", "gap")


def _before(left: pl.DataFrame, right: pl.DataFrame, on: str, date: str, by: list[str] | None = None) -> pl.DataFrame:
    return left.join_asof(
        right.sort(date),
        left_on=on,
        right_on=date,
        by=by,
        strategy="backward",
        allow_exact_matches=False,
        coalesce=False,
        check_sortedness=False,
    )


def _with_face_values(found: pl.DataFrame, face_values: pl.DataFrame) -> pl.DataFrame:
    """With the face value on the day before the ex-date.

    Each split is known with the value before it and after it, so the nearest value that is known, before or after, is
    of the same stretch between two splits.
    """
    import polars as pl

    found = found.with_columns(before=pl.col("ex_date") - pl.duration(days=1)).sort("before")
    known = face_values.select("instrument", pl.col("day").alias("known"), pl.col("face_value")).sort("known")
    for strategy, name in (("forward", "later"), ("backward", "earlier")):
        found = found.join_asof(
            known.rename({"face_value": name}),
            left_on="before",
            right_on="known",
            by="instrument",
            strategy=strategy,  # type: ignore[arg-type]
            coalesce=True,
            check_sortedness=False,
        ).drop("known", strict=False)
    return found.with_columns(face_value=pl.coalesce("later", "earlier")).drop("later", "earlier", "before")


def _event(found: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """One action as an event, with its factor or the reason for having none."""
    kind, close, face_value = found["kind"], found["close"], found["face_value"]
    amount = found["amount"]
    if kind in _DIVIDENDS and amount is None and found["percent"] and face_value:
        amount = round(face_value * found["percent"] / 100, 6)
    factor, note, counts_in, is_open = None, None, None, False
    if kind in _BY_TERMS and found["factor"] is not None:
        factor, counts_in = found["factor"], "splits"
    elif kind == "rights":
        factor, note = _of_rights(found, close, face_value)
        counts_in, is_open = ("exchange", False) if factor else (None, True)
    elif kind in _DIVIDENDS:
        factor, note = _of_dividend(amount, close)
        counts_in = "total_return" if factor else None
    elif not found["understood"] or kind == "demerger" or _is_without_ratio(found["phrase"]):
        is_open = True
        note = "the terms give no ratio" if found["understood"] else None
    if not found["understood"]:
        note, is_open = "; ".join(filter(None, [note, "the text was not understood as a whole"])), True
    of_exchange = round_half_up(factor) if kind == "rights" and factor else factor
    return {
        **{name: found.get(name) for name in _CARRIED},
        "instrument": found["instrument"],
        "security": found["security"],
        "symbol": _symbol_of(names, found["instrument"], found["ex_date"]),
        "from_symbol": None,
        "ex_date": found["ex_date"],
        "kind": kind,
        "number": 1,
        "counts_in": counts_in,
        "factor": factor,
        "exchange_factor": None if counts_in == "total_return" else of_exchange,
        "unadjusted": is_open,
        "note": note,
        "close": close if counts_in in ("exchange", "total_return") else None,
        "close_date": found["close_date"] if counts_in in ("exchange", "total_return") else None,
        "face_value": face_value if kind == "rights" or found["percent"] else None,
        "amount": amount,
        "percent": None if amount is not None else found["percent"],
        "wording": found["phrase"] if kind == "other" else None,
    }


def _symbol_of(names: Names, instrument: str, day: date) -> str:
    """The symbol of an instrument on a day; the next one if it had none then."""
    periods = names.symbols(instrument)
    last = periods[-1].symbol if periods else instrument
    return next((period.symbol for period in periods if day < period.stop), last)


def _of_rights(
    found: Mapping[str, Any], close: float | None, face_value: float | None
) -> tuple[float | None, str | None]:
    """A rights issue's factor, or why there is none; 1 where nobody would take the rights."""
    if found["ratio_new"] is None or found["amount"] is None:
        return None, "the text has no price"
    if found["partly_paid"]:
        return None, "of partly paid shares, which trade apart"
    if close is None:
        return None, "there is no close before the ex-date"
    if face_value is None and found["basis"] == "premium":
        return None, "the face value is not known"
    action = purposes.Action(
        "rights",
        "",
        ratio=(found["ratio_new"], found["ratio_old"]),
        amount=Decimal(str(found["amount"])),
        basis=found["basis"],
    )
    factor = purposes.ex_rights_factor(Decimal(str(close)), Decimal(str(face_value or 0)), action)
    return (None, "the terms give no ratio") if factor is None else (float(factor), None)


def _of_dividend(amount: float | None, close: float | None) -> tuple[float | None, str | None]:
    """The factor of a dividend of so many rupees per share, or why there is none."""
    if amount is None:
        return None, "the text has no amount in rupees, and the face value is not known"
    if close is None:
        return None, "there is no close before the ex-date"
    if amount >= close:
        return None, f"the dividend is not below the close before it, {close}"
    return close / (close - amount), None


def _is_without_ratio(phrase: str | None) -> bool:
    return phrase is not None and phrase.startswith(_WITHOUT_RATIO)


def round_half_up(factor: float) -> float:
    """A factor to two decimals, as the exchange rounds those of rights."""
    return float(Decimal(str(factor)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def _symbol_changes(names: Names, as_of: date | None) -> Iterator[dict[str, Any]]:
    """The changes of symbol as events, which have no factor."""
    before: dict[str, str] = {}
    for instrument, start, symbol in sorted((each.instrument, each.start, each.symbol) for each in names.periods):
        if (was := before.get(instrument)) and (as_of is None or start <= as_of):
            yield dict.fromkeys(column.name for column in EVENTS) | {
                "instrument": instrument,
                "security": OF_SHARES,
                "symbol": symbol,
                "from_symbol": was,
                "ex_date": start,
                "kind": SYMBOL_CHANGE,
                "number": 1,
                "unadjusted": False,
            }
        before[instrument] = symbol
