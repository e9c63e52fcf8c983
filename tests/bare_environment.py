"""The distributions of this checkout, and an environment that has what the package requires and no extra."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from helpers import ROOT
from packaging.requirements import Requirement

# What no checkout has and some folders have: results of builds, and data.
_MADE = (ROOT / ".gitignore").read_text(encoding="utf-8").split()


@dataclass(frozen=True)
class Distributions:
    """The source distribution, its unpacked folder, and the wheel that was built there."""

    checkout: Path
    sdist: Path
    source: Path
    wheel: Path

    @property
    def about(self) -> metadata.PackageMetadata:
        """The wheel's metadata."""
        [about] = [path for path in zipfile.Path(self.wheel).iterdir() if path.name.endswith(".dist-info")]
        return metadata.PathDistribution(about).metadata


def built(folder: Path, **environment: str) -> Distributions:
    """Both distributions, made in a new folder: the source from a copy of the checkout, the wheel from the source."""
    checkout, made = folder / "checkout", folder / "made"
    made.mkdir(parents=True)
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".git", *(each.strip("/") for each in _MADE)))
    sdist = made / _build("sdist", checkout, made, environment)
    subprocess.run(["tar", "-xzf", sdist, "-C", folder], check=True)
    source = folder / sdist.name.removesuffix(".tar.gz")
    return Distributions(checkout, sdist, source, made / _build("wheel", source, made, environment))


def _build(kind: str, source: Path, made: Path, environment: dict[str, str]) -> str:
    """Build as pip does, with the setuptools of this environment; the name of the file."""
    program = f"from setuptools import build_meta; print('made', build_meta.build_{kind}({str(made)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, env=environment or None, capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition("made ")[2].strip()


def required(about: metadata.PackageMetadata) -> dict[str, metadata.Distribution]:
    """The installed distributions that a distribution requires without an extra, and those that they require."""
    found: dict[str, metadata.Distribution] = {}
    left = list(_requirements(about.get_all("Requires-Dist") or [], frozenset()))
    while left:
        name, extras = left.pop()
        distribution = metadata.distribution(name)
        key = distribution.metadata["Name"].lower()
        if key in found and not extras:
            continue
        found[key] = distribution
        left += _requirements(distribution.requires or [], extras)
    return found


def _requirements(lines: list[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for each in map(Requirement, lines):
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield each.name, frozenset(each.extras)


def files(distribution: metadata.Distribution) -> dict[str, Path]:
    """The files of an installed distribution below site-packages, without bytecode: their names, and their places."""
    named = {str(file): Path(str(file.locate())) for file in distribution.files or [] if file.suffix != ".pyc"}
    return {name: path for name, path in named.items() if not name.startswith("..")}


def python_without_extras(folder: Path, distributions: Distributions) -> Path:
    """The Python of a new environment with the wheel and what it requires, of the versions that this one has."""
    venv.create(folder, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(distributions.wheel) as wheel:
        wheel.extractall(packages)
    for distribution in required(distributions.about).values():
        for name, path in files(distribution).items():
            link = packages / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder / "bin" / "python"
