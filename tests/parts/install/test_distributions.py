"""Both distributions are whole, say what is true, and leave what is installed beside them as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import bare_environment
import pytest
from bare_environment import Distributions
from helpers import ROOT, beside_python
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

pytestmark = pytest.mark.integration

VERSIONS = ("3.11", "3.12", "3.13")
# What a data scientist has.
OTHERS = ("pandas", "numpy>=2", "jupyterlab")
URL = "https://example.org/owner/champion_luigi"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return bare_environment.built(tmp_path_factory.mktemp("distributions"))


def names(folder: Path) -> set[str]:
    """The files below a folder, without what a build leaves there."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("build/") and ".egg-info/" not in name}


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page)


# What is in them


def test_the_source_has_every_file_of_the_checkout(distributions: Distributions) -> None:
    """Tests with their helpers, documentation, luigi.cfg, locks: what the README's commands use."""
    there = names(distributions.source)
    assert there == names(distributions.checkout) | {"PKG-INFO"}
    assert {"luigi.cfg", "docs/tutorial.md", "tests/conftest.py", "tests/helpers.py", "requirements.lock"} <= there


def test_tests_run_in_the_unpacked_source(distributions: Distributions) -> None:
    """Two files that use the helpers, with that source's own package."""
    program = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    program += ["tests/spec/storage/test_paths.py", "tests/spec/base/test_extras.py"]
    environment = {**os.environ, "PYTHONPATH": str(distributions.source)}
    done = subprocess.run(
        program, cwd=distributions.source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    where = [sys.executable, "-P", "-c", "import champion_luigi; print(champion_luigi.__file__)"]
    found = subprocess.run(where, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(distributions.source)


def test_the_wheel_has_the_package_and_nothing_else(distributions: Distributions) -> None:
    """Each file of the package, those that are not Python included, and no tests."""
    with zipfile.ZipFile(distributions.wheel) as wheel:
        there = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert there == {f"champion_luigi/{name}" for name in names(distributions.checkout / "champion_luigi")}


# What they say


def test_the_python_versions_agree_everywhere(distributions: Distributions) -> None:
    """Those that are supported, tested, documented and accepted by `make`."""
    about = distributions.about
    classifiers = about.get_all("Classifier") or []
    assert re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE) == list(VERSIONS)
    supported = SpecifierSet(about["Requires-Python"])
    assert [version for version in ("3.10", *VERSIONS) if supported.contains(version)] == list(VERSIONS)
    first, *others = VERSIONS
    number = f"({first.replace('.', ', ')})"
    for file, text in {
        ".ci/run": f"for version in {' '.join(others)}; do",
        "Makefile": f"sys.version_info < {number}",
        "README.md": f"Python {first}, {' or '.join([', '.join(others[:-1]), others[-1]])}",
        "docs/how-to/install.md": f"Python {first}, {' or '.join([', '.join(others[:-1]), others[-1]])}",
        "pyproject.toml": f'target-version = "py{first.replace(".", "")}"',
        "setup.cfg": f"python_version = {first}",
    }.items():
        assert text in (ROOT / file).read_text(encoding="utf-8"), file
    [image] = re.findall(r"^FROM python:([\d.]+)-", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert image in VERSIONS


def test_the_page_on_an_index_has_no_link_into_nothing(distributions: Distributions) -> None:
    """Without an address of the project, links and pictures of the README are words with the file's name."""
    page = distributions.about["Description"]
    assert [target for target in links(page) if not target.startswith("https://")] == []
    assert "`docs/README.md`" in page
    assert distributions.about["Keywords"].count(",") > 3


def test_the_page_on_an_index_leads_to_the_project(tmp_path: Path) -> None:
    """With its address, each link and picture of the README, and the links beside the page."""
    about = bare_environment.built(tmp_path, PROJECT_URL=URL + "/").about
    page = about["Description"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target, found in zip(links(readme), links(page), strict=True):
        kind = "raw" if target.endswith(".png") else "blob"
        file = f"README.md{target}" if target.startswith("#") else target
        assert found == (target if target.startswith("https://") else f"{URL}/{kind}/HEAD/{file}")
    assert about.get_all("Project-URL") == [
        f"Source, {URL}",
        f"Documentation, {URL}/blob/HEAD/docs/README.md",
        f"Changelog, {URL}/blob/HEAD/CHANGELOG.md",
    ]


# Beside others


def uv(*arguments: str) -> str:
    """What uv says."""
    done = subprocess.run([beside_python("uv"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def installing(python: Path, what: str, *options: str) -> set[str]:
    """Install into an environment; the distributions that this removes, or replaces by another version."""
    said = uv("pip", "install", "--python", str(python), what, *options)
    assert " + champion-luigi" in said
    return set(re.findall(r"^ - ([\w.-]+)==", said, re.MULTILINE))


def test_what_is_installed_beside_it_stays_as_it_is(tmp_path: Path, distributions: Distributions) -> None:
    """In a new environment with pandas, numpy 2 and jupyterlab, where the versions are in this package's hands.

    Luigi, for one, has an upper limit for python-dateutil.
    """
    python = tmp_path / "venv" / "bin" / "python"
    uv("venv", "--python", sys.executable, str(tmp_path / "venv"))
    uv("pip", "install", "--python", str(python), *OTHERS)
    ours = {Requirement(each).name for each in distributions.about.get_all("Requires-Dist") or []}
    ours |= {Requirement(each).name for each in OTHERS}
    with_extras = f"{distributions.wheel}[embedded,luigid,pandas,plot]"
    assert not installing(python, with_extras, "--dry-run") & ours
    assert not installing(python, str(distributions.wheel)) & ours
    script = "from champion_luigi import lake; print(lake.scan('.').collect().height)"
    done = subprocess.run([python, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "0\n", done.stderr
