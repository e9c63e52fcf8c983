"""A carrier's job and its exit codes: all that the process which starts it needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from champion_luigi.base import secrets as hiding

# Exit codes of a carrier.
DELIVERED = 0
LEFT = 1
CANNOT = 3


@dataclass(frozen=True)
class Job:
    """What to carry, and where to. ``uri`` and ``secrets`` come through a pipe, so that no list of processes has them.

    The carrier serves ``process`` as long as it lives; without one, it delivers the existing records once.
    ``artifacts`` is the folder for an experiment's files, if the store does not choose one. ``is_first`` means that no
    other carrier can have seen the process's records.
    """

    folder: Path
    uri: str = field(repr=False)
    experiment: str
    artifacts: Path | None = None
    process: str | None = None
    is_first: bool = False
    secrets: list[str] = field(default_factory=list, repr=False)

    def to_json(self) -> str:
        """The text that a carrier reads from standard input."""
        return json.dumps(vars(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `to_json` wrote."""
        found = json.loads(text)
        paths = {name: found[name] and Path(found[name]) for name in ("folder", "artifacts")}
        return cls(**found | paths)

    @property
    def store(self) -> str:
        """The store and the experiment for messages, without user, password or query."""
        return f"{hiding.public(self.uri)} {self.experiment}"
