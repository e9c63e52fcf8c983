"""The archive as a folder of files that exist already, laid out as on the exchange."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.base.errors import NotPublished, RejectedPayload
from champion_luigi.exchange.archive import NOTHING


class FolderArchive:
    """A folder of files that exist already, laid out as on the exchange."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def url(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

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
