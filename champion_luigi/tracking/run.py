"""A run as MLflow gets it, with its name. Times are milliseconds since 1970, as in MLflow; durations are seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from champion_luigi.datasets import catalog

Record = dict[str, Any]
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
# The state of an execution's process: it goes on, it recorded its end, or it is gone without a record of its end.
Life = Literal["alive", "ended", "gone"]

_METRIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ./-]*")


@dataclass(frozen=True, slots=True)
class Metric:
    """A value, when it was measured (ms), and its place in a series."""

    name: str
    value: float
    time: int
    step: int = 0


@dataclass
class Run:
    """One run as MLflow gets it, or a part of its news.

    ``end`` (ms) is None while the run goes on; ``parent`` is another run's name; ``table`` is the CSV of a fill's days,
    or empty.
    """

    execution: str
    name: str
    start: int
    end: int | None = None
    status: Status = "RUNNING"
    parent: str | None = None
    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    table: str = ""


def name_of_day(day: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of a run for a date of a data set."""
    return f"{_stem(dataset)}-etl-{day}"


def name_of_fill(first: date | str, last: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of a fill's run for a range of a data set, both dates included."""
    return f"{_stem(dataset)}-fill-{first}-{last}"


def _stem(dataset: str) -> str:
    # A later version's journal may name a data set that this version does not know.
    known = catalog.DATASETS.get(dataset)
    return known.stem if known else dataset


def milliseconds(record: Mapping[str, Any]) -> int:
    """When a record was written. Raises ValueError for a time that MLflow does not take."""
    time = round(datetime.fromisoformat(record["time"]).timestamp() * 1000)
    if time < 0:
        raise ValueError("MLflow takes no time before 1970")
    return time


def is_measure(name: str, value: object) -> bool:
    """Whether MLflow takes this metric: one invalid name makes it refuse the whole run."""
    return _METRIC.fullmatch(name) is not None and isinstance(value, int | float) and math.isfinite(value)
