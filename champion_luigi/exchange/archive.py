"""The exchange's archive: one day's published file, over HTTP, from a folder or from the simulator.

The result is the bytes as published, or a typed error. `parsing.payload` checks the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from champion_luigi.base import durable
from champion_luigi.base.errors import NotPublished, RejectedPayload
from champion_luigi.datasets.model import Dataset, Source

# No known validators.
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Published:
    """One day's file as the archive served it. ``url`` carries no credentials; ``headers`` are the validators.

    ``source`` is the name of the data set's source, ``name`` the exchange's own name of the file.
    """

    source: str
    name: str
    url: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class NotModified(Exception):  # an answer, not an error
    """The archive's file still matches the validators in the request (304)."""


class Archive(Protocol):
    """Anything that serves the exchange's files at the exchange's own paths."""

    def url(self, path: str) -> str:
        """The address of a path, for people: without credentials."""

    def get(self, path: str, day: date, known: Mapping[str, str] = NOTHING) -> tuple[bytes, Mapping[str, str]]:
        """The bytes at a path, and their validators. Raises the archive's errors, naming ``day`` and the URL.

        ``known`` are the validators of an existing copy. An archive that supports validators raises NotModified if
        the file still matches them.
        """


def fetch(
    archive: Archive,
    dataset: Dataset,
    day: date,
    official_from: Mapping[str, date] = MappingProxyType({}),
    known: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Published:
    """Get a day's file from its official source, or else from another source that may have it.

    ``official_from`` is as for `Dataset.sources_of`. ``known`` holds the validators of existing copies, by URL. Raises
    NotModified if the file still matches them, and NotPublished if every source of the date answers 404.
    """
    asked = []
    answered = None
    for source in dataset.sources_of(day, official_from):
        if (path := _path(archive, source, day)) is None:
            continue
        try:
            content, headers = archive.get(path, day, known.get(archive.url(path), NOTHING))
        except NotPublished as error:
            asked.append(archive.url(path))
            answered = error.answered
            continue
        return Published(source.name, path.rpartition("/")[2], archive.url(path), content, headers)
    raise NotPublished(
        "the archive has no file for this date",
        day=day,
        found="404" if asked else "a date before the archive's first file",
        source=", ".join(asked) or None,
        answered=answered,
    )


def _path(archive: Archive, source: Source, day: date) -> str | None:
    """The path of the day's file; None if the archive cannot have it."""
    path = source.path_of(day)
    if not source.is_saved_by_hand:
        return path
    return archive.find(path, day) if isinstance(archive, FolderArchive) else None


class FolderArchive:
    """A folder of files that exist already, laid out as on the exchange."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def url(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

    def find(self, pattern: str, day: date) -> str | None:
        """The path that a pattern means, if the folder has one. Raises StorageError; RejectedPayload if it has more."""
        folder, _, name = pattern.rpartition("/")
        place = Path(self.url(folder))
        with durable.naming(place, "the folder could not be listed", day=day):
            try:
                found = sorted(entry for entry in os.listdir(place) if fnmatchcase(entry, name))
            except FileNotFoundError:
                return None
        if len(found) > 1:
            what = "the folder has more than one file for the day"
            todo = "Leave one of them there."
            raise RejectedPayload(what, day=day, source=str(place), expected=name, found=", ".join(found), todo=todo)
        return f"{folder}/{found[0]}" if found else None

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = NOTHING,  # noqa: ARG002 - a folder has no validators: callers compare the content
    ) -> tuple[bytes, Mapping[str, str]]:
        file = Path(self.url(path))
        with durable.naming(file, "the file could not be read", day=day):
            try:
                size = file.stat().st_size
            except FileNotFoundError:
                raise NotPublished("the archive's folder has no such file", day=day, source=str(file)) from None
        if size > self._max_bytes:
            limit = f"at most {self._max_bytes:,} bytes"
            raise RejectedPayload("the file is too large", day=day, source=str(file), expected=limit, found=f"{size:,}")
        return durable.read_whole(file), {}
