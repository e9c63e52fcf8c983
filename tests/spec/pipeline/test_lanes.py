"""Luigi builds in threads: what `luigi.build` promises holds, in one process."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import luigi
import pytest
from helpers import wait_for
from luigi.mock import MockFileSystem, MockTarget

from champion_luigi.config import settings
from champion_luigi.pipeline import lanes


class Noted(luigi.Task):
    """A task that notes what it saw when it ran."""

    name: Any = luigi.Parameter()
    seen: ClassVar[dict[str, dict[str, Any]]] = {}

    def output(self) -> MockTarget:
        return MockTarget(self.name)

    def run(self) -> None:
        self.seen[self.name] = {
            "process": os.getpid(),
            "thread": threading.current_thread(),
            "in_threads": lanes.in_threads.get(),
            "database": settings.get("clickhouse_database"),
            "done": sorted(self.seen),
        }
        with self.output().open("w") as file:
            file.write("done")


class After(Noted):
    """A task that needs others."""

    needs: Any = luigi.ListParameter(default=())

    def requires(self) -> list[Noted]:
        return [Noted(name=name) for name in self.needs]


class Together(Noted):
    """A task that ends only while two of its kind run at a time."""

    barrier: ClassVar[threading.Barrier]

    def run(self) -> None:
        self.barrier.wait(timeout=30)
        super().run()


class Failing(Noted):
    """A task that fails."""

    def run(self) -> None:
        raise ValueError(self.name)


class Forgetful(Noted):
    """A task that leaves no output."""

    def run(self) -> None:
        """Nothing."""


class Telling(Noted):
    """A task that shows its progress."""

    def run(self) -> None:
        self.set_status_message("half way")  # type: ignore[misc]  # Luigi lends it these
        self.set_progress_percentage(50)  # type: ignore[misc]
        super().run()


class Waiting(Noted):
    """A task that ends when it is told to, and is begun before all others."""

    priority = 1
    begun: ClassVar[threading.Event]
    go_on: ClassVar[threading.Event]

    def run(self) -> None:
        self.begun.set()
        self.go_on.wait(timeout=30)
        super().run()


class Yielding(Noted):
    """A task that finds out what it needs while it runs."""

    def run(self) -> Iterator[Noted]:  # type: ignore[override]
        yield Noted(name=f"{self.name}, found")
        super().run()


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    Noted.seen.clear()
    MockFileSystem().clear()


def build(*tasks: luigi.Task, threads: int = 3) -> bool:
    with lanes.economy():
        return lanes.Lane(tasks, threads, local_scheduler=True).wait()


def test_all_tasks_are_run() -> None:
    """One after the other."""
    names = sorted(str(number) for number in range(40))
    assert build(*(Noted(name=name) for name in names))
    assert sorted(Noted.seen) == names


def test_a_task_is_run_after_those_that_it_requires() -> None:
    """Dependencies come first."""
    build(After(name="last", needs=["a", "b", "c"]))
    assert Noted.seen["last"]["done"] == ["a", "b", "c"]


def test_a_task_may_find_out_what_it_needs_while_it_runs() -> None:
    """Luigi's dynamic dependencies."""
    assert build(Yielding(name="a"))
    assert sorted(Noted.seen) == ["a", "a, found"]


def test_complete_tasks_are_not_run() -> None:
    """A second build has nothing to do."""
    build(Noted(name="a"))
    Noted.seen.clear()
    assert build(Noted(name="a"))
    assert Noted.seen == {}


def test_tasks_run_in_threads_of_this_process() -> None:
    """No fork: they share a connection and an engine."""
    build(*(Noted(name=str(number)) for number in range(6)))
    assert {each["process"] for each in Noted.seen.values()} == {os.getpid()}
    assert threading.main_thread() not in {each["thread"] for each in Noted.seen.values()}


def test_a_failing_task_does_not_stop_the_others() -> None:
    """The result says that one failed."""
    assert not build(Failing(name="a"), *(Noted(name=name) for name in "bcd"))
    assert sorted(Noted.seen) == ["b", "c", "d"]


def test_what_a_task_raises_reaches_the_handlers() -> None:
    """Luigi's FAILURE event, with the error itself."""
    heard = []

    def note(task: luigi.Task, error: BaseException) -> None:
        heard.append((task, error))

    Failing.event_handler(luigi.Event.FAILURE)(note)
    try:
        build(Failing(name="a"))
    finally:
        Failing.remove_event_handler(luigi.Event.FAILURE, note)
    [(task, error)] = heard
    assert task == Failing(name="a")
    assert isinstance(error, ValueError)


