"""The exchange's archive: one day's published file, from anything that serves the exchange's own paths.

The result is the bytes as published, or a typed error. `parsing.payload` checks the bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Protocol, TypeVar, runtime_checkable

from champion_luigi.base.errors import (
    NotPublished,
    RateLimited,
    Refused,
    RejectedPayload,
    StorageError,
    TruncatedPayload,
)
from champion_luigi.datasets.model import Dataset, Source

Read = TypeVar("Read")
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
    # When the file was fetched, if it was not now: it was stored for another data set.
    fetched_at: str = ""


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


@runtime_checkable
class Searchable(Protocol):
    """An archive that finds a file by a pattern of its path, as a folder does."""

    def find(self, pattern: str, day: date) -> str | None:
        """The path that a pattern means, if there is one. Raises StorageError; RejectedPayload if there are more."""


def fetch(
    archive: Archive,
    dataset: Dataset,
    day: date,
    read: Callable[[Published], Read],
    *,
    official_from: Mapping[str, date] = MappingProxyType({}),
    known: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    stored: Callable[[Source], Published | None] = lambda _source: None,
) -> tuple[Published, Read]:
    """Get a day's file from the official source, or else from the next one that has it, and read it.

    ``read`` raises RejectedPayload if the payload is not the day's file, and NotPublished if it stands for a 404;
    ``official_from`` is as for `Dataset.sources_of`; ``known`` holds the validators of existing copies, by URL. The
    file that ``stored`` returns for a source is read without a request, unless it is not the day's: the archive may
    have another one by now. A source that is refused, or whose file is not the day's, does not hide another one. Raises
    NotModified if the file still matches its validators, NotPublished if no source has one, and otherwise the first
    source's error that explains why there is no file.
    """
    asked: list[str] = []
    found: list[str] = []
    answered = None
    refused: list[Refused] = []
    unusable: list[RejectedPayload | StorageError | TruncatedPayload] = []
    for source in dataset.sources_of(day, official_from):
        if source.partial and any(isinstance(error, TruncatedPayload) for error in unusable):
            continue  # a full source has the file: another attempt may get all of it
        if (path := _path(archive, source, day)) is None:
            continue
        url = archive.url(path)
        if kept := stored(source):
            with contextlib.suppress(NotPublished, RejectedPayload, TruncatedPayload):
                return kept, read(kept)
        asked.append(url)
        try:
            content, headers = archive.get(path, day, known.get(url, NOTHING))
            published = Published(source.name, path.rpartition("/")[2], url, content, headers)
            return published, read(published)
        except NotPublished as error:
            found.append(error.found or "no file")
            answered = error.answered or answered
        except RateLimited:
            raise  # the archive as a whole wants to be left alone
        except Refused as error:
            refused.append(error)
        except (RejectedPayload, StorageError, TruncatedPayload) as error:
            unusable.append(error)
    if unusable or refused:
        # Nothing is known of a source that refuses, so a refusal never counts as a missing file.
        raise [*unusable, *refused][0]
    raise NotPublished(
        "the archive has no file for this date",
        day=day,
        found=", and ".join(dict.fromkeys(found)) or "a date before the archive's first file",
        source=", ".join(asked) or None,
        answered=answered,
    )


def _path(archive: Archive, source: Source, day: date) -> str | None:
    """The path of the day's file; None if the archive cannot have it."""
    path = source.path_of(day)
    if not source.is_saved_by_hand:
        return path
    return archive.find(path, day) if isinstance(archive, Searchable) else None
