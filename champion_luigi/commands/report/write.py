"""Writing a data set's report into a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.base.dates import day_of
from champion_luigi.base.errors import SettingsError
from champion_luigi.datasets import catalog


@dataclass(frozen=True)
class Report:
    """A page that was written: its file and bytes, its range, and how many of the range's due sessions are loaded."""

    file: Path
    bytes: int
    start: str
    end: str
    loaded: int
    due: int


def report(
    output: str | Path = "report.html",
    dataset: str = catalog.DEFAULT,
    start: date | str | None = None,
    end: date | str | None = None,
) -> Report:
    """Write the state of a data set as one HTML page, as `champion report` does. An existing file is replaced.

        >>> from champion_luigi import report
        >>> report("equity.html", start="2024-01-01").loaded

    ``start`` and ``end`` are dates or ISO texts, both included; by default from the first day in the lake to the latest
    session that should be published by now. Raises SettingsError, and StorageError if the file cannot be written.
    """
    from champion_luigi.commands.report import facts, page

    first, last = day_of(start, "start"), day_of(end, "end")
    if first and last and first > last:
        raise SettingsError(f"start {first} is after end {last}")
    file = Path(output)
    durable.make_folder(file.absolute().parent)
    document = facts.document(catalog.dataset_of(dataset), first, last)
    content = page.page(document)
    durable.write_whole(file, content)
    status = document["status"]
    return Report(file, len(content), status["start"], status["end"], status["loaded"], status["due"])
