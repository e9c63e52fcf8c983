"""Where files are: in a folder, as a `pathlib.Path`, or in a bucket of an object store, as an `ObjectPath`.

Both have the same names and the same few methods, so the code that composes a day's paths does not know which it has.
`durable` writes and reads both, and `store` has all other operations.
"""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from champion_luigi.base.errors import SettingsError
from champion_luigi.base.secrets import public

# The object stores, by the scheme of their addresses.
SCHEMES = {"s3": "S3, and the many stores with its API", "gs": "Google Cloud Storage", "az": "Azure Blob"}

# A known scheme with one slash is a slip; any other text is the path of a folder.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*(?=://)|(?:s3|gs|az)(?=:/)):/+(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
EXPECTED = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER"


if TYPE_CHECKING:
    # For type checkers, an address is a path too: code that composes names need not distinguish the two.
    from pathlib import Path as _Path
else:
    _Path = object


def _ask(verb: str, *about: Any) -> Any:
    # Imported for the first object: a lake in a folder has none.
    from champion_luigi.base import objects

    return objects.ask(verb, *about)


@dataclass(frozen=True)
class ObjectPath(_Path):
    """The address of an object: ``s3://bucket/lake/...``, with as much of `pathlib.Path` as the package uses.

    It is only a name: making one sends no request. It is no `os.PathLike`, so nothing can take it for a file.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def __truediv__(self, part: str) -> ObjectPath:
        return self.joinpath(part)

    def joinpath(self, *parts: str) -> ObjectPath:
        """The address below this one; an empty part adds nothing."""
        return ObjectPath(self.bucket, "/".join(part for part in (self.key, *parts) if part))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPath:
        """The address without its last part."""
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> ObjectPath:
        """The address with another last part."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> ObjectPath:
        """The address with another suffix."""
        return self.with_name(PurePosixPath(self.name).with_suffix(suffix).name)

    def absolute(self) -> ObjectPath:
        """The address itself."""
        return self

    def is_relative_to(self, other: Place) -> bool:
        """Whether this is ``other``, or below it."""
        if not isinstance(other, ObjectPath) or other.bucket != self.bucket:
            return False
        return not other.key or f"{self.key}/".startswith(f"{other.key}/")

    def relative_to(self, other: Place) -> PurePosixPath:
        """What follows ``other``. Raises ValueError if it is not below it."""
        if not self.is_relative_to(other):
            raise ValueError(f"{str(self)!r} is not in {str(other)!r}")
        assert isinstance(other, ObjectPath)
        return PurePosixPath(self.key[len(other.key) :].lstrip("/"))

    def is_dir(self) -> bool:
        """True: every address can have objects below it."""
        return True

    def exists(self) -> bool:
        """Whether there is an object of this name. Raises as `objects.ask` does."""
        return self.look() is not None

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object. Raises FileNotFoundError if it is absent, unless ``missing_ok``, and as `objects.ask`."""
        if not missing_ok and not self.exists():
            raise FileNotFoundError(f"{self} does not exist")
        _ask("delete", self.bucket, self.key)

    def read_bytes(self) -> bytes:
        """The object's content. Raises FileNotFoundError, and as `objects.ask`."""
        if (found := self.read()) is None:
            raise FileNotFoundError(f"{self} does not exist")
        return found[0]

    def write_bytes(self, content: bytes) -> None:
        """Write the object, whole or not at all. Raises as `objects.ask`."""
        self.write(content)

    def glob(self, pattern: str) -> list[ObjectPath]:
        """The objects below this one whose parts match those of the pattern, each within itself, by name."""
        parts = pattern.split("/")
        found = []
        for entry in self.entries():
            below = entry.at.relative_to(self).parts
            if len(below) == len(parts) and all(map(fnmatch.fnmatchcase, below, parts)):
                found.append(entry.at)
        return found

    # Requests to the store. All raise as `objects.ask` does.

    def look(self) -> Entry | None:
        """The object's entry in the store; None if there is none."""
        found = _ask("head", self.bucket, self.key)
        return Entry(self, *found) if found else None

    def read(self) -> tuple[bytes, str] | None:
        """The object's content and tag; None if there is none."""
        found: tuple[bytes, str] | None = _ask("get", self.bucket, self.key)
        return found

    def write(self, content: bytes) -> str:
        """Write the object, whole or not at all; its tag."""
        return str(_ask("put", self.bucket, self.key, content))

    def write_if_absent(self, content: bytes) -> str | None:
        """Write the object unless there is one; its tag, or None if there is one."""
        tag: str | None = _ask("create", self.bucket, self.key, content)
        return tag

    def replace_if(self, content: bytes, tag: str) -> str | None:
        """Replace the object if it still has this tag; its new tag, or None."""
        new: str | None = _ask("replace", self.bucket, self.key, content, tag)
        return new

    def entries(self, start: str = "", stop: str = "", most: int = 0) -> list[Entry]:
        """The objects below this one, by name. With relative paths, those from ``start`` on and before ``stop``.

        ``most``, if not 0, is the number after which the listing may end.
        """
        first, last = ((self / each).key if each else "" for each in (start, stop))
        found = _ask("list", self.bucket, self.key, first, last, most) or ()
        listed = (Entry(ObjectPath(self.bucket, key), *about) for key, *about in sorted(found))
        return [each for each in listed if first <= each.at.key and (not last or each.at.key < last)]


