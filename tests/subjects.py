"""The data sets of the fault campaign, with files that csv alone reads, so that nothing depends on the package's own.

`SHARES` has a row for each line, in a file of its own. `ACTIONS` has several rows for some lines, in a zip that other
data sets read too. Every test of the campaign runs for `SHARES`; what depends on a data set's shape runs for `ACTIONS`
as well, a share of it in a whole campaign and a round or none in every other run:

    @subjects.rounds(fast=3, full=100, others=(1, 10))
    def test_a_killed_worker_loses_nothing(subject: Subject, seed: int) -> None: ...

Fixtures that depend on the data set take the fixture `subject`, which is `SHARES` for a test without this decorator.
"""

from __future__ import annotations

import csv
import functools
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import campaign
import pytest
from helpers import COLUMNS, rows_of

from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.simulated import exchange, zips

_Task = TypeVar("_Task", bound=DayTask)

# What a line of a published file says, by what names the line.
Lines = dict[tuple[Any, ...], tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A data set: the source of its files, and how a line that csv reads is found in the view.

    ``member`` is how the name of its file in the zip begins. ``line`` are the columns that name a published line,
    ``values`` those that have the line's values; all rows of a line have the same. ``read`` gives both of the lines of
    a file, header first, and the number of a line's rows as the last value. ``spoil`` makes two lines such that neither
    can stand, and ``restate`` those of a corrected file: one less, and one with another value.
    """

    dataset: Dataset
    source: str
    member: str
    line: tuple[str, ...]
    values: tuple[str, ...]
    read: Callable[[Sequence[str]], Lines]
    spoil: Callable[[list[str]], None]
    restate: Callable[[list[str]], None]

    @property
    def options(self) -> tuple[str, ...]:
        """What a command needs for this data set."""
        return () if self.dataset is EQUITY else ("--dataset", self.dataset.name)

    @property
    def words(self) -> str:
        """In the log of faults, after what was done: nothing for the first data set."""
        return "" if self.dataset is EQUITY else f"; {self.dataset.title}"

    def task(self, of: type[_Task], day: date) -> _Task:
        """A task of the day."""
        return of(date=day, dataset=self.dataset.name)

    def content(self, day: date) -> bytes:
        """A simulated day's file."""
        content = exchange.payload(day, self.source, self.dataset)
        assert content is not None
        return content

    def lines(self, day: date) -> list[str]:
        """The lines of the day's file, header first."""
        with zipfile.ZipFile(io.BytesIO(self.content(day))) as archive:
            return archive.read(self._member(archive)).decode("ascii").splitlines()

    def publish(self, folder: Path, day: date, lines: Sequence[str]) -> None:
        """Put a day's file with these lines into an archive's folder, at the exchange's own path."""
        with zipfile.ZipFile(io.BytesIO(self.content(day))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
            members[self._member(archive)] = "\n".join([*lines, ""]).encode("ascii")
        source = self.dataset.source(self.source)
        assert source is not None
        file = folder / source.path_of(day).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(zips.zipped_all(members, day))

    def _member(self, archive: zipfile.ZipFile) -> str:
        [name] = (name for name in archive.namelist() if name.startswith(self.member))
        return name

    @functools.cache  # noqa: B019 - there are two of them
    def published(self, day: date) -> Lines:
        """What the lines of the simulated day's file say."""
        return self.read(self.lines(day))

    def count(self, day: date) -> int:
        """The number of the day's rows, by the text of its lines."""
        return sum(values[-1] for values in self.published(day).values())

    def seen(self, query: Callable[[str], Iterable[Sequence[Any]]], database: str) -> dict[date, Lines]:
        """The lines of each day as readers of the view see them. A key that is seen twice is an error."""
        groups = (self.line, self.values, self.dataset.key)
        columns = ", ".join(name for group in groups for name in group)
        found: dict[date, dict[tuple[Any, ...], list[tuple[Any, ...]]]] = {}
        keys = set()
        for day, *fields in query(f"SELECT trade_date, {columns} FROM `{database}`.{self.dataset.view}"):
            line, values, key = (tuple(fields.pop(0) for _ in group) for group in groups)
            assert (day, key) not in keys, f"{day} {key} is seen twice"
            keys.add((day, key))
            found.setdefault(day, {}).setdefault(line, []).append(values)
        for day, lines in found.items():
            assert all(len(set(rows)) == 1 for rows in lines.values()), f"{day} has rows of two files"
        return {day: {line: (*rows[0], len(rows)) for line, rows in lines.items()} for day, lines in found.items()}


def _spoil_prices(lines: list[str]) -> None:
    fields = lines[2].split(",")
    lines[2] = ",".join([*fields[:8], "-5", *fields[9:]])
    lines[4] = lines[5]


def _restate_prices(lines: list[str]) -> None:
    fields = lines[9].split(",")
    lines[9] = ",".join([*fields[:8], str(int(fields[8]) + 7), *fields[9:]])
    del lines[20]


SHARES = Subject(
    EQUITY,
    "legacy",
    "cm",
    ("symbol", "series"),
    tuple(COLUMNS),
    lambda lines: {key: (*values, 1) for key, values in rows_of(lines, "legacy").items()},
    _spoil_prices,
    _restate_prices,
)


def _notices(lines: Sequence[str]) -> Lines:
    def written(row: dict[str, Any]) -> tuple[Any, ...]:
        ex_date = row["EX_DT"].strip()
        read = datetime.strptime(ex_date, "%d/%m/%Y").date() if ex_date else None
        # A purpose may have a comma, and no quotes around it.
        purpose = ",".join([row["PURPOSE"], *row["further"]]).strip()
        # The simulated texts have several actions with a slash or a comma between them.
        return (row["SYMBOL"].strip(), row["SERIES"].strip(), purpose, read, 1 + len(re.findall("[/,]", purpose)))

    rows = csv.DictReader(lines, restkey="further")
    return {(number,): written({"further": [], **row}) for number, row in enumerate(rows, start=2)}


def _spoil_notices(lines: list[str]) -> None:
    for number, (place, text) in {2: (6, "31/02/2023"), 4: (1, " ")}.items():
        fields = lines[number].split(",")
        lines[number] = ",".join([*fields[:place], text, *fields[place + 1 :]])


def _restate_notices(lines: list[str]) -> None:
    lines[9] = ",".join([*lines[9].split(",")[:-1], "BONUS 1:1/DIV - RS 7"])
    del lines[20]


ACTIONS = Subject(
    CORPORATE_ACTIONS,
    "pr",
    "Bc",
    ("line",),
    ("symbol", "series", "purpose", "ex_date"),
    _notices,
    _spoil_notices,
    _restate_notices,
)


def rounds(*, fast: int, full: int, others: tuple[int, int]) -> pytest.MarkDecorator:
    """Give a test its data set and the rounds of `campaign.rounds`, as ``seed``; ``others`` are those of the second."""
    of = {SHARES: campaign.rounds(fast=fast, full=full), ACTIONS: campaign.rounds(fast=others[0], full=others[1])}
    cases = [
        pytest.param(each, number, id=f"{each.dataset.name}-{number}")
        for each, numbers in of.items()
        for number in numbers
    ]
    return pytest.mark.parametrize(("subject", "seed"), cases, indirect=["subject"])
