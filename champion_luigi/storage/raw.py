"""The published file as it is kept, unchanged: under ``raw/`` with its receipt, and what it replaced, ``restated/``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.config import settings
from champion_luigi.datasets.equity import SOURCE_COLUMNS
from champion_luigi.pipeline.targets import JsonFile, WholeFile

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.payload import Bhavcopy


def receipt_of(day: date) -> JsonFile:
    """What tells of a day's payload, and lies beside it."""
    return JsonFile(str(settings.data_dir() / "raw" / f"{day:%Y}" / f"bhavcopy_{day:%Y%m%d}.json"))


def keep(day: date, published: Published, bhavcopy: Bhavcopy) -> dict[str, Any]:
    """Write a payload, and then its receipt, which is given: what was fetched, from where, and when.

    Another payload that is there with its receipt is kept first, under ``restated/``.
    """
    sha256 = durable.sha256(published.content)
    receipt = {
        "date": day,
        "file": published.name,
        "format": published.format,
        "url": published.url,
        "sha256": sha256,
        "bytes": len(published.content),
        "rows": len(bhavcopy.lines),
        "fetched_at": durable.now(),
        "validators": dict(published.headers),
    }
    receipt_file = receipt_of(day)
    replaced = _keep_replaced(receipt_file, day, sha256)
    WholeFile(str(receipt_file.file.with_name(published.name))).write(published.content, bhavcopy)
    receipt_file.dump(receipt)
    if replaced is not None and replaced.name != published.name:
        # The day is published in another format now.
        replaced.unlink(missing_ok=True)
    return receipt


def restated_folder(day: date, sha256: str) -> Path:
    """Where a payload that was replaced is kept, with its receipt."""
    return receipt_of(day).file.parent / "restated" / f"{day:%Y%m%d}-{sha256[:16]}"


def _keep_replaced(receipt_file: JsonFile, day: date, new_sha256: str) -> Path | None:
    """Copy the payload that is about to be replaced, where it is whole and another one, with its receipt."""
    receipt = receipt_file.load() or {}
    if not receipt.keys() >= {"file", "sha256"} or receipt["sha256"] == new_sha256:
        return None
    payload = receipt_file.file.with_name(str(receipt["file"]))
    try:
        content = durable.read_whole(payload)
    except StorageError:
        return None
    if durable.sha256(content) != receipt["sha256"]:
        return None
    folder = restated_folder(day, str(receipt["sha256"]))
    durable.write_whole(folder / payload.name, content)
    JsonFile(str(folder / receipt_file.file.name)).dump(receipt)
    return payload


def is_receipt(document: Mapping[str, Any]) -> bool:
    """Whether a document tells of a file that is kept beside it: its name, its format, its sha256."""
    name, format, found = (document.get(key) for key in ("file", "format", "sha256"))
    # A damaged name may have become a path.
    if not (isinstance(name, str) and isinstance(format, str) and isinstance(found, str)):
        return False
    return Path(name).name == name != "" and format in SOURCE_COLUMNS


def payload_of(receipt_file: JsonFile) -> tuple[dict[str, Any], WholeFile]:
    """The receipt, and the payload that it tells of."""
    receipt = receipt_file.load()
    if receipt is None or not is_receipt(receipt):
        raise DamagedFile(
            "the receipt of the fetched file cannot be read", source=receipt_file.path, todo="Delete it to fetch again."
        )
    return receipt, WholeFile(str(receipt_file.file.with_name(receipt["file"])))


def verified(receipt: dict[str, Any], kept: WholeFile, receipt_file: JsonFile) -> bytes:
    """The payload at rest; DamagedFile where it is not what the receipt tells of."""
    content = durable.read_whole(kept.file)
    if (found := durable.sha256(content)) != receipt["sha256"]:
        raise DamagedFile(
            "the fetched file is not what was fetched",
            source=kept.path,
            expected=f"sha256 {receipt['sha256']}",
            found=found,
            todo=f"Delete {receipt_file.path} to fetch it again.",
        )
    return content
