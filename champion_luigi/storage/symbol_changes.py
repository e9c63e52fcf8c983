"""The lists of changed symbols as fetched, one a day, each with its receipt.

The exchange publishes today's list alone, so each one is kept. A list that is the same as the newest kept one is not
written again: the receipt names the day of the one that has the content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.base.places import Place
from champion_luigi.storage.paths import ListFiles


class Kept(NamedTuple):
    """The day on which a list was fetched, and the file that has its content."""

    day: date
    path: Place


class Trouble(NamedTuple):
    """A kept list whose content is not what was fetched."""

    day: date
    path: Place
    expected: str
    found: str


def keep(files: ListFiles, day: date, content: bytes, described: Mapping[str, Any]) -> dict[str, Any]:
    """Store the list of a day and its receipt, and return the receipt. The caller holds the day's lock.

    ``described`` holds what only the caller knows, such as the address.
    """
    sha256, before = durable.sha256(content), newest_kept(files)
    content_day = day
    if before and _is_intact(before.path, sha256):
        content_day = _content_day(files, before.day) or day
    if content_day == day:
        durable.write_whole(files.content(day), content)
    receipt = {
        "date": day,
        "file": files.content(content_day).name,
        "content_date": content_day,
        "sha256": sha256,
        "bytes": len(content),
        "fetched_at": durable.now(),
        **described,
    }
    durable.write_whole(files.receipt(day), durable.json_bytes(receipt))
    return receipt


def is_kept(files: ListFiles, day: date) -> bool:
    """Whether the list of a day is there, with its receipt."""
    content_day = _content_day(files, day)
    return content_day is not None and files.content(content_day).exists()


def newest_kept(files: ListFiles) -> Kept | None:
    """The newest list; None if there is none."""
    for day in reversed(files.days()):
        content_day = _content_day(files, day)
        if content_day and (path := files.content(content_day)).exists():
            return Kept(day, path)
    return None


def content_of(files: ListFiles, kept: Kept) -> bytes:
    """The content of a kept list. Raises DamagedFile if it differs from what was fetched, and StorageError."""
    content = durable.read_whole(kept.path)
    receipt = files.receipt(kept.day)
    expected = (durable.read_json(receipt) or {}).get("sha256")
    if (found := durable.sha256(content)) != expected:
        raise DamagedFile(
            "the stored list of changed symbols differs from what was fetched",
            day=kept.day,
            source=str(kept.path),
            expected=f"sha256 {expected}",
            found=found,
            todo=f"Delete {kept.path}: an earlier list is then the newest, until today's is fetched.",
        )
    return content


def damaged(files: ListFiles) -> Iterator[Trouble]:
    """The kept lists whose content is missing, or is not what was fetched."""
    for day in files.days():
        content_day = _content_day(files, day)
        path = files.content(content_day or day)
        expected = str((durable.read_json(files.receipt(day)) or {}).get("sha256"))
        try:
            found = durable.sha256(durable.read_whole(path))
        except StorageError as error:
            found = error.what
        if found != expected:
            yield Trouble(day, path, expected, found)


def _is_intact(path: Place, sha256: str) -> bool:
    try:
        return durable.sha256(durable.read_whole(path)) == sha256
    except StorageError:
        return False


def _content_day(files: ListFiles, day: date) -> date | None:
    """The day whose file has the list of a day; None if its receipt is absent or cannot be read."""
    receipt = durable.read_json(files.receipt(day)) or {}
    try:
        return date.fromisoformat(str(receipt.get("content_date")))
    except ValueError:
        return None
