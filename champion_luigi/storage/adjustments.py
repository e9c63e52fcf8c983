"""The files of the adjustments: three tables in the lake that belong together, and what they are made from.

``lake/normalized/adjustments/`` has ``adjustments_<state>.parquet``, ``names_<state>.parquet`` and
``spans_<state>.parquet``, and the document ``adjustments.json``, which names the state that counts and is written last:
whoever reads the document first gets three tables of one state.

Below ``DATA_DIR/adjustments`` are extracts of each year of the lake, so that an evening reads one year again and not
thirty; they can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, NotMade, StorageError
from champion_luigi.base.places import Place, signature
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage import lake

if TYPE_CHECKING:
    import polars as pl

TABLES = ("adjustments", "names", "spans")
# How often a reader begins again because the state that it read about is gone.
_TRIES = 10


class Made(NamedTuple):
    """The three tables of one state, and the document about them."""

    adjustments: pl.DataFrame
    names: pl.DataFrame
    spans: pl.DataFrame
    about: Mapping[str, object]


def document(root: Place) -> Place:
    """The document about the tables of the lake ``root``; it is written last."""
    return root / "normalized" / "adjustments" / "adjustments.json"


def due_note(data: Path) -> Path:
    """The note below DATA_DIR that the lake has changed since the tables were made."""
    return data / "adjustments" / "due"


def lock(data: Path) -> Path:
    """The lock that a process holds while it makes or loads the tables."""
    return data / "locks" / "adjustments.lock"


def ask(data: Path) -> None:
    """Note that the tables are due again."""
    path = due_note(data)
    if not path.exists():
        durable.write_whole(path, b"")


def write(root: Place, tables: Mapping[str, pl.DataFrame], inputs: str, about: Mapping[str, object]) -> None:
    """Write the tables of a state and, last, the document. ``inputs`` is the digest of what they were made from.

    The tables of the state before stay, for readers who have just read its document; older ones are removed.
    """
    before = (durable.read_json(document(root)) or {}).get("inputs", "")
    for name in TABLES:
        durable.write_whole(_file(root, name, inputs), lake.parquet_bytes(tables[name], {"inputs": inputs}))
    durable.write_whole(document(root), durable.json_bytes({**about, "inputs": inputs}))
    kept = {_file(root, name, state) for name in TABLES for state in (inputs, str(before))}
    for path in document(root).parent.glob("*_*.parquet"):
        if path not in kept:
            path.unlink(missing_ok=True)


def are_there(root: Place, inputs: str) -> bool:
    """Whether the tables of a state have their files. Opens none."""
    return all(_file(root, name, inputs).exists() for name in TABLES)


def are_readable(root: Place) -> bool:
    """Whether the tables can be read, all of one state."""
    try:
        read(root)
    except (NotMade, StorageError, DamagedFile):
        return False
    return True


def read(root: Place) -> Made:
    """The tables, all of one state. Raises NotMade if they were never made, DamagedFile or StorageError."""
    for _ in range(_TRIES):
        about = durable.read_json(document(root))
        if about is None:
            raise NotMade(
                "there are no adjustments in this lake",
                source=str(document(root)),
                todo="Make them with champion adjust; champion fill --dataset all fills the corporate actions.",
            )
        try:
            events, names, spans = (_table(_file(root, name, str(about.get("inputs")))) for name in TABLES)
        except StorageError:
            # Two newer states may have come since the document was read.
            if durable.read_json(document(root)) == about:
                raise
            continue
        return Made(events, names, spans, about)
    raise StorageError(
        "the adjustments were replaced again and again while they were read",
        source=str(document(root)),
        todo="Read them when no champion adjust runs.",
    )


def files(root: Place) -> dict[str, Place]:
    """The files of the state that counts, by name; nothing if it was never made or is being replaced."""
    about = durable.read_json(document(root)) or {}
    found = {name: _file(root, name, str(about.get("inputs"))) for name in TABLES}
    return found if all(path.exists() for path in found.values()) else {}


def _file(root: Place, name: str, inputs: str) -> Place:
    return document(root).with_name(f"{name}_{inputs[:16]}.parquet")


def _table(path: Place) -> pl.DataFrame:
    import polars as pl

    content = durable.read_whole(path)
    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DamagedFile(
            "the Parquet file cannot be read",
            source=str(path),
            found=str(error)[:200],
            todo=f"Delete {path.with_name('adjustments.json')}, and run champion adjust.",
        ) from error


def states(root: Place, dataset: Dataset) -> dict[int, str]:
    """A digest of each year's lake files: of their names, sizes and times. A file that was written again differs."""
    entries: defaultdict[int, list[tuple[str, *tuple[int | str, ...]]]] = defaultdict(list)
    for day, entry in lake.days(root, dataset):
        entries[day.year].append((entry.name, *signature(entry)))
    return {year: digest(sorted(found)) for year, found in sorted(entries.items())}


def digest(*values: object) -> str:
    """A short digest of values that JSON has."""
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:32]


def of_years(
    place: Path,
    root: Place,
    dataset: Dataset,
    states: Mapping[int, str],
    make: Callable[[pl.LazyFrame, int], pl.DataFrame],
) -> pl.DataFrame | None:
    """What ``make`` extracts from each year's rows, all years together; None if there is no year.

    ``states`` has each year's state: an extract that was kept in the folder ``place`` for that state is not made again.
    """
    import polars as pl

    frames = []
    for year, state in states.items():
        path = place / f"{year}.parquet"
        kept = None
        if path.exists():
            try:
                content = path.read_bytes()
                if pl.read_parquet_metadata(io.BytesIO(content)).get("state") == state:
                    kept = pl.read_parquet(io.BytesIO(content))
            except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
                # Only an extract: it is made anew.
                kept = None
        if kept is None:
            rows = lake.scan(root, date(year, 1, 1), date(year + 1, 1, 1), dataset=dataset)
            kept = make(rows, year)
            durable.write_whole(path, lake.parquet_bytes(kept, {"state": state}))
        frames.append(kept)
    return pl.concat(frames) if frames else None
