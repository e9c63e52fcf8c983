"""A library's first import sets it up: whoever imports it, and once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from champion_luigi.base import imports


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A library with a part, and a module that sets the library up."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "__init__.py").write_text("value = 1\n")
    (tmp_path / "library" / "part.py").write_text("from library import value\n")
    (tmp_path / "setter.py").write_text("import library\nlibrary.value += 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    imports.leave_alone("library")
    for name in ("library", "library.part", "setter"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["library", "library.part"])
def test_the_first_import_gives_the_library_set_up(name: str, tmp_path: Path) -> None:
    """The library is the real one, run once, and its parts see it set up too."""
    imports.set_up("library", "setter")
    assert "library" not in sys.modules
    assert importlib.import_module(name).value == 2
    library = importlib.import_module("library")
    assert library.value == 2
    assert library.__spec__ is not None
    assert library.__spec__.origin == str(tmp_path / "library" / "__init__.py")


def test_a_library_that_is_there_is_set_up_at_once() -> None:
    """The program imported it before."""
    library = importlib.import_module("library")
    imports.set_up("library", "setter")
    assert library.value == 2


def test_looking_for_the_library_imports_nothing() -> None:
    """Whether something is installed is often asked in this way."""
    imports.set_up("library", "setter")
    assert importlib.util.find_spec("library") is not None
    assert importlib.util.find_spec("no_such_library") is None
    assert "setter" not in sys.modules


def test_a_library_left_alone_is_imported_as_usual() -> None:
    """By a caller who sets it up."""
    imports.set_up("library", "setter")
    imports.leave_alone("library")
    assert importlib.import_module("library").value == 1


def test_an_error_of_the_set_up_is_raised() -> None:
    """Where the program imports the library."""
    imports.set_up("library", "no_such_setter")
    with pytest.raises(ModuleNotFoundError, match="no_such_setter"):
        importlib.import_module("library")
