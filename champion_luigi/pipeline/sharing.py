"""Files that several data sets read: fetched once and stored once, whichever data set comes first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from champion_luigi.base import locks
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Source
from champion_luigi.pipeline import hosts
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.storage import raw

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Published


@contextlib.contextmanager
def stored_for_others(task: DayTask, *, is_used: bool = True) -> Iterator[Callable[[Source], Published | None]]:
    """Yield a function for `archive.fetch`: a source's file of the day, if another data set has stored it.

    From the call for a shared source to the end of the block, this process holds the file's lock. Another process
    that wants the file for its own data set waits, then finds it stored. If not ``is_used``, the function only locks.
    """
    with contextlib.ExitStack() as held:
        locked: set[str] = set()

        def stored(source: Source) -> Published | None:
            if not source.shared:
                return None
            if source.shared not in locked:
                lock, what = task.files.shared_lock(source.shared, task.date), f"{source.shared} {task.date}"
                wait = settings.get("lock_wait_seconds")
                held.enter_context(locks.locked(lock, what, wait, task.say))
                held.enter_context(hosts.claimed(f"shared/{source.shared}/{task.date}", what, wait, task.say))
                locked.add(source.shared)
            return _stored(task, source) if is_used else None

        yield stored


def _stored(task: DayTask, source: Source) -> Published | None:
    from champion_luigi.exchange.archive import Published

    found = raw.kept_by_others(task.files, task.date, source, wiring.archive_name())
    if found is None:
        return None
    receipt, content = found
    about = (str(receipt["file"]), str(receipt.get("url")), content, receipt.get("validators") or {})
    return Published(source.name, *about, fetched_at=str(receipt.get("fetched_at") or ""))
