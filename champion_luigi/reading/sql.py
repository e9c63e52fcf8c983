"""SQL on the warehouse, or, while another process holds it, on the lake: the same views."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.base.errors import Busy, SettingsError, StorageError, WarehouseError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.storage import adjustments, lake
from champion_luigi.warehouse import over_files
from champion_luigi.warehouse.adjusted import ADJUSTMENT_SPANS, ADJUSTMENTS
from champion_luigi.warehouse.statements import Questions, interruptibly, open_for_questions, understood

if TYPE_CHECKING:
    import polars as pl

# How long a statement that changes something waits for the embedded engine; reading, a moment for another reader.
_WRITING_SECONDS = 5.0
_READING_SECONDS = 0.5


def sql(statement: str) -> pl.DataFrame:
    """The result of a reading statement in ClickHouse's SQL, as a Polars frame; `.to_pandas()` makes it Pandas'.

        >>> from champion_luigi import sql
        >>> sql("SELECT symbol, close FROM equity_ohlc WHERE trade_date = '2024-01-15' ORDER BY symbol LIMIT 2")

    The configured warehouse answers. The same views are read from the lake, and a warning says so, while another
    process, such as a fill, holds the embedded engine, for a user who may only read its folder, and where there is no
    warehouse yet.

    Raises WarehouseError with ClickHouse's message, WarehouseUnreachable, SettingsError, or Busy if the engine is held
    and the lake has no files.
    """
    import polars as pl

    if not isinstance(statement, str):
        raise SettingsError("the statement is not a text", expected="SQL", found=repr(statement))
    questions = opened(lambda message: warnings.warn(message, stacklevel=4))
    with contextlib.closing(questions), tempfile.TemporaryDirectory(prefix="champion-sql-") as folder:
        found = understood(questions, statement, write=False)
        path = Path(folder) / "result.parquet"
        interruptibly(questions, functools.partial(questions.export, found.text, "Parquet", path))
        return pl.read_parquet(path, memory_map=False)


def opened(
    say: Callable[[str], None],
    wait_seconds: float | None = None,
    *,
    write: bool = False,
    most_rows: int | None = None,
) -> Questions:
    """The warehouse for statements; for reading, the lake in its place if the warehouse is held or not there yet.

    So it is for a user who may not write to the warehouse's folder. ``say`` gets a message if the lake is read, and,
    with ``wait_seconds``, one that names the process that holds the engine. Raises the errors of `open_for_questions`.
    """
    place = wiring.warehouse_place()
    waits = wait_seconds if wait_seconds is not None else _WRITING_SECONDS if write else _READING_SECONDS
    is_quiet = wait_seconds is None and not write
    try:
        return open_for_questions(place, waits, None if is_quiet else say, write=write, most_rows=most_rows)
    except (Busy, StorageError, WarehouseError) as error:
        # Who may read the folder, but not write to it, cannot open the embedded engine.
        is_held = isinstance(error, Busy) or isinstance(error.__cause__, PermissionError)
        if write or not (is_held or place.is_absent) or not (over := _over_lake(most_rows)):
            raise
        why = f"{error.what} ({error.found})" if error.found else error.what
        say(f"{why}: the lake {over.place.folder} is read instead")
        return over


def _over_lake(most_rows: int | None) -> Questions | None:
    """The lake's views; None if it has no files, or the engine cannot read them."""
    root = settings.lake_dir().absolute()
    datasets = {
        dataset: f"{lake.folder(root, dataset)}/**/{dataset.stem}_*.parquet"
        for dataset in DATASETS.values()
        if lake.has_days(root, dataset)
    }
    if not datasets or not over_files.is_possible(root):
        return None
    files = adjustments.files(root)
    made = {ADJUSTMENTS: files["adjustments"], ADJUSTMENT_SPANS: files["spans"]} if files else {}
    return over_files.open_over_files(wiring.warehouse_place(), root, datasets, made, most_rows)
