"""The package's shape: imports run one way, heavy libraries have one importer each, and the map names every module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import champion_luigi

PACKAGE = Path(champion_luigi.__file__).parent
MODULES = {path.stem: path for path in PACKAGE.glob("*.py")}

# From the ground up: a module imports from lower layers alone, never from its own.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "hiding interrupts",
        "errors",
        "schema",
        "layouts",
        "files findings asking",
        "sessions",
        "payload",
        "simulator",
        "simulator_server",
        # The stages: they take values, bytes, frames and a client, and know nothing of Luigi or of each other.
        "clickhouse",
        "bhavcopy archive tables lake warehouse questions journal ledger due",
        "flows",
        "tracking",
        "carrier",
        "defaults",
        "settings",
        "targets threads recording datadir places",
        "raw",
        "tasks",
        "listing",
        "coverage redo reconcile cleaning sql",
        "doctor_disks doctor_setup doctor_warehouse",
        "doctor_servers",
        "doctor",
        "events",
        "filling",
        "fill run scheduling refresh",
        "bar",
        "fill_command track_command status_command doctor_command verify_command refresh_command",
        "clean_command sql_command",
        "redo_command",
        "report_text",
        "report_figures report",
        "report_page",
        "report_command",
        "demo",
        "cli",
        "__init__",
    )
)
STAGES = next(layer for layer in LAYERS if "bhavcopy" in layer)
LAYER_OF = {module: height for height, layer in enumerate(LAYERS) for module in layer}

# Libraries, and the one module that may import each.
IMPORTERS = {"requests": "archive", "clickhouse_connect": "clickhouse", "chdb": "clickhouse", "mlflow": "tracking"}

# What importing the package must not import; requests is here as far as Luigi does not import it by itself.
HEAVY = ("polars", "pyarrow", "numpy", "requests", "clickhouse_connect", "chdb", "mlflow", "pandas", "duckdb", "rich")

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
    parts = [name.split(".") for name in imported(module) if name.split(".")[0] == "champion_luigi"]
    # Modules move into packages, one package at a time; the table of packages comes when all have.
    parts = [part for part in parts if not (len(part) > 1 and (PACKAGE / part[1]).is_dir())]
    return {part[1] if len(part) > 1 and part[1] in MODULES else "__init__" for part in parts}


def imported_libraries(module: str) -> set[str]:
    """The libraries that a module imports."""
    return {name.split(".")[0] for name in imported(module)} - {"champion_luigi"} - sys.stdlib_module_names


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


# Layers


@every_module
def test_a_module_has_its_layer(module: str) -> None:
    """A new module is put in its place here first."""
    assert module in LAYER_OF


@every_module
def test_imports_run_one_way(module: str) -> None:
    """Whatever a module imports is in a lower layer."""
    upwards = {other for other in imported_modules(module) if LAYER_OF[other] >= LAYER_OF[module]}
    assert upwards == set()


@pytest.mark.parametrize("module", sorted(STAGES & set(MODULES)))
def test_a_stage_knows_neither_luigi_nor_the_settings(module: str) -> None:
    """What it needs is handed in."""
    assert not imported_libraries(module) & {"luigi", "click", "tenacity"}
    assert not imported_modules(module) & ({"settings", "tasks", "targets"} | STAGES)


@pytest.mark.parametrize(
    "module", sorted(set("errors schema layouts sessions payload files journal ledger".split()) & set(MODULES))
)
def test_the_ground_needs_the_standard_library_alone(module: str) -> None:
    """So that a process that only looks what there is to do starts at once."""
    assert imported_libraries(module) == set()


@every_module
def test_a_library_has_one_importer(module: str) -> None:
    """Requests, ClickHouse's client and MLflow are each known to one module."""
    assert {name for name in imported_libraries(module) if IMPORTERS.get(name, module) != module} == set()


def test_the_pure_middle_reaches_neither_disk_nor_network_nor_clock() -> None:
    """Parsing and checking are functions from bytes and frames to frames."""
    outside = {"os", "pathlib", "socket", "time", "subprocess", "shutil", "tempfile", "urllib", "logging"}
    for module in {"payload", "bhavcopy", "layouts", "schema"} & set(MODULES):
        assert {name.split(".")[0] for name in imported(module)} & outside == set()


# What an import costs


@pytest.mark.integration
def test_importing_the_package_imports_nothing_heavy() -> None:
    """A run with nothing to do imports Luigi alone."""
    by_luigi = modules_after("import luigi")
    by_us = modules_after("import champion_luigi")
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


@every_module
def test_the_map_names_every_module(module: str) -> None:
    """The package's docstring is what a reader sees first."""
    if module == "__init__":
        return
    assert champion_luigi.__doc__ is not None
    assert re.search(rf"(?<!\w){module}\s{{2,}}\S", champion_luigi.__doc__), f"the map lacks {module}"


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
    assert {"ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse"} <= set(
        champion_luigi.__all__
    )


def test_the_package_says_that_it_is_typed() -> None:
    """Those who use it get its types."""
    assert (PACKAGE / "py.typed").exists()
