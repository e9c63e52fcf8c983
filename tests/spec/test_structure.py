"""The package's shape: imports run one way, heavy libraries have one importer each, the map names every package."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import champion_luigi
from champion_luigi.datasets import catalog

PACKAGE = Path(champion_luigi.__file__).parent


def _name(path: Path) -> str:
    """A module by its dotted name below the package; a folder's `__init__` by the folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}

# In the order in which a day's data meets them: a package imports from those that it names, and from itself.
ROOMS: dict[str, str] = {
    "base": "",
    "datasets": "base",
    "exchange": "base datasets",
    "parsing": "base datasets",
    "adjustments": "base datasets exchange",
    "storage": "base datasets",
    "warehouse": "base datasets adjustments",
    "simulated": "base datasets exchange",
    "config": "base datasets exchange parsing storage warehouse simulated",
    "reading": "base datasets exchange adjustments storage warehouse config",
    "tracking": "base datasets config",
    "pipeline": "base datasets exchange parsing adjustments storage warehouse simulated config tracking",
    "upkeep": "base datasets exchange parsing adjustments storage warehouse simulated config tracking pipeline",
    "commands": "base datasets exchange parsing adjustments storage warehouse simulated config tracking pipeline "
    "upkeep reading",
}
# They take values, bytes, frames and a client, and know neither Luigi, nor the settings, nor each other.
STAGES = {"adjustments", "exchange", "parsing", "storage", "warehouse"}
# Imports that the table forbids, and that are still there.
EXCEPTIONS: set[tuple[str, str]] = set()


def room_of(module: str) -> str:
    """The package of a module; empty for what lies beside the packages."""
    return module.split(".")[0] if "." in module or module in ROOMS else ""


# Libraries, and the packages that may import each: one, but that `champion doctor` asks MLflow and luigid by itself, as
# their own clients would, and looks at what is installed.
IMPORTERS = {
    "requests": "exchange commands.doctor",
    "clickhouse_connect": "warehouse",
    "chdb": "warehouse",
    "mlflow": "tracking",
    "jinja2": "commands.report",
    "matplotlib": "commands.prices",
    "plotille": "commands.prices",
    "packaging": "commands.doctor",
    "obstore": "base.objects",
}

# What importing the package must not import; requests is here as far as Luigi does not import it by itself.
HEAVY = tuple(
    "polars pyarrow numpy requests clickhouse_connect chdb mlflow pandas duckdb rich jinja2 packaging "
    "matplotlib plotille obstore".split()
)

every_module = pytest.mark.parametrize("module", sorted(MODULES))


def imported(module: str) -> set[str]:
    """The full names of all that a module imports anywhere: at its top, in functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["champion_luigi" if node.level else "", node.module]))
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def imported_modules(module: str) -> set[str]:
    """The package's own modules that a module imports; a name of the package itself counts as `__init__`."""
    below = [name.partition(".")[2] for name in imported(module) if name.split(".")[0] == "champion_luigi"]
    return {next((each for each in (name, name.rpartition(".")[0]) if each in MODULES), "__init__") for name in below}


def imported_libraries(module: str) -> set[str]:
    """The libraries that a module imports."""
    return {name.split(".")[0] for name in imported(module)} - {"champion_luigi"} - sys.stdlib_module_names


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


# The table


@every_module
def test_a_package_imports_what_the_table_allows(module: str) -> None:
    """Imports run one way, from what people type down to the ground."""
    room = room_of(module)
    allowed = {room, *ROOMS.get(room, "").split()} if room else {*ROOMS, ""}
    forbidden = {other for other in imported_modules(module) if room_of(other) not in allowed}
    assert forbidden == {other for importer, other in EXCEPTIONS if importer == module}


@every_module
def test_no_module_asks_for_a_data_set_by_its_name(module: str) -> None:
    """The difference between data sets is data, or a function, in the data set's own module."""
    if room_of(module) in ("datasets", "simulated"):
        return
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert texts & set(catalog.NAMES) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_no_package_has_a_circle(room: str) -> None:
    """Modules of a package can be read one after the other."""
    own = {module for module in MODULES if room_of(module) == room}
    graphlib.TopologicalSorter({module: imported_modules(module) & own - {room} for module in own}).prepare()


@every_module
def test_a_stage_knows_no_luigi(module: str) -> None:
    """What it needs is handed in."""
    if room_of(module) in STAGES:
        assert not imported_libraries(module) & {"luigi", "click", "tenacity"}


@pytest.mark.parametrize(
    "module",
    [
        "base.errors",
        "base.durable",
        "base.stages",
        "datasets.catalog",
        "storage.paths",
        "exchange.sessions",
        "exchange.answers",
        "parsing.payload",
        "tracking.journal",
    ],
)
def test_the_ground_needs_the_standard_library_alone(module: str) -> None:
    """So that a process that only looks what there is to do starts at once."""
    assert imported_libraries(module) == set()


@every_module
def test_a_library_has_one_importer(module: str) -> None:
    """Requests, ClickHouse's client and MLflow are known to the packages that the table names."""
    for name in imported_libraries(module) & IMPORTERS.keys():
        assert any(f"{module}.".startswith(f"{room}.") for room in IMPORTERS[name].split()), name


def test_the_pure_middle_reaches_neither_disk_nor_network_nor_clock() -> None:
    """Parsing and checking are functions from bytes and frames to frames."""
    outside = {"os", "pathlib", "socket", "time", "subprocess", "shutil", "tempfile", "urllib", "logging"}
    for module in {"payload", "bhavcopy", "layouts", "schema"} & set(MODULES):
        assert {name.split(".")[0] for name in imported(module)} & outside == set()


