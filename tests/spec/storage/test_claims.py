"""Claims to days in a folder, by several processes, or by objects that stand for hosts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import hear, start_python, wait_for

from champion_luigi.base.errors import Busy
from champion_luigi.storage.claims import Claims

DAY = "equity/2024-01-15"
OTHER_DAYS = ["equity/2024-01-16", "equity/2024-01-17"]
FILE = "equity/2024-01-15.json"
ClaimsOf = Callable[[str, float], Claims]

HOLDER = """
import sys, time
from pathlib import Path
from champion_luigi.storage.claims import Claims
claims = Claims(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
print(claims.take("equity/2024-01-15"), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def claims_of(tmp_path: Path) -> Iterator[ClaimsOf]:
    """Make the claims of a host. After the test none is left: its thread would go on, beside other tests."""
    made: list[Claims] = []

    def make(host: str, seconds: float) -> Claims:
        made.append(Claims(tmp_path, host, seconds))
        return made[-1]

    yield make
    for claims in made:
        for name in [DAY, *OTHER_DAYS]:
            while not _is_lost(claims, name):
                claims.give_back([name])


def test_one_of_many_has_a_claim(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """All at once, again and again: one succeeds, and after its end another one."""
    hosts = [claims_of(f"host {number}", 60) for number in range(6)]
    for _ in range(10):
        start = threading.Barrier(len(hosts))
        taken: list[Claims] = []

        def take(host: Claims, start: threading.Barrier = start, taken: list[Claims] = taken) -> None:
            start.wait()
            if host.take(DAY):
                taken.append(host)

        threads = [threading.Thread(target=take, args=(host,)) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [holder] = taken
        holder.require(DAY, "the day")
        holder.give_back([DAY])
    assert list(tmp_path.rglob("*.*")) == []


def test_a_process_uses_its_claim_in_several_parts(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """The fill holds the days, and each stage does too; the last one gives the claim back."""
    ours, other = claims_of("ours", 60), claims_of("other", 60)
    assert ours.take_all([DAY, "equity/2024-01-16"]) == [DAY, "equity/2024-01-16"]
    assert ours.take(DAY)
    ours.give_back([DAY])
    assert other.take_all([DAY, "equity/2024-01-17"]) == ["equity/2024-01-17"]
    ours.give_back([DAY, "equity/2024-01-16"])
    assert other.take(DAY)
    with pytest.raises(Busy, match="the claim to the day ended"):
        ours.require(DAY, "the day")


def test_a_claim_lasts_as_long_as_its_holder_renews_it(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """Longer than its time, as a slow day does."""
    ours, other = claims_of("ours", 1), claims_of("other", 1)
    assert ours.take(DAY)
    first = json.loads((tmp_path / FILE).read_bytes())["count"]
    wait_for(lambda: json.loads((tmp_path / FILE).read_bytes())["count"] >= first + 4, "four renewals")
    assert not other.take(DAY)
    ours.require(DAY, "the day")
    assert other.holder(DAY).endswith("on ours")


def test_the_claim_of_a_killed_host_is_taken_over_after_its_time(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """And not before: whoever waits watches it for that time by its own clock."""
    killed = start_python(HOLDER, str(tmp_path), "killed", "2")
    assert hear(killed) == "True"
    killed.kill()
    killed.communicate()
    others = [claims_of(f"host {number}", 60) for number in range(3)]
    began = time.monotonic()
    taken: list[Claims] = []
    while not taken:
        taken = [each for each in others if each.take(DAY)]
    assert time.monotonic() - began >= 2
    assert len(taken) == 1
    taken[0].require(DAY, "the day")


def test_on_the_same_host_a_killed_process_loses_its_claim_at_once(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """There it can be seen that it runs no more: a schedule's next run need not wait."""
    killed = start_python(HOLDER, str(tmp_path), "ours", "3600")
    assert hear(killed) == "True"
    ours = claims_of("ours", 3600)
    assert not ours.take(DAY)
    killed.kill()
    killed.communicate()
    assert ours.take(DAY)


def test_a_holder_that_stood_still_knows_that_its_claim_may_have_ended(tmp_path: Path, claims_of: ClaimsOf) -> None:
    """It then does nothing to the day, whoever has it, and does not end the other's claim."""
    stopped, other = claims_of("stopped", 1), claims_of("other", 60)
    assert stopped.take(DAY)
    # Its renewals fail, as those of a process that stands still: the file is another's by now.
    (tmp_path / FILE).unlink()
    assert other.take(DAY)
    wait_for(lambda: _is_lost(stopped), "the first one to notice")
    stopped.give_back([DAY])
    other.require(DAY, "the day")
    assert json.loads((tmp_path / FILE).read_bytes())["holder"].endswith("on other")


def _is_lost(claims: Claims, name: str = DAY) -> bool:
    try:
        claims.require(name, "the day")
    except Busy:
        return True
    return False


@pytest.mark.parametrize("content", [b"", b"[]", b'{"seconds": "x", "process": "y"}'])
def test_a_claim_that_cannot_be_read_ends_as_others_do(tmp_path: Path, claims_of: ClaimsOf, content: bytes) -> None:
    """It is somebody's, for the usual time."""
    (tmp_path / "equity").mkdir()
    (tmp_path / FILE).write_bytes(content)
    claims = claims_of("ours", 1)
    assert not claims.take(DAY)
    wait_for(lambda: claims.take(DAY), "the claim to end")
