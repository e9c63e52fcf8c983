"""The published file, stored unchanged under ``raw/`` with its receipt; replaced files go under ``restated/``.

A file that several data sets read is stored once, apart from their receipts, each of which names it by sha256. If it is
published anew, the old content stays under ``restated/``, where the receipts of the other data sets still find it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.base.places import Place
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Source
from champion_luigi.storage.paths import DayFiles


def keep(
    files: DayFiles, day: date, name: str, content: bytes, described: Mapping[str, Any]
) -> tuple[dict[str, Any], list[int | str] | None]:
    """Write a payload under the exchange's own name, then its receipt.

    Returns the receipt and, if the payload was written as an object of its own, the object's `places.signature`.
    ``described`` holds what only the caller knows: source, URL, archive, rows, validators, and when it was fetched, if
    not now. A different payload that is already stored with its receipt is stored under ``restated/`` first. The caller
    holds the day's lock, and for a shared payload also that of `DayFiles.shared_lock`.
    """
    sha256 = durable.sha256(content)
    source = files.dataset.source(described["format"])
    receipt = {
        "date": day,
        "file": name,
        "format": described["format"],
        "url": described["url"],
        # Receipts of older versions lack it.
        "archive": described["archive"],
        "sha256": sha256,
        "bytes": len(content),
        "rows": described["rows"],
        "fetched_at": described.get("fetched_at") or durable.now(),
        "validators": dict(described["validators"]),
    }
    if source and source.shared:
        receipt["shared"] = source.shared
    path = files.receipt(day)
    replaced = _keep_replaced(files, day, sha256)
    described_by: dict[Place, bytes] = {path: durable.json_bytes(receipt)}
    if "shared" in receipt:
        _keep_shared(files, day, receipt, content)
        signatures = durable.write_all(described_by)
    else:
        # The receipt appears last.
        signatures = durable.write_all({path.with_name(name): content, **described_by})
    if replaced is not None and replaced != place_of(files, day, receipt):
        # Another source publishes the day now.
        replaced.unlink(missing_ok=True)
    return receipt, signatures.get(path.with_name(name))


def _keep_replaced(files: DayFiles, day: date, new_sha256: str) -> Place | None:
    """Store the replaced payload and its receipt under ``restated/``, if it is intact and differs from the new one.

    Returns its path, unless other data sets can need it there.
    """
    path = files.receipt(day)
    receipt = durable.read_json(path) or {}
    if not is_receipt(files, receipt) or receipt["sha256"] == new_sha256:
        return None
    payload = place_of(files, day, receipt)
    try:
        content = content_of(files, day, receipt)
    except (StorageError, DamagedFile):
        return None
    folder = files.restated(day, str(receipt["sha256"]))
    if not receipt.get("shared"):
        durable.write_whole(folder / payload.name, content)
    durable.write_whole(folder / path.name, durable.json_bytes(receipt))
    return None if receipt.get("shared") else payload


def _keep_shared(files: DayFiles, day: date, receipt: Mapping[str, Any], content: bytes) -> None:
    """Write a shared payload. One that it replaces moves under ``restated/``, if a receipt of any data set has it."""
    shared, name = str(receipt["shared"]), str(receipt["file"])
    path = files.shared(shared, day) / name
    try:
        before = durable.read_whole(path)
    except StorageError:
        before = None
    if before is not None and before != content and _is_in_use(files, day, shared, sha256 := durable.sha256(before)):
        durable.write_whole(files.restated_shared(shared, day, sha256) / name, before)
    if before != content:
        durable.write_whole(path, content)
    # The same payload may have been replaced before, and its copy be damaged by now.
    copied = files.restated_shared(shared, day, str(receipt["sha256"])) / name
    if copied.exists():
        durable.write_whole(copied, content)


def _is_in_use(files: DayFiles, day: date, shared: str, sha256: str) -> bool:
    """Whether a receipt of any data set, a replaced one included, describes this shared payload of a day."""
    for each in map(files.of, catalog.DATASETS.values()):
        receipt = durable.read_json(each.receipt(day)) or {}
        if (receipt.get("shared"), receipt.get("sha256")) == (shared, sha256) or _has_restated(each, day, sha256):
            return True
    return False


def _has_restated(files: DayFiles, day: date, sha256: str) -> bool:
    return (files.restated(day, sha256) / files.receipt(day).name).exists()


def kept_by_others(files: DayFiles, day: date, source: Source, archive: str) -> tuple[dict[str, Any], bytes] | None:
    """The latest receipt of another data set for a source's file of a day, and the payload.

    None if there is none from this archive, by its name, or if the payload is not intact.
    """
    name = source.path_of(day).rpartition("/")[2]
    found = []
    for other in map(files.of, catalog.DATASETS.values()):
        receipt = durable.read_json(other.receipt(day)) or {}
        if other.dataset.name == files.dataset.name or not is_receipt(other, receipt):
            continue
        theirs = other.dataset.source(receipt["format"])
        if theirs and theirs.shared == source.shared and (receipt["file"], receipt.get("archive")) == (name, archive):
            found.append((str(receipt.get("fetched_at")), receipt, other))
    for _, receipt, other in sorted(found, key=lambda each: each[0], reverse=True):
        with contextlib.suppress(StorageError, DamagedFile):
            return receipt, content_of(other, day, receipt)
    return None


def is_receipt(files: DayFiles, document: Mapping[str, Any]) -> bool:
    """Whether a document describes a stored file, by name, source and sha256."""
    name, source, found, shared = (document.get(key) for key in ("file", "format", "sha256", "shared"))
    # A damaged name may have become a path.
    if not (isinstance(source, str) and isinstance(found, str) and _is_name(name)):
        return False
    return (shared is None or _is_name(shared)) and files.dataset.source(source) is not None


def _is_name(text: object) -> bool:
    return isinstance(text, str) and Path(text).name == text and text not in ("", "..")


def place_of(files: DayFiles, day: date, receipt: Mapping[str, Any]) -> Place:
    """The path of the payload that a day's receipt describes: beside it, or in the folder that data sets share."""
    name, shared = str(receipt["file"]), receipt.get("shared")
    if not shared:
        return files.receipt(day).with_name(name)
    # Another data set may have fetched a corrected file since.
    replaced = files.restated_shared(str(shared), day, str(receipt["sha256"])) / name
    return replaced if replaced.exists() else files.shared(str(shared), day) / name


