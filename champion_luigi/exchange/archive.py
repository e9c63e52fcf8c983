"""The exchange's archive: getting one day's published file, over HTTP, from a folder or from the simulator.

What comes back is bytes as published, or a typed error. What the bytes must be is for `parsing.payload` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    NotPublished,
    RejectedPayload,
    StorageError,
)
from champion_luigi.datasets.model import Dataset

# No validators are known.
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Published:
    """One day's file as the archive gave it. ``url`` carries no credentials; ``headers`` are the validators.

    ``source`` names which of the data set's sources it is, ``name`` is the exchange's own name of the file.
    """

    source: str
    name: str
    url: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class NotModified(Exception):  # an answer, and no error
    """The archive's file is still the one whose validators it was asked with (304)."""


class Archive(Protocol):
    """Anything that has the exchange's files at the exchange's own paths."""

    def url(self, path: str) -> str:
        """Where a path is, for people: without credentials."""

    def get(self, path: str, day: date, known: Mapping[str, str] = NOTHING) -> tuple[bytes, Mapping[str, str]]:
        """The bytes at a path, and their validators. Raises the archive's errors, naming ``day`` and the URL.

        ``known`` are the validators of a file that is here already: NotModified where it is still that one, from an
        archive that can tell.
        """


def fetch(
    archive: Archive,
    dataset: Dataset,
    day: date,
    official_from: Mapping[str, date] = MappingProxyType({}),
    known: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Published:
    """Get a day's file from the source that is official for it, or else from another one that can have it.

    ``official_from`` is as for `Dataset.sources_of`. ``known`` are validators by URL, of what is here already. Raises
    NotModified where the file is still that one, and NotPublished where every source of the date answers 404.
    """
    asked = []
    answered = None
    for source in dataset.sources_of(day, official_from):
        path = source.path_of(day)
        try:
            content, headers = archive.get(path, day, known.get(archive.url(path), NOTHING))
        except NotPublished as error:
            asked.append(archive.url(path))
            answered = error.answered
            continue
        return Published(source.name, path.rpartition("/")[2], archive.url(path), content, headers)
    missing = NotPublished(
        "the archive has no file for this date",
        day=day,
        found="404" if asked else "a date before the archive's first file",
        source=", ".join(asked) or None,
    )
    missing.answered = answered
    raise missing


class FolderArchive:
    """An archive for people who have the files already, laid out as on the exchange."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def url(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = NOTHING,  # noqa: ARG002 - a folder notes no versions: the content tells
    ) -> tuple[bytes, Mapping[str, str]]:
        file = Path(self.url(path))
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            raise NotPublished("the archive's folder has no such file", day=day, source=str(file)) from None
        except OSError as error:
            raise StorageError(f"the file could not be read: {error.strerror}", day=day, source=str(file)) from error
        if size > self._max_bytes:
            raise RejectedPayload(
                "the file is too large",
                day=day,
                source=str(file),
                expected=f"at most {self._max_bytes:,} bytes",
                found=f"{size:,}",
            )
        return durable.read_whole(file), {}
