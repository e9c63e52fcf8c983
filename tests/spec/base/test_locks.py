"""Several locks held at once: for whom, which of them, and until when."""

from __future__ import annotations

import contextvars
import threading
from pathlib import Path

import pytest

from champion_luigi.base import locks
from champion_luigi.base.errors import Busy


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three locks, in their order."""
    return [tmp_path / f"{name}.lock" for name in "abc"]


def test_a_held_lock_is_not_taken_again(paths: list[Path]) -> None:
    """Neither the block that holds it nor one within waits for it, and the outer one alone releases it."""
    with locks.holding(paths):
        with locks.locked(paths[0], "it", 0):
            assert locks.is_locked(paths[0])
        assert locks.is_locked(paths[0])
    assert not any(path.exists() for path in paths)


def test_others_do_not_get_a_held_lock(paths: list[Path]) -> None:
    """A thread with a context of its own stands for another process; one with a copy of the context has the lock."""
    seen: dict[str, object] = {}

    def note(name: str) -> None:
        try:
            with locks.locked(paths[1], "it", 0):
                seen[name] = "had it"
        except Busy as error:
            seen[name] = error.what

    with locks.holding(paths):
        copy = contextvars.copy_context()
        threads = [threading.Thread(target=note, args=["other"]), threading.Thread(target=copy.run, args=[note, "own"])]
        for thread in threads:
            thread.start()
            thread.join()
    assert seen == {"own": "had it", "other": "it is in use by another part of this process"}


def test_locks_after_one_that_is_not_free_are_left(paths: list[Path]) -> None:
    """Whoever holds a later lock may wait for an earlier one, and both would wait for ever."""
    with locks.locked(paths[1], "it", 0), locks.holding(reversed(paths)):
        assert [locks.is_held(path) for path in paths] == [True, False, False]
        assert not locks.is_locked(paths[2])


def test_a_lock_that_cannot_be_made_is_left_to_whoever_needs_it(tmp_path: Path) -> None:
    """That one reports why, with the path."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.lock"
    with locks.holding([path]):
        assert not locks.is_held(path)
