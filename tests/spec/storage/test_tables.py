"""Tables between two stages: what is written is read, damage is noticed, compressed or not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from champion_luigi.base.errors import DamagedFile
from champion_luigi.storage import tables

ROWS = pl.DataFrame({"symbol": ["INFY", "TCS"] * 200, "close": [1.5, None] * 200})
METADATA = {"source_file": "a file", "rows": "400"}

both = pytest.mark.parametrize("is_to_stay", [True, False])


@both
def test_a_table_is_read_as_it_was_written(tmp_path: Path, *, is_to_stay: bool) -> None:
    """Rows, types and metadata."""
    path = tmp_path / "a.arrows"
    path.write_bytes(tables.table_bytes(ROWS, METADATA, is_to_stay=is_to_stay))
    rows, metadata = tables.read_table(path)
    assert rows.equals(ROWS)
    assert rows.schema == ROWS.schema
    assert metadata == METADATA


@both
def test_a_changed_byte_is_noticed(tmp_path: Path, *, is_to_stay: bool) -> None:
    """In the rows, and in the metadata."""
    path = tmp_path / "a.arrows"
    content = tables.table_bytes(ROWS, METADATA, is_to_stay=is_to_stay)
    for place in (len(content) // 2, content.index(b"a file")):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DamagedFile, match=r"a\.arrows"):
            tables.read_table(path)


def test_a_table_that_stays_is_compressed() -> None:
    """The other one is removed soon."""
    assert len(tables.table_bytes(ROWS, METADATA)) < len(tables.table_bytes(ROWS, METADATA, is_to_stay=False)) / 2
