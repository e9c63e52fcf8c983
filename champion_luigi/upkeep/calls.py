"""Upkeep from Python: what `champion verify`, `refresh` and `redo` do, with the outcome as a value."""

from __future__ import annotations

from datetime import date, timedelta

from champion_luigi.base.dates import day_of
from champion_luigi.base.errors import SettingsError
from champion_luigi.datasets import catalog
from champion_luigi.pipeline.run_fill import adjust_after
from champion_luigi.upkeep import again
from champion_luigi.upkeep import redo as redoing
from champion_luigi.upkeep import refresh as refreshing
from champion_luigi.upkeep import repair as repairing
from champion_luigi.upkeep import verify as verifying
from champion_luigi.upkeep.refresh import Outcome
from champion_luigi.upkeep.verify import Verdict
from champion_luigi.warehouse import opened


def verify(
    dataset: str = catalog.DEFAULT,
    start: date | str | None = None,
    end: date | str | None = None,
    *,
    repair: bool = False,
) -> Verdict:
    """Compare a data set's raw payloads, lake and warehouse, date by date, as `champion verify` does.

        >>> from champion_luigi import verify
        >>> verify(start="2024-01-01", end="2024-01-31").differences

    ``start`` and ``end`` are dates or ISO texts, both included; by default all dates with data. With ``repair``, the
    outputs that differ are made again, and the result has the differences that are left. Raises SettingsError, Busy if
    another process holds the embedded warehouse, and the errors of a server's connection.
    """
    found = catalog.dataset_of(dataset)
    first, last = _range(start, end)
    with opened.kept_open():
        verdict = verifying.of_range(found, first, last)
        if repair and verdict.differences:
            verdict.differences, _ = repairing.repair(found, verdict.differences)
            adjust_after([found])
    return verdict


def refresh(days: int, dataset: str = catalog.DEFAULT, end: date | str | None = None) -> list[Outcome]:
    """Request the last ``days`` days of the lake from the archive again, and replace those that have changed.

        >>> from champion_luigi import refresh
        >>> [each.date for each in refresh(days=5) if each.state == "changed"]

    ``end`` is the last of these days, by default the last in the lake. The list has an outcome for each day, oldest
    first; it is shorter than the lake's days if the archive refused a request or gave no answer, and the last outcome
    says why. Raises SettingsError or NotInstalled.
    """
    if days < 1:
        raise SettingsError(f"days has to be at least 1, not {days}")
    found = catalog.dataset_of(dataset)
    with opened.kept_open():
        outcomes = list(refreshing.refresh(found, refreshing.days_there(found, days, day_of(end, "end"))))
        adjust_after([found])
    return outcomes


def redo(
    start: date | str,
    end: date | str | None = None,
    *,
    first: str,
    last: str = "load",
    dataset: str = catalog.DEFAULT,
) -> dict[date, str]:
    """Run a stage of some days again, and the stages after it, as `champion redo` does.

        >>> from champion_luigi import redo
        >>> redo("2024-01-15", first="normalize")

    ``start`` and ``end`` are dates or ISO texts, both included; without ``end``, a single day. ``first`` is one of
    scrape, parse, normalize, write and load, ``last`` write or load. Returns a text for each date that was processed:
    "done", or the reason why it was not completed. Each output stays until a new one replaces it. Raises SettingsError,
    Busy or NotInstalled.
    """
    found = catalog.dataset_of(dataset)
    begin, until = _range(start, end or start)
    for name, known in ((first, list(redoing.STAGES)), (last, ["write", "load"])):
        if name not in known:
            raise SettingsError(f"no stage is named {name!r} here", expected=", ".join(known))
    stages = redoing.STAGES[first], redoing.STAGES[last]
    if stages[0].stage > stages[1].stage:
        raise SettingsError(f"the first stage {first} comes after the last one {last}")
    if begin is None or until is None:
        raise SettingsError("redo needs a first date")
    days = [begin + timedelta(days=number) for number in range((until - begin).days + 1)]
    with opened.kept_open():
        run = [plan.day for day in days if not (plan := redoing.plan(found, day, *stages)).nothing]
        reasons = again.again(found, dict.fromkeys(run, stages))
        adjust_after([found], lake_only=last == "write" or None)
    return {day: reasons.get(day, "done") for day in run}


def _range(start: date | str | None, end: date | str | None) -> tuple[date | None, date | None]:
    first, last = day_of(start, "start"), day_of(end, "end")
    if first and last and first > last:
        raise SettingsError(f"start {first} is after end {last}")
    return first, last
