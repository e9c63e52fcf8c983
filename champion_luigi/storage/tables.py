"""Tables between two tasks: an Arrow stream, followed by one line of JSON with the table's metadata and sha256.

Such a file is cheaper to write and read than Parquet. Any Arrow reader can read it (`polars.read_ipc_stream`), because
it stops at the end of the stream. The sha256 of stream and metadata detects damage, which Arrow itself does not.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile
from champion_luigi.base.places import Place

if TYPE_CHECKING:
    import polars as pl


def table_bytes(table: pl.DataFrame, metadata: Mapping[str, str], *, is_to_stay: bool = True) -> bytes:
    """A table and its metadata as the content of one file: the same bytes for the same rows, however they were made.

    Without ``is_to_stay``, it is not compressed, and its bytes may depend on the table's chunks: twice the size, in
    half the time.
    """
    import polars as pl

    # A part of a larger table shares its memory with the other parts, and would be written another way.
    own = pl.concat([table.slice(0, 1), table.slice(1)], rechunk=True) if is_to_stay else table
    buffer = io.BytesIO()
    own.write_ipc_stream(
        buffer, compression="lz4" if is_to_stay else "uncompressed", compat_level=pl.CompatLevel.oldest()
    )
    with buffer.getbuffer() as stream:
        document = {"metadata": dict(metadata), "sha256": _sha256(stream, metadata)}
    buffer.seek(0, io.SEEK_END)
    buffer.write(b"\n" + json.dumps(document).encode())
    return buffer.getvalue()


def read_table(path: Place) -> tuple[pl.DataFrame, dict[str, str]]:
    """A table and its metadata. Raises StorageError or DamagedFile, naming the file."""
    import polars as pl

    stream, _, line = durable.read_whole(path).rpartition(b"\n")
    try:
        document = json.loads(line)
        # In the first versions, the sha256 covered the stream alone.
        is_whole = document["sha256"] in {_sha256(stream, document["metadata"]), durable.sha256(stream)}
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise DamagedFile(
            "the table differs from what was written", source=str(path), todo="Delete it and run the day again."
        )
    return pl.read_ipc_stream(io.BytesIO(stream)), document["metadata"]


def _sha256(stream: bytes | memoryview, metadata: Mapping[str, str]) -> str:
    found = hashlib.sha256(stream)
    found.update(json.dumps(dict(metadata), sort_keys=True).encode())
    return found.hexdigest()