def test_a_task_that_leaves_no_output_has_failed() -> None:
    """As with Luigi's own workers under this package's defaults."""
    assert not build(Forgetful(name="a"))


def test_a_task_can_show_its_progress() -> None:
    """The scheduler is lent to it, as by Luigi's own workers."""
    assert build(Telling(name="a"))


def test_overridden_settings_hold_in_the_threads() -> None:
    """What `settings.overridden` says where the build is called."""
    with settings.overridden({"clickhouse_database": "given"}):
        build(Noted(name="a"))
    build(Noted(name="b"))
    assert (Noted.seen["a"]["database"], Noted.seen["b"]["database"]) == ("given", "champion_market")


def test_a_task_knows_how_many_may_run_beside_it() -> None:
    """And outside of a build, nobody does."""
    build(Noted(name="a"), threads=3)
    assert (Noted.seen["a"]["in_threads"], lanes.in_threads.get()) == (3, 0)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR])
def test_luigis_log_level_is_as_before(level: int) -> None:
    """Its chatter is down during the build alone, after a failure too."""
    luigi_logger = logging.getLogger("luigi-interface")
    before = luigi_logger.level
    luigi_logger.setLevel(level)
    try:
        build(Failing(name="a"))
        assert luigi_logger.level == level
    finally:
        luigi_logger.setLevel(before)


def test_the_threads_end_with_the_build() -> None:
    """A notebook that fills often does not gather them."""
    build(*(Noted(name=name) for name in "abc"))
    used = {each["thread"] for each in Noted.seen.values()}
    wait_for(lambda: not any(thread.is_alive() for thread in used), "the threads to end")


def test_two_lanes_run_at_the_same_time() -> None:
    """Each of these waits for the other, which is in the other lane."""
    Together.barrier = threading.Barrier(2)
    with lanes.economy():
        both = [lanes.Lane([Together(name=name)], 1, local_scheduler=True) for name in "ab"]
        assert [lane.wait() for lane in both] == [True, True]


def test_a_lane_that_is_stopped_starts_nothing_more() -> None:
    """What runs is given the time to end."""
    Waiting.begun, Waiting.go_on = threading.Event(), threading.Event()
    with lanes.economy():
        lane = lanes.Lane([Waiting(name="a"), After(name="b", needs=["c"])], 1, local_scheduler=True)
        assert Waiting.begun.wait(30)
        threading.Timer(0.2, Waiting.go_on.set).start()
        lane.stop(30)
    assert list(Noted.seen) == ["a"]


def test_a_time_limit_of_luigis_worker_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Luigi itself would fork, to end the task from outside."""
    monkeypatch.setattr(Noted, "worker_timeout", 60)
    assert build(Noted(name="a"))
    assert Noted.seen["a"]["process"] == os.getpid()


def test_as_many_jobs_run_at_a_time_as_there_are_threads() -> None:
    """Each of these waits for two others, and each has the context of the caller."""
    barrier, seen = threading.Barrier(3), []

    def job() -> None:
        barrier.wait(timeout=30)
        seen.append(settings.get("clickhouse_database"))

    with settings.overridden({"clickhouse_database": "given"}):
        lanes.run_all([job] * 6, 3)
    assert seen == ["given"] * 6


def test_a_lane_that_is_stopped_begins_no_more_jobs() -> None:
    """A group may have many days left to fetch."""
    begun, go_on, ran = threading.Event(), threading.Event(), []

    class Many(Noted):
        def run(self) -> None:
            lanes.run_all([job] * 9, 2)
            super().run()

    def job() -> None:
        ran.append(threading.get_ident())
        begun.set()
        go_on.wait(timeout=30)

    with lanes.economy():
        lane = lanes.Lane([Many(name="a")], 2, local_scheduler=True)
        assert begun.wait(30)
        wait_for(lambda: len(ran) == 2, "both threads to be at it")
        threading.Timer(0.2, go_on.set).start()
        lane.stop(30)
    assert len(ran) == 2


def test_garbage_is_collected_again_afterwards() -> None:
    """The collector is off during builds alone."""
    assert gc.isenabled()
    with lanes.economy():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.integration
def test_a_forked_process_can_build() -> None:
    """As a fill does that Luigi runs with several workers."""

    def in_child() -> None:
        done = build(Noted(name="a"), Noted(name="b"))
        os._exit(0 if done else 1)

    with luigi.worker.fork_lock:
        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    assert not alive, "the child hangs"
    assert child.exitcode == 0
