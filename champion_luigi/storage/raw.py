"""The published file, stored unchanged under ``raw/`` with its receipt; replaced files go under ``restated/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.storage.paths import DayFiles


def keep(files: DayFiles, day: date, name: str, content: bytes, described: Mapping[str, Any]) -> dict[str, Any]:
    """Write a payload under the exchange's own name, then its receipt, and return the receipt.

    ``described`` holds what only the caller knows: source, URL, archive, rows, validators. A different payload that is
    already stored with its receipt is copied under ``restated/`` first.
    """
    sha256 = durable.sha256(content)
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
        "fetched_at": durable.now(),
        "validators": dict(described["validators"]),
    }
    path = files.receipt(day)
    replaced = _keep_replaced(files, day, sha256)
    durable.write_whole(path.with_name(name), content)
    durable.write_whole(path, durable.json_bytes(receipt))
    if replaced is not None and replaced.name != name:
        # Another source publishes the day now.
        replaced.unlink(missing_ok=True)
    return receipt


def _keep_replaced(files: DayFiles, day: date, new_sha256: str) -> Path | None:
    """Copy the stored payload and its receipt, if it is intact and differs from the new one, and return its path."""
    path = files.receipt(day)
    receipt = durable.read_json(path) or {}
    if not is_receipt(files, receipt) or receipt["sha256"] == new_sha256:
        return None
    payload = path.with_name(str(receipt["file"]))
    try:
        content = verified(receipt, payload, path)
    except (StorageError, DamagedFile):
        return None
    folder = files.restated(day, str(receipt["sha256"]))
    durable.write_whole(folder / payload.name, content)
    durable.write_whole(folder / path.name, durable.json_bytes(receipt))
    return payload


def is_receipt(files: DayFiles, document: Mapping[str, Any]) -> bool:
    """Whether a document describes a stored file, by name, source and sha256."""
    name, source, found = (document.get(key) for key in ("file", "format", "sha256"))
    # A damaged name may have become a path.
    if not (isinstance(name, str) and isinstance(source, str) and isinstance(found, str)):
        return False
    return Path(name).name == name and name not in ("", "..") and files.dataset.source(source) is not None


def payload_of(files: DayFiles, day: date) -> tuple[dict[str, Any], Path]:
    """A day's receipt, and the path of the payload that it describes. Raises DamagedFile."""
    path = files.receipt(day)
    receipt = durable.read_json(path)
    if receipt is None or not is_receipt(files, receipt):
        raise DamagedFile(
            "the receipt of the fetched file cannot be read", source=str(path), todo="Delete it to fetch again."
        )
    return receipt, path.with_name(receipt["file"])


def verified(receipt: Mapping[str, Any], payload: Path, receipt_file: Path) -> bytes:
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
