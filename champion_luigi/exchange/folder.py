"""The archive as a folder of files that exist already, laid out as on the exchange.

A file that is absent has consequences: its day can be recorded as closed. NotPublished therefore means that the folder
can be read, holds files, and lacks this one under any name that could be its own. Anything else is another error.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    ArchiveUnusable,
    NotPublished,
    RejectedPayload,
    StorageError,
    is_passing,
)
from champion_luigi.exchange.archive import NOTHING

logger = logging.getLogger("champion_luigi")

# The beginning of a small text that stands for a file kept elsewhere, with the command that fetches the file.
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("a Git LFS pointer", "git lfs pull"),
    b"/annex/objects/": ("a git-annex pointer", "git annex get"),
}
_ZIP = ".zip"
# The most folders that are searched for a first file.
_MOST_FOLDERS = 10_000


class FolderArchive:
    """A folder of the exchange's files. A name may differ in case, and a file may be unzipped, or zipped."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._others = itertools.count()

    def url(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = NOTHING,  # noqa: ARG002 - a folder has no validators: callers compare the content
    ) -> tuple[bytes, Mapping[str, str]]:
        file = Path(self.url(path))
        about: dict[str, Any] = {"day": day, "source": str(file)}
        try:
            try:
                return self._read(file, about), {}
            except FileNotFoundError:
                found = self._find(path, about)
            content = self._read(found, about)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._require_readable(day)
            raise StorageError(
                f"the file could not be read: {error.strerror or error}",
                **about,
                todo="Check what the path is, and who may read it and its folders.",
            ) from error
        # Threads share the archive, and a count is atomic.
        if next(self._others) == 0:
            logger.warning("%s is read in place of %s; other files under such names are not listed", found, file.name)
        return content, {}

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

    def _read(self, file: Path, about: Mapping[str, Any]) -> bytes:
        about = {**about, "source": str(file)}
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
            raise StorageError(
                "the path is not a file",
                **about,
                expected="the day's file",
                found=found,
                todo="Move it away, and put the day's file in its place.",
            )
        if status.st_size > self._max_bytes:
            limit = f"at most {self._max_bytes:,} bytes"
            raise RejectedPayload("the file is too large", **about, expected=limit, found=f"{status.st_size:,}")
        content = file.read_bytes()
        for start, (what, command) in _POINTERS.items():
            if content.startswith(start):
                raise RejectedPayload(
                    f"the file is {what}, not the file itself",
                    **about,
                    expected="a zip or CSV",
                    found=repr(content[:60].decode(errors="replace")),
                    todo=f"Run `{command}` in the archive's folder.",
                )
        return content

    def _find(self, path: str, about: Mapping[str, Any]) -> Path:
        """The file under a name that differs in case or in ``.zip``. Raises NotPublished if there is none."""
        places = [self._folder]
        *folders, name = path.strip("/").split("/")
        for names in [*([each] for each in folders), [name, _other_form(name)]]:
            wanted = [each.casefold() for each in names]
            places = [
                place / entry for place in places for entry in sorted(os.listdir(place)) if entry.casefold() in wanted
            ]
            for place in places:
                if place.is_symlink() and not place.exists():
                    raise StorageError(
                        "a symbolic link leads nowhere",
                        day=about["day"],
                        source=str(place),
                        expected="the day's file" if names[0] == name else "a folder",
                        found=f"a link to {place.readlink()}",
                        todo="Restore what it leads to, or mount it; in git-annex, run `git annex get`.",
                    )
        if not places:
            self._require_readable(about["day"])
            raise NotPublished("the archive's folder has no such file", **about)
        return min(places, key=lambda place: (place.name.casefold() != name.casefold(), str(place)))

    def _require_readable(self, day: date) -> None:
        """Raise ArchiveUnusable if the folder is gone or holds no file, as that of a share that is not mounted.

        Raises OSError for trouble of the disk or network that can pass within a minute.
        """
        about: dict[str, Any] = {
            "day": day,
            "source": str(self._folder),
            "todo": "Mount the disk or share, or correct NSE_ARCHIVE_URL, then run the same command again.",
        }
        try:
            os.listdir(self._folder)
        except FileNotFoundError:
            raise ArchiveUnusable("the archive's folder is gone", **about) from None
        except OSError as error:
            if is_passing(error):
                raise
            raise ArchiveUnusable(f"the archive's folder cannot be read: {error.strerror}", **about) from error
        if not any(map(os.path.isfile, self._files())):
            expected = "the exchange's files under its own paths, content/..."
            raise ArchiveUnusable("the archive's folder is empty", **about, expected=expected, found="no file")

    def _files(self) -> Iterator[Path]:
        """The files that are not hidden, and are in no hidden folder such as ``.git``; some may be links to nowhere."""
        for place, folders, names in itertools.islice(os.walk(self._folder, followlinks=True), _MOST_FOLDERS):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(place, name) for name in names if not name.startswith("."))


def _other_form(name: str) -> str:
    """The name of the unzipped file for that of a zip, and the other way round."""
    return name.removesuffix(_ZIP) if name.endswith(_ZIP) else name + _ZIP
