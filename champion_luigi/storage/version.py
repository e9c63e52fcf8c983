"""The data folder's own version: `layout.json` in DATA_DIR, read once a process, before any other file.

The file records how the folder is laid out. A layout newer than this package knows is refused, because half of it
would be read or written wrongly. A folder without the file is new, or has the first layout, which had no such file.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, OtherVersion, StorageError
from champion_luigi.base.package import VERSION

# Raised by one with each change to the paths or contents in DATA_DIR that older versions cannot handle.
LAYOUT = 1

_NAME = "layout.json"
# A folder that has been used holds at least one of these.
_OUTPUTS = ("raw", "parsed", "normalized", "lake", "loaded", "rejects", "warehouse", "ledger.jsonl")

logger = logging.getLogger("luigi-interface")

_noting = threading.Lock()
# Folders whose layout this process has read and accepted.
_known: set[Path] = set()


@dataclass(frozen=True)
class Noted:
    """A folder's own record: its layout, and the version of the package that recorded it."""

    layout: int
    package: str


def require(data_dir: Path) -> None:
    """Raise OtherVersion if DATA_DIR has a newer layout, DamagedFile if its record is unreadable. Writes nothing."""
    folder = data_dir.absolute()
    if folder not in _known and noted(folder) is not None:
        _known.add(folder)


def claim(data_dir: Path) -> None:
    """Check the layout as `require` does, and record it if that is not done yet. Call this before writing."""
    require(data_dir)
    folder = data_dir.absolute()
    if folder in _known:
        return
    with _noting:
        # Another thread, or another process, may have come first.
        require(data_dir)
        if folder in _known:
            return
        if any((folder / name).exists() for name in _OUTPUTS):
            logger.info("%s has no %s: it is treated as layout 1, which is now recorded in it", folder, _NAME)
        note = {"layout": LAYOUT, "package": VERSION, "noted_at": durable.now()}
        durable.write_whole(folder / _NAME, durable.json_bytes(note))
        _known.add(folder)


def identity(data_dir: Path) -> str:
    """A name for a data folder that has its own record, the same on each host that uses it, at whatever path."""
    path = data_dir.absolute() / _NAME
    with durable.naming(path, "the record of the data folder's layout could not be read"):
        return durable.sha256(path.read_bytes() + str(path.stat().st_mtime_ns).encode())[:16]


def noted(folder: Path) -> Noted | None:
    """A folder's own record; None if it has none. Raises as `require` does."""
    path = folder / _NAME
    try:
        document = json.loads(path.read_bytes())
        found = Noted(document["layout"], str(document.get("package", "")))
        if type(found.layout) is not int or found.layout < 1:
            raise ValueError(found.layout)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"the file could not be read: {error.strerror or error}", source=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedFile(
            "the record of the data folder's layout cannot be read",
            source=str(path),
            expected=f'{{"layout": {LAYOUT}}}',
            todo="Restore it from a backup, or write what is expected, if no newer version has used this folder. "
            "Nothing was read or changed.",
        ) from None
    if found.layout > LAYOUT:
        raise OtherVersion(
            f"the data folder was written by a newer champion_luigi ({found.package})",
            source=str(folder),
            expected=f"layout {LAYOUT}, of champion_luigi {VERSION}",
            found=f"layout {found.layout}",
            todo="Use that version or a newer one. Nothing was read or changed.",
        )
    return found
