"""Claims to days: of several hosts with a store in common, one at a time works on a day.

A claim is an object that names its holder, created only if there is none. The holder renews it until it gives it back.
If others see a claim unchanged for as long as it lasts, by their own clocks, one of them takes it over: a host that was
killed does not block its days. By its own clock, a holder knows when it may have lost its claim.

The load claims of `warehouse.claims` are others: rows in a server's table, which keep two loads of one date apart.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from champion_luigi.base import durable, store
from champion_luigi.base.errors import Busy, ChampionError
from champion_luigi.base.places import Place

logger = logging.getLogger("champion_luigi")

_AT_ONCE = 8
# Time goes on while a machine sleeps, where the system has such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass
class _Held:
    """A claim of this process: until when it is certainly valid, and how many parts of the process use it."""

    until: float
    uses: int = 1


class Claims:
    """The claims of this process, below a folder of a store. Its threads share them.

    ``host`` is this host's name. A claim lasts for ``seconds`` after it was last renewed.
    """

    def __init__(self, folder: Place, host: str, seconds: float) -> None:
        self._folder = folder
        self._host = host
        self._seconds = seconds
        self._id = uuid.uuid4().hex
        self._held: dict[str, _Held] = {}
        # The claims of others: the tag, and when this process first saw it.
        self._seen: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._renewing: threading.Thread | None = None
        self._count = 0

    def take(self, name: str) -> bool:
        """Claim a name, or use this process's claim once more; False if another process has it."""
        with self._lock:
            if (held := self._held.get(name)) and _now() < held.until:
                held.uses += 1
                return True
        began = _now()
        if not (store.put_if_absent(self._at(name), self._content()) or self._take_over(name)):
            return False
        with self._lock:
            uses = held.uses if (held := self._held.get(name)) else 0
            self._held[name] = _Held(began + self._seconds, uses + 1)
            self._seen.pop(name, None)
            if self._renewing is None:
                self._renewing = threading.Thread(target=self._renew, name="claims", daemon=True)
                self._renewing.start()
        return True

    def take_all(self, names: Iterable[str]) -> list[str]:
        """Claim names, in their order; returns those that this process now has. After an error it has none of them."""
        every = list(names)

        def attempt(name: str) -> bool | ChampionError:
            try:
                return self.take(name)
            except ChampionError as error:
                return error

        found = dict(zip(every, _in_threads(attempt, every), strict=True))
        taken = [name for name, outcome in found.items() if outcome is True]
        for outcome in found.values():
            if isinstance(outcome, ChampionError):
                self.give_back(taken)
                raise outcome
        return taken

    def give_back(self, names: Iterable[str]) -> None:
        """End one use of each claim; the last use gives it back. If that fails, the claim ends by itself."""
        last = []
        with self._lock:
            for name in names:
                held = self._held.get(name)
                if held is None:
                    continue
                held.uses -= 1
                if held.uses <= 0:
                    del self._held[name]
                    # Near its end, another process may take it over at this moment.
                    if _now() < held.until - self._seconds / 4:
                        last.append(name)

        def delete(name: str) -> None:
            with contextlib.suppress(ChampionError, OSError):
                store.delete(self._at(name))

        _in_threads(delete, last)

    def require(self, name: str, what: str) -> None:
        """Raise Busy if this process may have lost its claim, because it or the store stood still."""
        with self._lock:
            held = self._held.get(name)
            if held and _now() < held.until:
                return
        raise Busy(
            f"the claim to {what} ended before the work began",
            expected=f"a renewal within {self._seconds:g} s",
            found="none: this process stood still, or the store did not answer",
            todo="Run the same command again: another host may have done the work.",
        )

    def holder(self, name: str) -> str:
        """The process that has a claim, in words."""
        found = store.get(self._at(name))
        return holder_of(found[0]) if found else "a process that has just ended"

    def _at(self, name: str) -> Place:
        return self._folder.joinpath(*f"{name}.json".split("/"))

    def _take_over(self, name: str) -> bool:
        """Take over a claim whose time is up; returns whether this process now has it."""
        found = store.get(self._at(name))
        if found is None:
            return store.put_if_absent(self._at(name), self._content())
        content, tag = found
        document = _document(content)
        if document.get("id") == self._id:
            # It was not renewed in time, or the answer to an earlier request was lost.
            return store.replace_if(self._at(name), self._content(), tag)
        with self._lock:
            seen, since = self._seen.get(name, ("", 0.0))
            if seen != tag:
                self._seen[name] = tag, (since := _now())
        limit = seconds_of(content) or self._seconds
        if _now() - since < limit and not _is_gone(document, self._host):
            return False
        taken = store.replace_if(self._at(name), self._content(), tag)
        if taken:
            logger.warning(
                "the claim to %s is taken over from %s, which no longer renews it",
                name,
                holder_of(content),
            )
        return taken

    def _renew(self) -> None:
        while True:
            time.sleep(self._seconds / 6)
            with self._lock:
                if not self._held:
                    self._renewing = None
                    return
                due = {name: held for name, held in self._held.items() if held.until - _now() < self._seconds * 2 / 3}
            _in_threads(functools.partial(self._renew_one, due), list(due))

    def _renew_one(self, due: Mapping[str, _Held], name: str) -> None:
        began, place, held = _now(), self._at(name), due[name]
        try:
            found = store.get(place)
            is_ours = False
            if found and _document(found[0]).get("id") == self._id:
                is_ours = store.replace_if(place, self._content(), found[1])
            # Otherwise it was given back meanwhile, or another process has taken it over.
            held.until = began + self._seconds if is_ours else 0.0
            if is_ours and name not in self._held:
                store.delete(place)
        except (ChampionError, OSError) as error:
            logger.warning("the claim to %s could not be renewed: %s", name, error)

    def _content(self) -> bytes:
        # Each one differs: an object store's tag is often a hash of the content.
        self._count += 1
        return durable.json_bytes(
            {
                "holder": f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'}) on {self._host}",
                "seconds": self._seconds,
                "written_at": durable.now(),
                "id": self._id,
                "count": self._count,
                "process": os.getpid(),
                "place": _place(self._host),
            }
        )


