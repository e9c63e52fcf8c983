"""Replicas and ZooKeeper that die, stop or freeze while days are loaded: nothing is lost, and the same command ends."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import campaign
import pytest
from clickhouse_cluster import Cluster, eventually, running

from champion_luigi.storage import lake

pytestmark = [pytest.mark.faults, pytest.mark.integration]

AREA = "ClickHouse cluster"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with running(shards=1, replicas=3) as started:
        yield started


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    with running(shards=1, replicas=2) as started:
        yield started


@pytest.fixture
def database() -> str:
    return f"market_{next(_numbers)}"


class Fill:
    """A fill in a process of its own, one day after the other, so that it lasts."""

    def __init__(self, cluster: Cluster, database: str, log: Path, year: int) -> None:
        environment = {
            **os.environ,
            **cluster.environment(database),
            "NSE_ARCHIVE_URL": "simulated:",
            "CHAMPION_FILL_GROUP": "1",
            "CHAMPION_LOAD_RETRY_SECONDS": "1",
            "CHAMPION_FILL_DAY_RUNS": "0",
        }
        self._log = log
        command = [
            str(Path(sys.executable).with_name("champion")),
            "fill",
            "--start",
            f"{year}-01-01",
            "--end",
            f"{year}-02-15",
        ]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, "--workers", "4"], env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def words(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def ended(self) -> int:
        """The exit code."""
        return self.process.wait(300)


def loaded(cluster: Cluster, database: str, index: int) -> int:
    """The number of days that a host shows; 0 if it does not answer."""
    try:
        [(days,)] = _rows(cluster, index, f"SELECT uniqExact(trade_date) FROM {database}.equity_ohlc")
    except Exception:  # noqa: BLE001 - a host that is down, or has no table yet
        return 0
    return int(days)


def _rows(cluster: Cluster, index: int, statement: str) -> list[tuple[Any, ...]]:
    text = cluster.nodes[index].ask(f"{statement} FORMAT TSV", timeout=10)
    return [tuple(int(float(each)) for each in line.split("\t")) for line in text.splitlines()]


def until(look: Callable[[], bool], seconds: float = 120) -> bool:
    """Whether a look comes true in time."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def require_equal_to_the_lake(cluster: Cluster, database: str, root: Path) -> None:
    """Every host shows each day of the lake as the lake has it."""
    import polars as pl

    in_lake = lake.scan(root / "lake").group_by("trade_date").agg(pl.len(), pl.col("volume").sum()).collect()
    expected = sorted((row[1], row[2]) for row in in_lake.iter_rows())
    statement = f"SELECT count(), sum(volume) FROM {database}.equity_ohlc GROUP BY trade_date"
    hosts = range(len(cluster.hosts))
    eventually(lambda: [sorted(_rows(cluster, index, statement)) for index in hosts], [expected for _ in hosts])


def test_replicas_that_are_killed_in_turn_lose_no_day(three: Cluster, database: str, tmp_path: Path) -> None:
    """Kill -9 amid loads, of the replica in use as well: the fill goes on at another, and ends as if nothing was."""
    years, killed = itertools.count(2024, -1), 0
    fill = Fill(three, database, tmp_path / "log", next(years))

    def shown(indices: Iterable[int] = range(3)) -> int:
        return max(loaded(three, database, index) for index in indices)

    assert until(lambda: fill.is_over or shown() > 0)
    for number in campaign.rounds(fast=2, full=20):
        if fill.is_over:
            assert fill.ended() == 0, fill.words
            before, fill = shown(), Fill(three, database, tmp_path / f"log{number}", next(years))
            assert until(functools.partial(_goes_on, fill, before, shown))
        before, node = shown(), three.nodes[number % 3]
        node.kill()
        killed += not fill.is_over
        others = [index for index in range(3) if index != number % 3]
        until(functools.partial(_goes_on, fill, before, functools.partial(shown, others)))
        three.start(node)
    assert fill.ended() == 0, fill.words
    assert killed > 0
    require_equal_to_the_lake(three, database, tmp_path)
    campaign.tell(
        AREA,
        "each of three replicas killed in turn (kill -9) while days are loaded",
        "the fill ends 0, and every replica has every day of the lake",
        count=killed,
    )


def _goes_on(fill: Fill, before: int, shown: Callable[[], int]) -> bool:
    """Whether more days are shown than before, or the fill is over."""
    return fill.is_over or shown() > before


@pytest.mark.parametrize("amid", campaign.few([False, True]), ids={False: "between loads", True: "amid loads"}.get)
def test_with_one_of_two_replicas_loads_wait_and_name_it(
    two: Cluster, database: str, tmp_path: Path, amid: bool
) -> None:
    """A day counts when both have it: without one, the log names it, and when it is back the fill ends by itself."""
    fill = Fill(two, database, tmp_path / "log", 2024)
    if not amid:
        assert fill.ended() == 0, fill.words
        two.nodes[1].kill()
        fill = Fill(two, database, tmp_path / "log2", 2023)
    else:
        assert until(lambda: loaded(two, database, 0) > 0)
        two.nodes[1].kill()
    assert until(lambda: fill.is_over or "missing: replica r2" in fill.words), fill.words
    assert not fill.is_over
    two.start(two.nodes[1])
    assert fill.ended() == 0, fill.words
    require_equal_to_the_lake(two, database, tmp_path)
    campaign.tell(AREA, "one of two replicas killed", "loads wait, name it, and go on by themselves when it is back")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_zookeeper_loads_wait_and_say_so(two: Cluster, database: str, tmp_path: Path, how: str) -> None:
    """Killed for ten seconds or frozen for thirty: the log says so before it is back, and the fill ends afterwards."""
    seconds = {"stopped": 10, "frozen": 30}[how] if campaign.IS_WHOLE else 6
    # It takes 3 to 7 s; this is for machines that do much else.
    most = 15 if campaign.IS_WHOLE else 60
    fill = Fill(two, database, tmp_path / "log", 2024)
    assert until(lambda: loaded(two, database, 0) > 0)
    keeper = two.local.keeper
    began = time.monotonic()
    if how == "stopped":
        keeper.stop()
    else:
        keeper.process.send_signal(signal.SIGSTOP)
    is_said = until(lambda: "cannot load at present" in fill.words, most)
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    if how == "stopped":
        two.start(keeper)
    else:
        keeper.process.send_signal(signal.SIGCONT)
    assert is_said, fill.words
    assert fill.ended() == 0, fill.words
    require_equal_to_the_lake(two, database, tmp_path)
    campaign.tell(AREA, f"ZooKeeper {how} for {seconds} s", "loads wait and say so; the fill ends 0 afterwards")
