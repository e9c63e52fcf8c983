"""A range of days from Python: what `champion fill` does, with its outcome as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import luigi
from luigi.execution_summary import LuigiStatusCode

from champion_luigi.base.dates import range_of, whole_of
from champion_luigi.base.errors import ChampionError
from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.pipeline.build import build, one_at_a_time
from champion_luigi.pipeline.fill import FillBhavcopy
from champion_luigi.pipeline.tasks import LoadClickHouse, WriteParquet
from champion_luigi.warehouse import opened


@dataclass(frozen=True)
class FillResult:
    """The outcome of a fill of one data set: ``done`` counts the days that it completed, ``rows`` their rows.

    ``absent`` are the sessions of the range that no source of the archive has, ``closed`` the weekdays that turned out
    to be no sessions, ``unpublished`` those whose file is not out yet, each with the reason. ``left`` counts the days
    that were not run, ``why_left`` says why.
    """

    dataset: str
    done: int
    rows: int
    absent: tuple[date, ...]
    closed: dict[date, str]
    unpublished: dict[date, str]
    left: int
    why_left: str


@one_at_a_time
def fill(
    start: date | str | None = None,
    end: date | str | None = None,
    *,
    dataset: str | Iterable[str] = catalog.DEFAULT,
    lake_only: bool = False,
    days_back: int | None = None,
    workers: int | None = None,
    task_limit: int | None = None,
    reverse: bool = False,
    recheck_closed: bool = False,
    recheck_absent: bool = False,
) -> dict[str, FillResult]:
    """Complete every missing session from ``start`` to ``end``, both included. Returns the outcome by data set.

        >>> from champion_luigi import fill
        >>> fill("2024-01-01", "2024-01-31", dataset="all")["equity"].done

    ``start`` and ``end`` are dates or ISO texts; by default the last ``days_back`` days, which are 100, up to the
    latest session that should be published by now. ``dataset`` is a name, several, or ``"all"``. With ``lake_only``,
    nothing is loaded into the warehouse. The other parameters are the options of `champion fill`. Afterwards the
    adjustments of prices are made that are due.

    Days that are complete are not run again, and one bad day does not stop the rest. Raises FillFailed, which names the
    failed days, once the range has been tried; SettingsError; or the error that kept the fill from beginning, such as
    Busy.
    """
    first, last = range_of(start, end)
    datasets = catalog.datasets_of(dataset)
    given = {
        "of": WriteParquet if lake_only else LoadClickHouse,
        "start": first,
        "end": last,
        "days_back": whole_of(days_back, "days_back", 0),
        "task_limit": whole_of(task_limit, "task_limit", 0),
        "reverse": reverse,
        "recheck_closed": recheck_closed,
        "recheck_absent": recheck_absent,
    }
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    results: dict[str, FillResult] = {}
    failed: BaseException | None = None
    with settings.overridden({"fill_workers": workers}), opened.kept_open():
        for each in datasets:
            task = FillBhavcopy(dataset=each.name, **parameters)
            if not task.complete():
                task.require_settings()
                _build(task)
            failed = failed or task.error
            results[each.name] = _result(task)
        adjust_after(datasets, lake_only=lake_only)
    if failed:
        raise failed
    return results


def _build(task: luigi.Task) -> None:
    """Run a task that is not complete. Raises ChampionError if Luigi could not schedule it."""
    # Checked here first, as Luigi only logs what complete() raises, such as an unusable setting.
    if task.complete():
        return
    task.deps()  # raises NotInstalled here, for the same reason
    result = build([task])
    if result.status in (LuigiStatusCode.SCHEDULING_FAILED, LuigiStatusCode.FAILED_AND_SCHEDULING_FAILED):
        raise ChampionError(f"{task} did not run: {result.summary_text}", todo="The log says why.")


def _result(task: FillBhavcopy) -> FillResult:
    progress = task.progress
    return FillResult(
        dataset=task.dataset,
        done=progress.done if progress else 0,
        rows=progress.rows if progress else 0,
        absent=tuple(task.absent),
        closed=dict(progress.closed) if progress else {},
        unpublished=dict(progress.unpublished) if progress else {},
        left=progress.left if progress else 0,
        why_left=(progress.stopped_because or "task_limit") if progress and progress.left else "",
    )


def adjust_after(datasets: Iterable[Dataset], *, lake_only: bool | None = None) -> None:
    """Make the adjustments that are due, after work on these data sets. Raises ChampionError if they could not be made.

    Without ``lake_only``, they are loaded if the warehouse has adjustments already.
    """
    if not any(dataset.is_for_adjustments for dataset in datasets) or not adjust_tasks.are_wanted():
        return
    run_adjustments(adjust_tasks.next_task() if lake_only is None else adjust_tasks.last_task(lake_only=lake_only))


def run_adjustments(task: luigi.Task) -> None:
    """Run a task of the adjustments, if it is due. Raises ChampionError if it is due still."""
    _build(task)
    if not task.complete():
        raise ChampionError(
            "the adjustments of prices are not up to date", todo="The log says why. Then run champion adjust."
        )
