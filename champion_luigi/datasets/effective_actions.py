"""The corporate actions that take effect, from the lists of notices: the view `corporate_actions_effective` for Polars.

    from champion_luigi import lake
    from champion_luigi.datasets.effective_actions import effective

    actions = effective(lake.scan("data/lake", dataset="corporate_actions"))

Both follow the same rules, which are in `corporate_actions`; a test compares them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from champion_luigi.datasets.corporate_actions import AGAIN_WITHIN_DAYS, OF_SHARES, SAME, SHARES

if TYPE_CHECKING:
    import polars as pl

_LATEST = ("name", "record_date", "purpose", "understood", "factor", "phrase")


def effective(rows: pl.DataFrame | pl.LazyFrame, lists: Sequence[date] | None = None) -> pl.DataFrame:
    """Each action once, with its effective ex-date, by symbol and ex-date.

    ``rows`` are those of the data set `corporate_actions`, and ``lists`` the days of all lists, if ``rows`` are only
    some of them. The result has the columns of the view: among them ``series``, a list, ``first_listed`` and
    ``last_listed``, ``vanished``, and ``moved_from``, a list of ex-dates.
    """
    import polars as pl

    lazy = rows.lazy()
    if lists is None:
        lists = lazy.select(pl.col("trade_date").unique()).collect()["trade_date"].to_list()
    lists = sorted(lists)
    notices = (
        lazy.filter(pl.col("kind").is_not_null())
        .with_columns(
            security=pl.when(pl.col("series").is_in(SHARES)).then(pl.lit("shares")).otherwise("series"),
            detail=pl.when(pl.col("kind") == "other").then("phrase").otherwise(pl.lit("")),
        )
        .sort("trade_date", "line")
        .group_by(*SAME, "ex_date")
        .agg(
            pl.col("series").unique().sort(),
            pl.col("trade_date").unique().sort().alias("listed"),
            pl.col(*_LATEST).last(),
        )
        .with_columns(alone=pl.len().over(SAME) == 1)
        .collect()
    )
    lists_of = {"moved_from": pl.List(pl.Date), "series": pl.List(pl.String)}
    dates = dict.fromkeys(("first_listed", "last_listed"), pl.Date)
    types: dict[str, Any] = {**notices.schema, **lists_of, **dates, "vanished": pl.Boolean}
    types = {name: types[name] for name in _COLUMNS}
    of_action: defaultdict[tuple[object, ...], list[dict[str, Any]]] = defaultdict(list)
    for notice in notices.filter(~pl.col("alone")).iter_rows(named=True):
        of_action[tuple(notice[name] for name in SAME)].append(notice)
    found = [row for each in of_action.values() for row in _standing(each, lists)]
    never_moved = _alone(notices.filter("alone", pl.col("ex_date").is_not_null()), lists)
    both = [pl.DataFrame(found, types), never_moved.select(pl.col(name).cast(kind) for name, kind in types.items())]
    return pl.concat(both).sort("symbol", "ex_date", "kind", "series")


def _alone(notices: pl.DataFrame, lists: Sequence[date]) -> pl.DataFrame:
    """What `_standing` makes of actions with one ex-date: they are nearly all, so they are taken together."""
    import polars as pl

    following = pl.DataFrame({"following": lists}, {"following": pl.Date})
    found = notices.with_columns(
        first_listed=pl.col("listed").list.first(),
        last_listed=pl.col("listed").list.last(),
        moved_from=pl.lit([], pl.List(pl.Date)),
    ).sort("last_listed")
    return found.join_asof(
        following,
        left_on="last_listed",
        right_on="following",
        strategy="forward",
        allow_exact_matches=False,
        coalesce=False,
    ).with_columns(vanished=(pl.col("following") < pl.col("ex_date")).fill_null(False))


_COLUMNS = tuple(
    "symbol series name kind ex_date record_date from_value to_value ratio_new ratio_old amount basis percent "
    "partly_paid factor phrase purpose understood first_listed last_listed vanished moved_from".split()
)


def _standing(notices: Sequence[Mapping[str, Any]], lists: Sequence[Any]) -> list[dict[str, Any]]:
    dated = [each for each in notices if each["ex_date"] is not None]
    dateless = {day for each in notices if each["ex_date"] is None for day in each["listed"]}
    found = []
    for notice in dated:
        if any(_replaces(other, notice) for other in dated):
            continue
        ex_date, listed = notice["ex_date"], notice["listed"]
        known = max([*listed, *(day for day in dateless if day <= ex_date)])
        found.append(
            {name: notice.get(name) for name in _COLUMNS}
            | {
                "first_listed": listed[0],
                "last_listed": listed[-1],
                "vanished": any(known < day < ex_date for day in lists),
                "moved_from": sorted(each["ex_date"] for each in dated if _replaces(notice, each)),
            }
        )
    return found


def _replaces(later: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    was, last = earlier["ex_date"], earlier["listed"][-1]
    if later["ex_date"] == was or set(later["listed"]) & set(earlier["listed"]):
        return False
    is_again = last < was and earlier["kind"] in OF_SHARES
    until = was + timedelta(days=AGAIN_WITHIN_DAYS) if is_again else was
    return any(last < day <= until for day in later["listed"])
