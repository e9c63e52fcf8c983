"""The adjustments of a lake, made from its days: instruments, events and spans.

An evening reads the current year: of each other year there is an extract, as long as its files are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from champion_luigi.adjustments import events, spans
from champion_luigi.adjustments.instruments import Changes, Names, names, read_changes
from champion_luigi.adjustments.tables import SHARE_SERIES, VERSION
from champion_luigi.base import durable
from champion_luigi.base.errors import NotMade
from champion_luigi.base.places import Place
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions
from champion_luigi.storage import adjustments, lake, symbol_changes

if TYPE_CHECKING:
    import polars as pl

# What adjustments are made from. The files of other data sets do not count.
SOURCES = (EQUITY, CORPORATE_ACTIONS, MARKET_CAP)
_ACTIONS = (
    "trade_date symbol series name ex_date record_date purpose kind from_value to_value ratio_new ratio_old amount "
    "basis percent partly_paid factor phrase understood line face_value layout".split()
)
# A warehouse that is up to so much behind the lake still has the factor 1 on its newest prices.
_MAY_LAG = timedelta(days=45)
# Kinds of corporate action that have no event if they were understood.
_PASSING = ("meeting", "interest", "buyback")


class Inputs(NamedTuple):
    """What adjustments are made from: the digest of each year's files by data set, and the list of changed symbols."""

    states: Mapping[str, Mapping[int, str]]
    symbols: Place | None
    symbols_sha256: str

    @property
    def digest(self) -> str:
        """One digest of it all, and of the version of the method."""
        return adjustments.digest(VERSION, self.states, self.symbols_sha256)


def inputs() -> Inputs:
    """What the adjustments would be made from now. Opens no lake file."""
    root = settings.lake_dir()
    states = {dataset.name: adjustments.states(root, dataset) for dataset in SOURCES}
    kept = symbol_changes.newest_kept(wiring.list_files())
    sha256 = durable.sha256(symbol_changes.content_of(wiring.list_files(), kept)) if kept else ""
    return Inputs(states, kept and kept.path, sha256)


class Evidence(NamedTuple):
    """What the lake says: the arguments of `events.events_of`, and the date of the newest price."""

    names: Names
    actions: pl.DataFrame
    rows: pl.DataFrame
    face_values: pl.DataFrame
    missing: list[date]
    through: date
    # What was odd about the list of changed symbols and the names, by kind.
    odd: Mapping[str, int]


def evidence(given: Inputs) -> Evidence:
    """Read what adjustments are made from: the actions, and the rows around them. Raises NotMade without prices."""
    import polars as pl

    ends = _of_years("ends", EQUITY, given, lambda rows, _: _ends(rows))
    if ends is None:
        raise NotMade(
            "there are no prices in the lake, so there is nothing to adjust",
            source=str(settings.lake_dir()),
            todo="Fill some days first: champion fill --dataset all.",
        )
    changes = read_changes(durable.read_whole(given.symbols), str(given.symbols)) if given.symbols else Changes()
    known = names(changes, _traded(ends))
    actions = _of_years("actions", CORPORATE_ACTIONS, given, lambda rows, _: _actions(rows))
    if actions is None:
        actions = pl.DataFrame(schema={name: CORPORATE_ACTIONS.types[name] for name in _ACTIONS})
    actions = events.by_instrument(actions, known)
    caps = _of_years("face_values", MARKET_CAP, given, lambda rows, _: _face_values(rows))
    face_values = events.face_values_of(actions, caps if caps is None else _by_instrument(caps, known))

    wanted = _wanted(actions, known)
    around = _of_years("around", EQUITY, given, lambda rows, year: _around(rows, wanted.get(year, [])), wanted)
    rows = pl.concat([ends.drop("isin"), *([] if around is None else [around])]).unique()
    rows = spans.with_instrument(rows, known.frame).with_columns(spans.security_of(pl.col("series")).alias("security"))
    days = sorted(day for day, _ in lake.days(settings.lake_dir(), EQUITY))
    held = set(days)
    missing = [day for day in sessions.sessions(days[0], days[-1]) if day not in held]
    return Evidence(known, actions, rows, face_values, missing, days[-1], known.counts | changes.counts)


def make(given: Inputs) -> dict[str, Any]:
    """Make the adjustments and write them to the lake, and return the document about them. Raises NotMade."""
    known, actions, rows, face_values, missing, through, odd = evidence(given)
    found = events.events_of(actions, known, rows, face_values, missing=missing)
    made = spans.spans_of(found, known.frame, rows, through - _MAY_LAG, missing)
    about = {
        "version": VERSION,
        "made_at": durable.now(),
        "prices_through": through,
        "actions_through": actions["trade_date"].max(),
        "symbol_changes": given.symbols and given.symbols.name,
        "events": found.height,
        "with_factor": int(found["factor"].count()),
        "unadjusted": int(found["unadjusted"].sum()),
        "spans": made.height,
        "names": odd,
    }
    adjustments.write(
        settings.lake_dir(), {"adjustments": found, "names": known.frame, "spans": made}, given.digest, about
    )
    return about