@dataclass(frozen=True)
class Entry:
    """An object in a listing, with as much of `os.DirEntry` as the package uses.

    ``tag`` changes with the content; ``modified`` is when it was written, in seconds since 1970, by the store's clock.
    """

    at: ObjectPath
    size: int
    tag: str
    modified: float

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.at.name

    @property
    def path(self) -> str:
        """The address, as a text."""
        return str(self.at)


# In a signature, it says that either will do.
Place: TypeAlias = Path
Listed: TypeAlias = "os.DirEntry[str] | Entry"


def is_address(text: str) -> bool:
    """Whether a text is an address with a scheme; anything else is a folder's path."""
    return _ADDRESS.match(text) is not None


def place_of(text: str) -> Place:
    """The place that a text names. Raises SettingsError if it is an address that cannot be used."""
    match = _ADDRESS.match(text)
    if match is None:
        return Path(text)
    scheme, rest = match["scheme"].lower(), match["rest"].strip("/")
    bucket, _, key = rest.partition("/")
    parts = key.split("/") if key else []
    if scheme not in SCHEMES:
        why = f"there is no object store with the scheme {scheme}:"
    elif not text[len(scheme) :].startswith("://"):
        why = "the scheme is followed by two slashes"
    elif not _BUCKET.fullmatch(bucket) or text[len(scheme) :].startswith(":///"):
        why = "it names no bucket"
    elif {"", ".", ".."} & {*parts} or re.search(r"[\x00-\x1f\x7f?#*{}\[\]\\^%`\"<>|~]", key):
        why = "its folder has a part or a character that stores treat in different ways"
    else:
        return ObjectPath(f"{scheme}://{bucket}", key)
    raise SettingsError(f"the address of an object store cannot be used: {why}", expected=EXPECTED, found=public(text))


def at(listed: Listed) -> Place:
    """The place of a file in a listing."""
    return listed.at if isinstance(listed, Entry) else Path(listed.path)


def is_below(place: Place, root: Place) -> bool:
    """Whether a place is ``root``, or below it."""
    if isinstance(place, ObjectPath):
        return place.is_relative_to(root)
    return isinstance(root, Path) and place.is_relative_to(root)


def modified(listed: Listed) -> float:
    """When a file was last written, in seconds since 1970. Raises FileNotFoundError if it does not exist."""
    return listed.modified if isinstance(listed, Entry) else listed.stat().st_mtime


def signature_of(content: bytes, tag: str) -> list[int | str]:
    """The `signature` of an object, by its content and by the tag that the store gave when it was written."""
    return [len(content), tag.partition(" ")[0]]


def signature(listed: Place | Listed) -> list[int | str]:
    """What changes when a file is written again: its size, and its time or, of an object, the store's tag.

    Raises FileNotFoundError if it does not exist.
    """
    if isinstance(listed, ObjectPath):
        found = listed.look()
        if found is None:
            raise FileNotFoundError(f"{listed} does not exist")
        listed = found
    if isinstance(listed, Entry):
        return [listed.size, listed.tag]
    status = listed.stat()
    return [status.st_size, status.st_mtime_ns]
