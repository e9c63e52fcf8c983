"""The exchange's archive: one day's published file, from anything that serves the exchange's own paths.

The result is the bytes as published, or a typed error. `parsing.payload` checks the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Protocol

from champion_luigi.base.errors import NotPublished
from champion_luigi.datasets.model import Dataset

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
        path = source.path_of(day)
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
