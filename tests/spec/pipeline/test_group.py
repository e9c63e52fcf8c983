"""A fill's stages do the work of many days at once, and each day's task is as if it had run alone."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import luigi
import pytest
from helpers import build, hear, lines_of, payload, publish, retry_at_once, start_python, wait_for
from luigi.scheduler import Scheduler
from luigi.task_register import Register

from champion_luigi import LoadClickHouse, NormalizeBhavcopy, ParseBhavcopy, ScrapeBhavcopy, WriteParquet
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import chunks, lanes
from champion_luigi.pipeline.chunks import Progress, fill_days
from champion_luigi.pipeline.day_task import DayTask

WEEK = [date(2023, 6, day) for day in range(12, 17)]
ROWS = 30
STAGES: tuple[type[DayTask], ...] = (ScrapeBhavcopy, ParseBhavcopy, NormalizeBhavcopy, WriteParquet)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An archive's folder with the first rows of each day of the week; no test waits for a retry."""
    retry_at_once(monkeypatch)
    archive = tmp_path / "archive"
    for day in WEEK:
        publish(archive, day, "legacy", lines_of(payload(day, "legacy"))[: ROWS + 1])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(archive))
    Register.clear_instance_cache()
    yield archive
    Register.clear_instance_cache()


def fill(of: type[DayTask] = WriteParquet, days: Sequence[date] = WEEK) -> Progress:
    progress = Progress(due=len(days))
    fill_days(of, EQUITY, days, progress, workers=4, local_scheduler=True)
    return progress


def done(of: type[DayTask] = WriteParquet) -> list[date]:
    return [day for day in WEEK if of(date=day).is_made()]


def spoil(folder: Path, day: date) -> None:
    """Publish a day of which every row is rejected."""
    header, *rows = lines_of(payload(day, "legacy"))[: ROWS + 1]
    publish(
        folder, day, "legacy", [header, *(",".join([*row.split(",")[:2], "x", *row.split(",")[3:]]) for row in rows)]
    )


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The stages that worked, and for how many days at once."""
    found: list[tuple[str, int]] = []

    def note(stage: str, together: Callable[[Sequence[DayTask]], None], tasks: Sequence[DayTask]) -> None:
        found.append((stage, len(tasks)))
        together(tasks)

    for stage in STAGES[1:]:
        noting = functools.partial(note, stage.__name__, stage.work_together)
        # A partial alone will be a method of the class in a later Python, of which 3.13 warns.
        monkeypatch.setattr(stage, "work_together", staticmethod(noting))
    return found


def test_a_stage_works_once_for_all_days(sizes: list[tuple[str, int]]) -> None:
    """One after the other, as the days depend on them."""
    assert fill().done == 5
    assert sizes == [("ParseBhavcopy", 5), ("NormalizeBhavcopy", 5), ("WriteParquet", 5)]


def test_a_day_of_a_fill_is_the_day_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, in the lake and in the tables on the way to it."""
    fill()
    together = {(stage, day): stage(date=day).output().file.read_bytes() for stage in STAGES[1:] for day in WEEK}
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "alone"))
    Register.clear_instance_cache()
    assert build(*(WriteParquet(date=day) for day in WEEK)).is_done
    assert {(stage, day): stage(date=day).output().file.read_bytes() for stage, day in together} == together


def test_each_task_fires_its_own_events() -> None:
    """Once a date, with the date's own task; nothing of the group is heard."""
    heard: Counter[tuple[str, str, date]] = Counter()
    events = (luigi.Event.START, luigi.Event.PROCESSING_TIME, luigi.Event.SUCCESS, luigi.Event.FAILURE)
    handlers: dict[str, Any] = {}
    for event in events:

        def note(task: Any, *_rest: Any, event: str = event) -> None:
            heard[event, task.task_family, task.date] += 1

        handlers[event] = luigi.Task.event_handler(event)(note)
    try:
        fill()
    finally:
        for event, handler in handlers.items():
            luigi.Task.remove_event_handler(event, handler)
    assert heard == Counter({(event, of.__name__, day): 1 for event in events[:3] for of in STAGES for day in WEEK})


def test_a_bad_day_fails_alone(folder: Path) -> None:
    """It is named with its own error; the others of its group are done, and stay done."""
    spoil(folder, WEEK[2])
    progress = fill()
    assert list(progress.failed) == [WEEK[2]]
    assert f"{WEEK[2]}" in progress.failed[WEEK[2]]
    assert "rejected" in progress.failed[WEEK[2]]
    assert done() == [day for day in WEEK if day != WEEK[2]]
    publish(folder, WEEK[2], "legacy", lines_of(payload(WEEK[2], "legacy"))[: ROWS + 1])
    ScrapeBhavcopy(date=WEEK[2]).output().file.unlink()
    again = fill(days=[WEEK[2]])
    assert (again.done, again.failed) == (1, {})


def test_an_unpublished_day_leaves_the_others(folder: Path) -> None:
    """Its later stages do not run, and theirs do."""
    [file] = folder.rglob(f"cm{WEEK[1]:%d}*")
    file.unlink()
    assert fill().done == 4
    assert done() == [day for day in WEEK if day != WEEK[1]]