def payload_of(files: DayFiles, day: date) -> tuple[dict[str, Any], Place]:
    """A day's receipt, and the path of the payload that it describes. Raises DamagedFile."""
    path = files.receipt(day)
    receipt = durable.read_json(path)
    if receipt is None or not is_receipt(files, receipt):
        raise DamagedFile(
            "the receipt of the fetched file cannot be read", source=str(path), todo="Delete it to fetch again."
        )
    return receipt, place_of(files, day, receipt)


def content_of(files: DayFiles, day: date, receipt: Mapping[str, Any]) -> bytes:
    """The payload that a day's receipt describes. Raises DamagedFile if it differs, and StorageError."""
    place = place_of(files, day, receipt)
    try:
        return verified(receipt, place, files.receipt(day))
    except DamagedFile:
        # Another process may have replaced a shared file since its place was looked up.
        if (moved := place_of(files, day, receipt)) == place:
            raise
        return verified(receipt, moved, files.receipt(day))


def verified(receipt: Mapping[str, Any], payload: Place, receipt_file: Place) -> bytes:
    """The stored payload. Raises DamagedFile if it differs from what the receipt describes."""
    content = durable.read_whole(payload)
    if (found := durable.sha256(content)) != receipt["sha256"]:
        raise DamagedFile(
            "the stored file differs from what was fetched",
            source=str(payload),
            expected=f"sha256 {receipt['sha256']}",
            found=found,
            todo=f"Delete {receipt_file} to fetch it again.",
        )
    return content


@dataclass(frozen=True)
class Receipts:
    """What an archive, by its name, has given of a data set, as the stored receipts show.

    ``name_of`` gives the name of a location: version 0.1.0 recorded URLs below what the user had typed.
    """

    files: DayFiles
    archive: str
    name_of: Callable[[str], str] = str

    def gave(self, day: date) -> bool:
        """Whether the archive gave the stored file of a day."""
        receipt = durable.read_json(self.files.receipt(day)) or {}
        if "archive" in receipt:
            return bool(receipt["archive"] == self.archive)
        # Version 0.1.0 recorded the URL alone.
        url = str(receipt.get("url"))
        return any(each.startswith(self.archive.rstrip("/") + "/") for each in (url, self.name_of(url)))

    def gave_after(self, day: date) -> bool:
        """Whether the archive gave the stored file of any later day."""
        later = self.files.days("raw", day + timedelta(days=1))
        return any(self.gave(each) for each in sorted(later, reverse=True))