def holder_of(content: bytes) -> str:
    """The process that has a claim of this content, in words."""
    return str(_document(content).get("holder", "another host"))


def seconds_of(content: bytes) -> float:
    """How long a claim of this content lasts after it was renewed; 0 if it does not say."""
    seconds = _document(content).get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def end(place: Place, tag: str) -> bool:
    """Remove a claim that is still as its tag says; False if another process has renewed it or taken it over."""
    if not store.replace_if(place, durable.json_bytes({}), tag):
        return False
    store.delete(place)
    return True


def identity(folder: Place) -> str:
    """A name for the store that holds a folder of claims: the same on every host, however each reaches it."""
    place = folder / "store.json"
    store.put_if_absent(place, durable.json_bytes({"id": uuid.uuid4().hex, "noted_at": durable.now()}))
    found = store.get(place)
    return str(_document(found[0]).get("id")) if found else ""


def _in_threads(do: Callable[[str], Any], names: list[str]) -> list[Any]:
    if len(names) < 2:
        return [do(name) for name in names]
    with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as threads:
        return list(threads.map(do, names))


def _document(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _place(host: str) -> str:
    """Where a process's id is unique: a host since its start, and a space of ids; each container has its own."""
    parts = [host, socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        lambda: str(Path("/proc/self/ns/pid").readlink()),
    ):
        with contextlib.suppress(OSError):
            parts.append(read())
    return " ".join(parts) if len(parts) == 4 else ""


def _is_gone(document: dict[str, Any], host: str) -> bool:
    """Whether the claim is that of a process on this host that no longer runs."""
    process, place = document.get("process"), _place(host)
    if not isinstance(process, int) or process <= 0 or not place or document.get("place") != place:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
