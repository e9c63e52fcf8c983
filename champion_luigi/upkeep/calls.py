"""Upkeep from Python: what the commands of the same names do, with the outcome as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from champion_luigi.base.dates import day_of, range_of, whole_of
from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.pipeline.build import one_at_a_time
from champion_luigi.pipeline.run_fill import adjust_after, run_adjustments
from champion_luigi.pipeline.tasks import LoadClickHouse, WriteParquet
from champion_luigi.storage import symbol_changes
from champion_luigi.upkeep import adjusted, again
from champion_luigi.upkeep import clean as cleaning
from champion_luigi.upkeep import redo as redoing
from champion_luigi.upkeep import refresh as refreshing
from champion_luigi.upkeep import repair as repairing
from champion_luigi.upkeep import sources as comparing
from champion_luigi.upkeep import verify as verifying
from champion_luigi.upkeep.adjusted import Checked
from champion_luigi.upkeep.clean import Item, Kept
from champion_luigi.upkeep.refresh import Outcome
from champion_luigi.upkeep.sources import Compared
from champion_luigi.upkeep.verify import Verdict
from champion_luigi.warehouse import opened


@one_at_a_time
def verify(
    dataset: str = catalog.DEFAULT,
    start: date | str | None = None,
    end: date | str | None = None,
    *,
    repair: bool = False,
) -> Verdict:
    """Compare a data set's fetched files, lake and warehouse, date by date, as `champion verify` does.

        >>> from champion_luigi import verify
        >>> verify(start="2024-01-01", end="2024-01-31").differences

    ``start`` and ``end`` are dates or ISO texts, both included; by default all dates with data. With ``repair``, the
    outputs that differ are made again, and the result has the differences that are left. ``troubles`` are sentences
    about anything else that is not as it was stored: a cluster's hosts, the warehouse's adjustments, the lists of
    changed symbols. Raises SettingsError, Busy if another process holds the embedded warehouse, and the errors of a
    server's connection.
    """
    found = catalog.dataset_of(dataset)
    first, last = range_of(start, end)
    with opened.kept_open():
        verdict = verifying.of_range(found, first, last)
        if repair and verdict.differences:
            verdict.differences, _ = repairing.repair(found, verdict.differences)
        if found.is_for_adjustments:
            verdict.troubles += [*_lost_adjustments(repair=repair), *changed_lists()]
    return verdict


def _lost_adjustments(*, repair: bool) -> list[str]:
    sentence = adjust_tasks.lost()
    if sentence and repair:
        adjust_tasks.load_again()
    if repair:
        adjust_after([EQUITY], lake_only=False if sentence else None)
    return [sentence] if sentence and not repair else []


def changed_lists() -> list[str]:
    """A sentence for each kept list of changed symbols that is not as it was fetched."""
    return [
        f"{each.day}: the kept list of changed symbols differs from what was fetched; expected sha256 "
        f"{each.expected}; found {each.found} [{each.path}]"
        for each in symbol_changes.damaged(wiring.list_files())
    ]


@one_at_a_time
def refresh(days: int, dataset: str = catalog.DEFAULT, end: date | str | None = None) -> list[Outcome]:
    """Request the last ``days`` days of the lake from the archive again, and replace those that have changed.

        >>> from champion_luigi import refresh
        >>> [each.date for each in refresh(days=5) if each.state == "changed"]

    ``end`` is the last of these days, by default the last in the lake. The list has an outcome for each day, oldest
    first; it is shorter than the lake's days if the archive refused a request or gave no answer, and the last outcome
    says why. Raises SettingsError or NotInstalled.
    """
    if whole_of(days, "days", 1) is None:
        raise SettingsError("refresh needs a number of days")
    found = catalog.dataset_of(dataset)
    with opened.kept_open():
        outcomes = list(refreshing.refresh(found, refreshing.days_there(found, days, day_of(end, "end"))))
        adjust_after([found])
    return outcomes


@one_at_a_time
def redo(
    start: date | str,
    end: date | str | None = None,
    *,
    first: str,
    last: str = "load",
    dataset: str = catalog.DEFAULT,
    workers: int | None = None,
) -> dict[date, str]:
    """Run a stage of some days again, and the stages after it, as `champion redo` does.

        >>> from champion_luigi import redo
        >>> redo("2024-01-15", first="normalize")

    ``start`` and ``end`` are dates or ISO texts, both included; without ``end``, a single day. ``first`` is one of
    scrape, parse, normalize, write and load, ``last`` write or load. Up to ``workers`` tasks run at a time. Returns a
    text for each date that was processed: "done", or the reason why it was not completed. Each output stays until a new
    one replaces it. Raises SettingsError, Busy or NotInstalled.
    """
    found = catalog.dataset_of(dataset)
    begin, until = range_of(start, end or start)
    for name, known in ((first, list(redoing.STAGES)), (last, ["write", "load"])):
        if name not in known:
            raise SettingsError(f"no stage is named {name!r} here", expected=", ".join(known))
    stages = redoing.STAGES[first], redoing.STAGES[last]
    if stages[0].stage > stages[1].stage:
        raise SettingsError(f"the first stage {first} comes after the last one {last}")
    if begin is None or until is None:
        raise SettingsError("redo needs a first date")
    days = [begin + timedelta(days=number) for number in range((until - begin).days + 1)]
    with settings.overridden({"fill_workers": workers}), opened.kept_open():
        run = [plan.day for day in days if not (plan := redoing.plan(found, day, *stages)).nothing]
        reasons = again.again(found, dict.fromkeys(run, stages))
        adjust_after([found], lake_only=last == "write" or None)
    return {day: reasons.get(day, "done") for day in run}


@one_at_a_time
def adjust(*, lake_only: bool = False) -> None:
    """Make the adjustments of prices again, and load them into the warehouse, as `champion adjust` does.

    Nothing is made or loaded again if nothing has changed. With ``lake_only``, nothing is loaded. Raises ChampionError
    if they could not be made or loaded, and NotInstalled.
    """
    if not lake_only:
        wiring.warehouse_place().require_engine()
    adjust_tasks.ask()
    with opened.kept_open():
        run_adjustments(adjust_tasks.last_task(lake_only=lake_only))


@dataclass(frozen=True)
class Cleaned:
    """The files that were removed, or would be, and those that must stay, each with the reason."""

    removed: list[Item]
    kept: list[Kept]


def clean(
    *,
    intermediates: bool = False,
    lake_only: bool = False,
    dry_run: bool = False,
    dataset: str | Iterable[str] = catalog.ALL,
) -> Cleaned:
    """Remove the leftovers of killed runs, and with ``intermediates`` loaded days' parsed and normalized outputs.

        >>> from champion_luigi import clean
        >>> sum(each.bytes for each in clean(dry_run=True).removed)

    Of these data sets alone intermediates are removed; with ``lake_only`` those of all days in the lake, loaded or not.
    With ``dry_run``, nothing is removed. Raises SettingsError, or StorageError if a file cannot be removed.
    """
    if lake_only and not intermediates:
        raise SettingsError("lake_only needs intermediates")
    of = (WriteParquet if lake_only else LoadClickHouse) if intermediates else None
    items, kept = cleaning.find(of, catalog.datasets_of(dataset))
    if not dry_run:
        refused = cleaning.remove_all(items, of)
        items = [item for item in items if item not in refused]
        kept += refused.values()
    return Cleaned(items, kept)


def verify_sources(
    dataset: str = catalog.DEFAULT, start: date | str | None = None, end: date | str | None = None
) -> list[Compared]:
    """Compare the lake's days with the archive's other files of each day, as `champion verify --sources` does.

    ``start`` and ``end`` are dates or ISO texts, both included; by default all days of the lake. Each comparison costs
    a request. Raises SettingsError, and the archive's errors.
    """
    found = catalog.dataset_of(dataset)
    return list(comparing.of_days(found, sorted(comparing.in_lake(found, *range_of(start, end)))))


def verify_adjustments(start: date | str | None = None, end: date | str | None = None) -> Checked:
    """Compare adjusted prices with the exchange's own, as `champion verify --adjustments` does.

    ``start`` and ``end`` are dates or ISO texts, both included. By default, the exchange's files of the last five
    sessions and the actions of all dates are compared. Raises NotMade if there are no adjustments, SettingsError, and
    the archive's errors.
    """
    return adjusted.of_range(*range_of(start, end))
