"""The first import of a library becomes that of a module which sets the library up.

So a package can be there first without importing a large library: after ``set_up("luigi", "champion_luigi.pipeline")``,
the program's own ``import luigi`` imports that module, which imports Luigi, and gives Luigi to the program.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def set_up(library: str, by: str) -> None:
    """Let the module ``by`` be imported with the library: now if the library is there, or else at its first import."""
    if library in sys.modules:
        importlib.import_module(by)
    else:
        sys.meta_path.insert(0, _First(library, by))


def leave_alone(library: str) -> None:
    """Let the library's first import be an ordinary one: the caller sets it up."""
    sys.meta_path[:] = [each for each in sys.meta_path if not (isinstance(each, _First) and each.library == library)]


class _First:
    """Finds and loads one library, once."""

    def __init__(self, library: str, by: str) -> None:
        self.library, self._by = library, by

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """The library's own spec, to be loaded by this object; None for every other module."""
        if name != self.library:
            return None
        others = [each for each in sys.meta_path if each is not self]
        spec = next(filter(None, (each.find_spec(name, path, target) for each in others)), None)
        if spec is not None:
            spec.loader = self  # type: ignore[assignment]  # no subclass: importlib.abc is slow to import
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """Let the import system make the module."""

    def exec_module(self, _module: ModuleType) -> None:
        """Import the other module, which imports the library: the import system gives what is in sys.modules then."""
        leave_alone(self.library)
        del sys.modules[self.library]
        importlib.import_module(self._by)