def _of_years(
    name: str,
    dataset: Dataset,
    given: Inputs,
    make: Callable[[pl.LazyFrame, int], pl.DataFrame],
    more: Mapping[int, object] | None = None,
) -> pl.DataFrame | None:
    """An extract of all years of a data set. ``more`` is what it depends on besides the files, by year."""
    states = given.states[dataset.name].items()
    keys = {year: adjustments.digest(VERSION, state, (more or {}).get(year)) for year, state in states}
    place = settings.data_dir() / "adjustments" / name
    return adjustments.of_years(place, settings.lake_dir(), dataset, keys, make)


def _ends(rows: pl.LazyFrame) -> pl.DataFrame:
    """The first and the last row of each symbol, series and ISIN."""
    import polars as pl

    columns = pl.struct("trade_date", "close", "prev_close")
    of_each = rows.group_by("symbol", "series", "isin").agg(
        columns.sort_by("trade_date").first().alias("first"), columns.sort_by("trade_date").last().alias("last")
    )
    found = of_each.collect()
    key = ("symbol", "series", "isin")
    both = [found.select(*key, pl.col(each).alias("row")).unnest("row") for each in ("first", "last")]
    return pl.concat(both).unique().select("trade_date", "symbol", "series", "isin", "close", "prev_close")


def _traded(ends: pl.DataFrame) -> pl.DataFrame:
    """When each symbol of shares traded, by ISIN."""
    import polars as pl

    day = pl.col("trade_date")
    shares = ends.filter(pl.col("series").is_in(SHARE_SERIES))
    of_each = shares.group_by("symbol", "isin").agg(day.min().alias("first"), day.max().alias("last"))
    return of_each.sort("symbol", "first")


def _actions(rows: pl.LazyFrame) -> pl.DataFrame:
    """The notices that can have an event or state a face value, and one row of each list."""
    import polars as pl

    is_event = pl.col("kind").is_null() | ~pl.col("kind").is_in(_PASSING) | ~pl.col("understood")
    is_first = pl.col("trade_date").is_first_distinct()
    return rows.select(_ACTIONS).filter(is_event | pl.col("face_value").is_not_null() | is_first).collect()


def _face_values(rows: pl.LazyFrame) -> pl.DataFrame:
    """The face values of shares, each with the first and the last day of the year on which it was published."""
    import polars as pl

    day = pl.col("trade_date")
    shares = rows.filter(pl.col("series").is_in(SHARE_SERIES), pl.col("face_value") > 0)
    return (
        shares.group_by("symbol", "face_value")
        .agg(day.min().alias("first"), day.max().alias("last"))
        .sort("symbol", "first")
        .collect()
    )


def _by_instrument(caps: pl.DataFrame, known: Names) -> pl.DataFrame:
    import polars as pl

    found = [known.at(symbol, first) for symbol, first in caps.select("symbol", "first").iter_rows()]
    return caps.with_columns(pl.Series("instrument", found, pl.String))


def _wanted(actions: pl.DataFrame, known: Names) -> dict[int, list[tuple[str, date]]]:
    """The ex-dates of each year, by every symbol that the instrument ever had."""
    found: defaultdict[int, set[tuple[str, date]]] = defaultdict(set)
    for instrument, day in actions.select("symbol", "ex_date").drop_nulls().unique().iter_rows():
        symbols = {instrument.partition("@")[0], *(period.symbol for period in known.symbols(instrument))}
        found[day.year] |= {(symbol, day) for symbol in symbols}
    return {year: sorted(each) for year, each in found.items()}


def _around(rows: pl.LazyFrame, wanted: Sequence[tuple[str, date]]) -> pl.DataFrame:
    """The last row before each ex-date of a symbol and the first one from it on, in every series."""
    import polars as pl

    events = pl.DataFrame(wanted, {"symbol": pl.String, "ex_date": pl.Date}, orient="row")
    columns = ["trade_date", "symbol", "series", "close", "prev_close"]
    held = rows.select(columns).join(events.lazy().select("symbol").unique(), on="symbol", how="semi").collect()
    held = held.sort("trade_date")
    asked = held.select("symbol", "series").unique().join(events, on="symbol").sort("ex_date")
    dated = held.with_columns(pl.col("trade_date").alias("at"))
    found = []
    for strategy, exact in (("backward", False), ("forward", True)):
        found.append(
            asked.join_asof(
                dated,
                left_on="ex_date",
                right_on="at",
                by=["symbol", "series"],
                strategy=strategy,  # type: ignore[arg-type]
                allow_exact_matches=exact,
                coalesce=False,
                check_sortedness=False,
            )
            .drop_nulls("trade_date")
            .select(columns)
        )
    return pl.concat(found).unique()
