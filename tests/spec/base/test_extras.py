"""What only an extra installs, and the sentence for what is missing."""

from __future__ import annotations

import configparser
import sys
import types
from pathlib import Path

import pytest
from helpers import ROOT

from champion_luigi.base import extras
from champion_luigi.base.errors import NotInstalled


def test_each_extra_of_the_table_can_be_installed() -> None:
    """The command in a message names an extra that the distribution has, and `all` has each but the smaller MLflow."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    there = setup["options.extras_require"]
    assert extras.MODULES.keys() <= set(there)
    everything = there["all"].strip().removeprefix("champion_luigi[").removesuffix("]").split(",")
    assert set(everything) == set(there) - {"all", "build", "dev", "mlflow-client", "test"}
    assert extras.MODULES.keys() - {"mlflow-client"} <= set(everything)


def test_what_is_there_is_required_in_vain() -> None:
    """Nothing is raised, and nothing is imported."""
    imported = {*sys.modules}
    for extra in extras.MODULES:
        assert extras.lacking(extra) == ""
        extras.require(extra, "a test")
    assert {"chdb", "matplotlib"} & {*sys.modules} <= imported


@pytest.mark.parametrize("instead", ["", "Or do without."])
def test_a_missing_module_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, instead: str) -> None:
    """What needs it, the module, the command, and another way if there is one."""
    monkeypatch.setitem(extras.MODULES, "embedded", ("json", "no_such_module"))
    with pytest.raises(NotInstalled) as caught:
        extras.require("embedded", "the engine", instead)
    words = "the engine needs a library that is not installed: no_such_module. "
    words += 'pip install "champion-luigi[embedded]" installs it.'
    assert str(caught.value) == " ".join(filter(None, [words, instead]))


def test_a_folder_of_that_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook in DATA_DIR has its folder `mlflow` beside it."""
    (tmp_path / "no_such_module").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(extras.MODULES, "mlflow", ("no_such_module",))
    assert extras.lacking("mlflow") == "no_such_module"
    (tmp_path / "no_such_module" / "__init__.py").touch()
    assert extras.lacking("mlflow") == ""


def test_a_module_that_a_program_has_made_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no spec, and can be imported."""
    monkeypatch.setitem(sys.modules, "no_such_module", types.ModuleType("no_such_module"))
    monkeypatch.setitem(extras.MODULES, "plot", ("no_such_module",))
    assert extras.lacking("plot") == ""