# The calling program's locale

# Names of days and months, AM and PM, and whole dates and times in the locale's way.
_OF_THE_LOCALE = re.compile(r"%[-_0^#EO]?[aAbBchpPrxX]")
_ASKING_THE_LOCALE = set(
    "asctime ctime day_abbr day_name locale month_abbr month_name nl_langinfo setlocale strcoll strxfrm".split()
)


def uses_of_the_locale(source: str) -> set[str]:
    """What a module's code takes from the locale: directives in texts, names, and numbers in the format ``n``."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                found |= set(_OF_THE_LOCALE.findall(text))
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=[*_, ast.Constant(value=str(text))])):
                found |= {text} if text.endswith("n") else set()
            case ast.Call(func=ast.Name(id="format"), args=[_, ast.Constant(value=str(text))]):
                found |= {text} if text.endswith("n") else set()
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                found |= {name} & _ASKING_THE_LOCALE
            case _:
                pass
    return found


@every_module
def test_nothing_depends_on_the_locale(module: str) -> None:
    """A calling program may have set any: names of months, numbers and sorting must stay."""
    assert not uses_of_the_locale(MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('datetime.strptime(text, "%d-%b-%Y")', "%b"),
        ('f"{day:%A}, no session"', "%A"),
        ('day.strftime("%-I %p")', "%p"),
        ('f"{rows:n}"', "n"),
        ('format(rows, "n")', "n"),
        ("sorted(names, key=locale.strxfrm)", "strxfrm"),
        ("from calendar import month_abbr", "month_abbr"),
        ('f"{day:%Y-%m-%d} {rate:.1f} %s %d"', ""),
    ],
)
def test_a_use_of_the_locale_is_found(source: str, found: str) -> None:
    """Whichever way it is written."""
    assert uses_of_the_locale(source) - {"locale"} == ({found} if found else set())


# What an import costs


@pytest.mark.integration
@pytest.mark.parametrize(
    "statement",
    [
        "import champion_luigi; champion_luigi.__version__",
        "import datetime; from champion_luigi import sessions; sessions.is_session(datetime.date(2024, 1, 15))",
        "from champion_luigi.commands.cli import main; main(['sessions', '--json'], standalone_mode=False)",
        "from champion_luigi.commands.cli import main; main(['--help'], standalone_mode=False)",
    ],
)
def test_what_needs_no_luigi_imports_none(statement: str) -> None:
    """Trading days are for every program, and help is there at once."""
    assert {"luigi", *HEAVY} & modules_after(statement) == set()


@pytest.mark.integration
def test_the_sessions_import_little_of_the_standard_library() -> None:
    """What takes longer to import than all the rest is left out, the data sets' declarations too."""
    # The install of a checkout imports modules at start.
    there = modules_after("")
    slow = {"champion_luigi.datasets.model", "champion_luigi.base.errors"}
    slow |= set("dataclasses email importlib.metadata inspect json logging pathlib urllib.parse".split())
    assert slow & (modules_after("from champion_luigi import sessions; sessions.table_end()") - there) == set()


@pytest.mark.integration
def test_importing_the_tasks_imports_nothing_heavy() -> None:
    """A run with nothing to do imports Luigi alone."""
    by_luigi = modules_after("import luigi")
    by_us = modules_after("from champion_luigi import *")
    assert [name for name in HEAVY if name in by_us - by_luigi] == []


@pytest.mark.integration
def test_asking_what_is_complete_imports_nothing_heavy() -> None:
    """Requirements, outputs and completeness are looked up in a parent that will fork: using Polars there is deadly."""
    statement = (
        "import datetime, champion_luigi\n"
        "task = champion_luigi.LoadClickHouse(date=datetime.date(2024, 1, 15))\n"
        "while task:\n"
        "    assert not task.complete()\n"
        "    task = task.requires()\n"
    )
    by_us = modules_after(statement) - modules_after("import luigi")
    assert [name for name in HEAVY if name in by_us] == []


# The map


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_names_every_package(room: str) -> None:
    """The package's docstring is what a reader sees first."""
    assert champion_luigi.__doc__ is not None
    assert re.search(rf"^    {room}\s{{2,}}\S", champion_luigi.__doc__, re.MULTILINE), f"the map lacks {room}"


def test_every_folder_is_in_the_table() -> None:
    """A new package is put in its place here first."""
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == ROOMS.keys()


@every_module
def test_a_module_says_its_subject_in_its_first_line(module: str) -> None:
    """A room with a name on its door: one sentence, ended."""
    text = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    assert text
    assert text.splitlines()[0].endswith((".", ":"))


def test_what_is_exported_is_there_and_sorted() -> None:
    """`__all__` names what the package gives, in order, and `--module champion_luigi` finds the tasks."""
    assert champion_luigi.__all__ == sorted(champion_luigi.__all__)
    assert [name for name in champion_luigi.__all__ if not hasattr(champion_luigi, name)] == []
    assert champion_luigi.__all__ == list(champion_luigi._MODULE_OF)
    assert {*champion_luigi.__all__, "__version__"} <= set(dir(champion_luigi))
    assert {"ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse"} <= set(
        champion_luigi.__all__
    )


def test_what_is_not_exported_is_not_there() -> None:
    """A name that is misspelt is an error as of any module."""
    with pytest.raises(AttributeError, match="module 'champion_luigi' has no attribute 'LoadClickhouse'"):
        champion_luigi.LoadClickhouse  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    """Those who use it get its types."""
    assert (PACKAGE / "py.typed").exists()
