"""Writing a data set's report into a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.base.dates import range_of
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
    # The page's templates are imported for a page alone.
    from champion_luigi.commands.report import facts, page

    first, last = range_of(start, end)
    file = Path(output)
    if not file.name:
        raise SettingsError("output is no file", expected="the path of a file", found=repr(str(output)))
    with durable.naming(file, "the file could not be written", "Name a file in a folder that you may write."):
        durable.make_folder(file.absolute().parent)
    document = facts.document(catalog.dataset_of(dataset), first, last)
    content = page.page(document)
    durable.write_whole(file, content)
    status = document["status"]
    return Report(file, len(content), status["start"], status["end"], status["loaded"], status["due"])
