"""Several hosts that share a fill: who they are, which of its days each works on, and when they must not share.

Hosts share a place if payloads and lake are in a store that all of them use. There a host claims a day before its first
stage, and gives it back after the last one, so that all stages of a day run on one host. Without such a store, only the
day's lock in DATA_DIR keeps others away, on other hosts too if DATA_DIR is a shared folder.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import date
from types import MappingProxyType
from typing import Any, TypeVar

import luigi
import tenacity
from luigi.rpc import RemoteScheduler, RPCError

from champion_luigi.base import locks, mounts
from champion_luigi.base.errors import Busy, SettingsError, is_transient
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse import opened

logger = logging.getLogger("luigi-interface.fill")

_T = TypeVar("_T")
_ATTEMPTS = 3
# What a fill's worker reports to the central scheduler, besides what Luigi's own workers report.
_PLACE, _HOST, _DATASET, _FIRST, _LAST = (f"champion_{each}" for each in ("place", "host", "dataset", "first", "last"))
_LOOK_SECONDS = 0.5
_ARCHIVE = "archive"

# The central scheduler's resources that a task takes while it sends requests to the archive.
of_archive: ContextVar[Mapping[str, int]] = ContextVar("champion_of_archive", default=MappingProxyType({}))


def name_in_luigi() -> str:
    """The host's part in the id of its fill; empty where hosts share no place and CHAMPION_HOST is not set."""
    # Luigi makes tasks where no error is reported; whatever runs the task reports this one.
    with contextlib.suppress(SettingsError):
        if settings.get("host") or wiring.claims():
            return wiring.host_name()
    return ""


def key(dataset: Dataset, day: date) -> str:
    """The name of the claim to a day."""
    return f"{dataset.name}/{day}"


@contextlib.contextmanager
def claimed(name: str, what: str, wait_seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a claim while the block runs, where hosts share a place. Raises Busy, naming the holder, after a wait."""
    claims = wiring.claims()
    if claims is None:
        yield
        return
    began, has_said = time.monotonic(), False
    while not _patiently(lambda: claims.take(name)):
        if time.monotonic() >= began + wait_seconds:
            raise Busy(
                f"{what} is in use by another host",
                found=claims.holder(name),
                todo="Wait for it to end, or stop it, and run the same command again.",
            )
        if not has_said:
            say(f"waiting for {what}, in use by {claims.holder(name)}")
            has_said = True
        time.sleep(_LOOK_SECONDS)
    try:
        if has_said:
            locks.note_wait(time.monotonic() - began)
        claims.require(name, what)
        yield
    finally:
        claims.give_back([name])


def take(dataset: Dataset, days: Sequence[date]) -> list[date]:
    """Claim days, in their order; returns those that this process may work on: all, where hosts share no place."""
    claims = wiring.claims()
    if claims is None:
        return list(days)
    taken = set(_patiently(lambda: claims.take_all(key(dataset, day) for day in days)))
    return [day for day in days if key(dataset, day) in taken]


def _patiently(ask: Callable[[], _T]) -> _T:
    """Ask the store for claims; if it does not answer, again, as a stage does."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_fixed(settings.get("retry_seconds")),
        retry=tenacity.retry_if_exception(is_transient),
        before_sleep=lambda state: logger.warning("%s", state.outcome and state.outcome.exception()),
        reraise=True,
    )
    return retrying(ask)


def give_back(dataset: Dataset, days: Sequence[date]) -> None:
    """Give back the claims of `take`."""
    if days and (claims := wiring.claims()):
        claims.give_back(key(dataset, day) for day in days)


def warn_of_locks() -> None:
    """Warn if hosts share DATA_DIR, by the settings, on a file system whose locks may exclude this host alone."""
    if not (settings.get("local_dir") or settings.get("host")) or wiring.claims():
        return
    mount = mounts.mount_of(settings.data_dir())
    if mount and mount.is_shared and not mount.has_common_locks:
        logger.warning(
            "DATA_DIR is on %s (%s), whose locks are not known to reach further than this host: a fill on another host "
            "would do the same days again. Let one host use it, or share NFS 4 or an object store.",
            *mount[:2],
        )


def limits(task: luigi.Task) -> Mapping[str, int]:
    """The value for `of_archive`: one unit of ``archive``, if the central scheduler's luigi.cfg has that resource.

    Otherwise nothing, because Luigi treats a resource that is not configured as one that exists once.
    """
    if central := _central(task):
        scheduler, _ = central
        if any(each["name"] == _ARCHIVE for each in scheduler.resource_list()):
            return {_ARCHIVE: 1}
    return {}


def withdraw(task: luigi.Task) -> None:
    """Tell the central scheduler that the fill which `announce` named has ended."""
    if central := _central(task):
        scheduler, worker = central
        with contextlib.suppress(RPCError):
            scheduler.add_worker(worker=worker, info=[(_PLACE, "")])


def is_central(task: luigi.Task) -> bool:
    """Whether a central scheduler, which may give days of a fill to others, runs the task."""
    return _central(task) is not None


def _central(task: luigi.Task) -> tuple[Any, str] | None:
    """The central scheduler that runs a task, and the worker's name there."""
    reporter: Any = getattr(getattr(task, "set_status_message", None), "__self__", None)
    scheduler = getattr(reporter, "_scheduler", None)
    return (scheduler, reporter._worker_id) if isinstance(scheduler, RemoteScheduler) else None


def announce(task: luigi.Task, dataset: Dataset, first: date, last: date, *, with_warehouse: bool) -> None:
    """Tell the central scheduler, if there is one, what a fill works on, and where its outputs go.

    Raises Busy if another fill works on some of the same days, with outputs in another place: the scheduler would give
    each stage of a day once, to either of them.
    """
    central = _central(task)
    if central is None:
        return
    scheduler, worker = central
    server = opened.server_id(wiring.warehouse_place()) if with_warehouse else ""
    own = {
        _PLACE: wiring.place(with_warehouse=with_warehouse, server=server),
        _HOST: wiring.host_name(),
        _DATASET: dataset.name,
        _FIRST: str(first),
        _LAST: str(last),
    }
    scheduler.add_worker(worker=worker, info=list(own.items()))
    workers = {each["name"]: each for each in scheduler.worker_list(include_running=False)}
    # Of two that begin at once, the first goes on.
    begun = workers[worker]["started"], worker
    for other in workers.values():
        if other.get(_PLACE, "") in ("", own[_PLACE]) or other[_DATASET] != dataset.name:
            continue
        if other[_FIRST] > own[_LAST] or other[_LAST] < own[_FIRST] or (other["started"], other["name"]) > begun:
            continue
        withdraw(task)
        raise Busy(
            "another host fills the same days into another place, under the same central scheduler",
            found=f"{other[_HOST]}, {other[_FIRST]} to {other[_LAST]}, worker {other['name']}",
            expected="payloads and lake in a store that the hosts share, or one DATA_DIR",
            todo="Set CHAMPION_RAW_DIR, CHAMPION_LAKE_DIR and CLICKHOUSE_HOST alike on all hosts, wait for the other "
            "fill to end, or give each host a scheduler of its own. Nothing was done.",
        )
