"""The libraries that only an extra installs, and the sentence for a library that is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from champion_luigi.base.errors import NotInstalled

# The modules that this package cannot do without where it uses an extra; `setup.cfg` has the distributions. Only a
# whole MLflow has pages, a store in SQLite and searches; a client of a server needs a twentieth of its size.
MODULES = {
    "embedded": ("chdb",),
    "mlflow": ("mlflow", "sqlalchemy", "flask"),
    "mlflow-client": ("mlflow",),
    "pandas": ("pandas", "pyarrow"),
    "plot": ("matplotlib", "plotille"),
    "s3": ("obstore",),
}


def lacking(extra: str) -> str:
    """The first module of an extra that is not installed; empty if all are there. Imports none of them."""
    return next((each for each in MODULES[extra] if not _is_there(each)), "")


def command(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "champion-luigi[{extra}]"'


def require(extra: str, what: str, instead: str = "") -> None:
    """Raise NotInstalled if a module of an extra is missing.

    ``what`` needs it, the subject of a sentence in the singular; ``instead`` is another way, a sentence.
    """
    if module := lacking(extra):
        todo = f"{command(extra)} installs it." + (f" {instead}" if instead else "")
        raise NotInstalled(f"{what} needs a library that is not installed: {module}", todo=todo)


def _is_there(module: str) -> bool:
    if module in sys.modules:
        return True
    found = find_spec(module)
    # A folder of that name, such as DATA_DIR/mlflow beside a notebook, is no library.
    return found is not None and found.origin is not None
