"""Luigi targets whose files appear whole or not at all.

Luigi's own atomic file leaves its temporary file behind after a kill or an exception, raises when two
processes race, and does not fsync; `durable.write_whole` has none of these faults.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from champion_luigi.base import durable
from champion_luigi.base.places import ObjectPath, Place, place_of, signature
from champion_luigi.datasets.model import Dataset

# Values that this process wrote and has not taken yet, by path: (the file's signature, the value).
_written: OrderedDict[str, tuple[tuple[int | str, ...], Any]] = OrderedDict()
_written_lock = threading.Lock()
_MOST_REMEMBERED = 64


class WholeFile(luigi.LocalTarget):
    """A file written atomically; `take` returns the value just written without reading it back."""

    def __init__(self, path: str | Place) -> None:
        super().__init__(str(path))
        # Where the file lies.
        self.file: Place = place_of(path) if isinstance(path, str) else path

    def exists(self) -> bool:
        """Whether the file exists. Luigi's own warns of wildcards, which a folder's name may contain."""
        return self.file.exists()

    def write(self, content: bytes, value: Any = None) -> None:
        """Replace the file's content, atomically and durably; ``value`` is its decoded form, for `take`."""
        write_all([(self, content, value)])

    def remember(self, value: Any, signature: Sequence[int | str] | None = None) -> None:
        """Hold the decoded form of the file, which this process has just written, for `take`.

        ``signature`` is that of `durable.write_all`; without it, the store is asked.
        """
        with _written_lock:
            _written[self.path] = (tuple(signature) if signature else self._signature(), value)
            while len(_written) > _MOST_REMEMBERED:
                _written.popitem(last=False)

    def take(self, found: Sequence[int | str] | None = None) -> Any:
        """The value that this process wrote here, once, if the file is unchanged since; otherwise None.

        ``found`` is the signature of an object, by `places.signature`, if the caller has just asked for it.
        """
        with _written_lock:
            signature, value = _written.pop(self.path, ((), None))
        if value is None:
            return None
        is_asked = found is not None and isinstance(self.file, ObjectPath)
        return value if signature == (tuple(found or ()) if is_asked else self._signature()) else None

    def _signature(self) -> tuple[int | str, ...]:
        try:
            if isinstance(self.file, ObjectPath):
                return tuple(signature(self.file))
            status = self.file.stat()
        except FileNotFoundError:
            return ()
        return (status.st_ino, status.st_size, status.st_mtime_ns)


def write_all(written: Sequence[tuple[WholeFile, bytes, Any]]) -> None:
    """Write several targets as `WholeFile.write` does, given as target, content and value."""
    signatures = durable.write_all({target.file: content for target, content, _ in written})
    for target, _, value in written:
        if value is not None:
            target.remember(value, signatures.get(target.file))


class JsonFile(WholeFile):
    """A small JSON document: a receipt or a marker."""

    def dump(self, document: Mapping[str, Any]) -> None:
        """Replace the document."""
        self.write(durable.json_bytes(document))

    def load(self) -> dict[str, Any] | None:
        """The document; None if it is absent, unreadable (which is logged) or not an object."""
        return durable.read_json(self.file)


class LoadMarker(JsonFile):
    """Records that a lake file's rows are in a warehouse. It counts only for that warehouse and that file's content."""

    def __init__(self, path: str | Path, dataset: Dataset, lake_file: Place, warehouse: Mapping[str, Any]) -> None:
        super().__init__(path)
        self.dataset = dataset
        self.lake_file = lake_file
        self.warehouse = dict(warehouse)

    def exists(self) -> bool:
        """Whether the marker records the load that is due. Raises OtherVersion if it is of a newer version."""
        document = self.load()
        if document is None or document.get("warehouse") != self.warehouse:
            return False
        self.dataset.require_version(document.get("schema_version"), self.path)
        return self._has_same_lake_file(document)

    def rows(self) -> int | None:
        """The rows that the warehouse has by the record, whatever lake file they are of; None if it has none."""
        document = self.load()
        if document is None or document.get("warehouse") != self.warehouse:
            return None
        return int(document.get("rows", 0))

    def _has_same_lake_file(self, document: Mapping[str, Any]) -> bool:
        try:
            found = signature(self.lake_file)
        except FileNotFoundError:
            return False
        # An untouched file need not be read. A copied or moved lake has other times but the same content.
        if document.get("lake_stat") == found:
            return True
        return bool(document.get("lake_sha256") == durable.sha256(durable.read_whole(self.lake_file)))