@pytest.mark.parametrize("days", [WEEK, WEEK[1:2]], ids=["within a group", "alone"])
def test_an_unpublished_day_has_not_failed(folder: Path, monkeypatch: pytest.MonkeyPatch, days: list[date]) -> None:
    """Nothing of it is red in the visualiser, and a later fill in the same scheduler completes it."""
    [file] = folder.rglob(f"cm{WEEK[1]:%d}*")
    away = file.rename(folder / "away")
    [scheduler] = schedulers_of(lambda: fill(days=days), monkeypatch)
    waiting = scheduler.task_list("PENDING", "")
    assert {stage(date=WEEK[1]).task_id for stage in STAGES} < waiting.keys()
    [outstanding] = [task["params"] for task in waiting.values() if task["name"] == "Outstanding"]
    assert outstanding["what"].startswith(f"{WEEK[1]}: the archive has no file")
    for status in ("FAILED", "DISABLED", "UNKNOWN", "RUNNING"):
        assert scheduler.task_list(status, "") == {}
    assert len(scheduler.task_list("DONE", "")) >= 5 * (len(days) - 1)
    assert not any(scheduler.task_list("PENDING", kind) for kind in ("UPSTREAM_FAILED", "UPSTREAM_DISABLED"))
    away.rename(file)
    monkeypatch.setattr(lanes, "_LocalScheduler", lambda: scheduler)
    assert fill(days=[WEEK[1]]).done == 1
    assert {stage(date=WEEK[1]).task_id for stage in STAGES} <= scheduler.task_list("DONE", "").keys()


def schedulers_of(run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[Scheduler]:
    """The schedulers of the lanes of a fill, after it."""
    schedulers: list[Scheduler] = []

    class Noted(lanes._LocalScheduler):
        def __init__(self) -> None:
            super().__init__()
            schedulers.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(lanes, "_LocalScheduler", Noted)
        run()
    return schedulers


def test_the_scheduler_knows_each_tasks_outcome(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the visualiser shows it: one is out of attempts, with its error, and the others of its stage are done."""
    spoil(folder, WEEK[2])
    [scheduler] = schedulers_of(fill, monkeypatch)
    bad = NormalizeBhavcopy(date=WEEK[2])
    assert [*scheduler.task_list("DISABLED", "")] == [bad.task_id]
    assert "rejected" in scheduler.fetch_error(bad.task_id)["error"]
    finished = scheduler.task_list("DONE", "")
    for day in WEEK:
        for stage in STAGES:
            assert (stage(date=day).task_id in finished) == (day != WEEK[2] or stage.stage < bad.stage)


class Slow(ParseBhavcopy):
    """A user's own way to parse."""

    days: list[date] = []  # noqa: RUF012 - one for all

    def work(self) -> None:
        self.days.append(self.date)
        super().work()


def test_a_task_that_overrides_work_works_day_by_day() -> None:
    """What is written for one day is called with one day."""
    progress = fill(Slow)
    assert sorted(Slow.days) == WEEK
    assert progress.done == 5


def test_a_fill_has_a_day_to_itself_from_its_first_stage_to_its_last() -> None:
    """One lock of each day for all stages: no other process gets in between. Afterwards none is left."""
    seen: dict[date, set[int]] = {}

    def note(task: DayTask) -> None:
        seen.setdefault(task.date, set()).add(task.files.lock(task.date).stat().st_ino)

    DayTask.event_handler(luigi.Event.START)(note)
    try:
        assert fill().done == 5
    finally:
        DayTask.remove_event_handler(luigi.Event.START, note)
    assert [len(seen[day]) for day in WEEK] == [1] * 5
    assert not any(wiring.files(EQUITY).lock(day).exists() for day in WEEK)


def test_no_days_are_held_while_the_engine_may_be_waited_for() -> None:
    """Whoever has the engine may wait for one of these days. A fill that loads takes the engine first."""
    loads, writes = [LoadClickHouse(date=day) for day in WEEK], [WriteParquet(date=day) for day in WEEK]
    assert chunks._locks(LoadClickHouse, loads) == []
    assert len(chunks._locks(WriteParquet, writes)) == 5
    with settings.overridden({"clickhouse_host": "a-server"}):
        assert len(chunks._locks(LoadClickHouse, loads)) == 5


@pytest.mark.parametrize("holds_its_days", [False, True])
def test_a_day_that_another_process_works_on_goes_alone(sizes: list[tuple[str, int]], *, holds_its_days: bool) -> None:
    """The others are done while it is still locked; it waits, and then runs as by itself."""
    assert build(*(ScrapeBhavcopy(date=day) for day in WEEK)).is_done
    holder = start_python(
        "import sys; from pathlib import Path; from champion_luigi.base import locks\n"
        "with locks.locked(Path(sys.argv[1]), 'a day', 0):\n"
        "    print('held', flush=True); sys.stdin.readline()\n",
        str(wiring.files(EQUITY).lock(WEEK[2])),
    )
    assert hear(holder) == "held"
    held = [wiring.files(EQUITY).lock(day) for day in WEEK] if holds_its_days else []
    lane = lanes.Lane([ParseBhavcopy(date=day) for day in WEEK], 2, local_scheduler=True, locks=held)
    wait_for(lambda: len(done(ParseBhavcopy)) == 4, "the other days")
    assert not ParseBhavcopy(date=WEEK[2]).complete()
    holder.communicate("\n", timeout=60)
    lane.wait()
    assert done(ParseBhavcopy) == WEEK
    assert sizes == [("ParseBhavcopy", 4), ("ParseBhavcopy", 1)]
