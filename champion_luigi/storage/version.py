"""The data folder's own version: `layout.json` in DATA_DIR, read once a process, before anything else is.

It says how the folder is laid out. A newer layout than this package knows is refused, as half of it would be read or
written wrongly. A folder without the file is of the first layout, which did not have it, or new.
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

# Grows by one with each change of where things are in DATA_DIR, or of what is in them, that older versions cannot know.
LAYOUT = 1

_NAME = "layout.json"
# What is there of a folder that has been worked in.
_OUTPUTS = ("raw", "parsed", "normalized", "lake", "loaded", "rejects", "warehouse", "ledger.jsonl")

logger = logging.getLogger("luigi-interface")

_noting = threading.Lock()
# Folders of which this process has read that they are of this layout.
_known: set[Path] = set()


@dataclass(frozen=True)
class Noted:
    """What a folder says of itself: its layout, and the version of the package that noted it."""

    layout: int
    package: str


def require(data_dir: Path) -> None:
    """Raise OtherVersion where DATA_DIR is of a newer layout, DamagedFile where it cannot be told. Writes nothing."""
    folder = data_dir.absolute()
    if folder not in _known and noted(folder) is not None:
        _known.add(folder)


def claim(data_dir: Path) -> None:
    """Require, and note the layout where it is not noted yet: for those who are about to write."""
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
            logger.info("%s has no %s: it is taken as layout 1, and that is noted in it", folder, _NAME)
        note = {"layout": LAYOUT, "package": VERSION, "noted_at": durable.now()}
        durable.write_whole(folder / _NAME, durable.json_bytes(note))
        _known.add(folder)


def noted(folder: Path) -> Noted | None:
    """What a folder says of itself; None where it says nothing. Raises as `require` does."""
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
            "what says how the data folder is laid out cannot be read",
            source=str(path),
            expected=f'{{"layout": {LAYOUT}}}',
            todo="Restore it from a backup, or write what is expected, if no newer version has worked in this folder. "
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
