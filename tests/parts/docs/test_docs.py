"""The documentation is true: what it names exists, its links lead somewhere, its examples run."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import campaign
import click
import luigi
import pytest
from conftest import environment_variables
from examples import Block, as_a_reader, blocks, run
from helpers import ROOT, wait_for

import champion_luigi
from champion_luigi.commands.cli import main
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
PYTHON = ROOT / "docs" / "how-to" / "python.md"
TRADING_DAYS = ROOT / "docs" / "how-to" / "trading-days.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BIN = Path(sys.executable).parent

# Examples of the README that no test can run, by what they begin with, and why.
NOT_RUN = {
    "make demo": "makes an environment of its own",
    "pip install": "another environment's part",
}

# Variables of other programs that the pages speak of.
OF_OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_ALLOW_HTTP",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ENDPOINT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BASE_URL",
    "CLICKHOUSE_DB",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def command_lines(page: Path) -> list[list[str]]:
    """Every `champion` and `luigi` command that a page shows, in examples and in sentences, as words."""
    text = page.read_text(encoding="utf-8")
    examples = "\n".join(block.text for block in blocks(page) if block.language in ("sh", ""))
    examples = re.sub(r'"\n.*?"', '"..."', examples.replace("\\\n", " "), flags=re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    found = []
    for line in [*examples.splitlines(), *spans]:
        for part in re.split(r"&&|\|\||[|;>]", re.sub(r"\s#.*", "", line)):
            start = re.search(r"(?:^|[\s/])((?:champion|luigi) +[a-z-].*)", part)
            if start and not re.search(r"\.\.\.|COMMAND|^pip ", start[1].partition("--")[0]):
                found.append(shlex.split(start[1].replace("'", "").replace('"', "")))
    return found


def click_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words call, and the words after it."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def options_of(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][a-z-]*(=.*)?", word)}


def luigi_options(task: str) -> set[str]:
    """The options that the luigi command takes for a task of the package."""
    found = {"module", "help", "help-all", *(name for name, _ in getattr(champion_luigi, task).get_params())}
    found |= {name for name, _ in luigi.interface.core.get_params()}
    found |= {f"{section.__name__}-{name}" for section in settings.SECTIONS for name, _ in section.get_params()}
    return {f"--{name.replace('_', '-')}" for name in found}


def reference_tool() -> ModuleType:
    """tools/write_reference.py."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        return importlib.import_module("write_reference")
    finally:
        sys.path.remove(str(ROOT / "tools"))


# What the pages name


@every_page
def test_every_champion_command_and_option_exists(page: Path) -> None:
    """An example that cannot be run is worse than none."""
    for words in command_lines(page):
        if words[0] != "champion":
            continue
        command, rest = click_command(words[1:])
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        assert options_of(rest) <= known | ({"--version"} if command is main else set()), words


@every_page
def test_every_luigi_task_and_option_exists(page: Path) -> None:
    """The same for what Luigi runs."""
    for words in command_lines(page):
        if words[:2] != ["luigi", "--module"] or len(words) < 4:
            continue
        assert words[2] == "champion_luigi"
        assert words[3] in champion_luigi.__all__, words
        assert options_of(words) <= luigi_options(words[3]), words


@every_page
def test_every_setting_exists(page: Path) -> None:
    """Variables and places in luigi.cfg are those that the package reads."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:CHAMPION|CLICKHOUSE|NSE|MLFLOW)_[A-Z_]*[A-Z]|DATA_DIR)\b", text))
    in_compose = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert named <= environment_variables() | OF_OTHERS | in_compose
    places = {f"[{section.__name__}] {name}" for section in settings.SECTIONS for name, _ in section.get_params()}
    named = set(re.findall(r"`(\[(?:champion|clickhouse|mlflow)\] \w+)`", text))
    assert named <= places | {"[clickhouse] password"}


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file of the checkout, and to a heading in it where one is named."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made of the words."""
    named = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in named}


@every_page
def test_no_page_has_a_path_of_somebodys_machine(page: Path) -> None:
    """Examples work wherever they are tried."""
    assert re.findall(r"(?:/home/|/root/|/tmp/|/Users/|/work/)\S*", page.read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_the_index() -> None:
    """A page that nobody finds is none."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / name).resolve() for name in re.findall(r"\]\(([^)#]+)\)", index.read_text("utf-8"))}
    assert set(PAGES) - {index} <= linked


@pytest.mark.parametrize("name", sorted(main.list_commands(click.Context(main))))
def test_every_command_is_on_the_page_of_commands(name: str) -> None:
    """The page of commands is complete."""
    assert f"## champion {name}" in (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


def test_the_reference_is_what_the_code_says() -> None:
    """Pages under docs/reference/ are made from the code, none is left over, and none is made by hand."""
    tool: Any = reference_tool()
    made = {path: text for path, text in tool.made_files().items() if path.parent == tool.REFERENCE}
    there = {path: path.read_text(encoding="utf-8") for path in tool.REFERENCE.glob("*.md")}
    assert sorted(there) == sorted(made)
    assert [path.name for path in made if there[path] != made[path]] == [], "run python tools/write_reference.py"


# Examples


# The tutorial fills a year. Its last month tells the same, but for what these texts begin.
YEAR, MONTH = "--start 2024-01-01 --stop 2025-01-01", "--start 2024-12-02 --stop 2025-01-01"
OF_THE_YEAR = {
    "...\n248 of 248 days",
    "symbol     highest",
    "month       symbol",
    "ex_date     symbol",
    "┌─────────┬────────┬",
    "...\n│ 2024-12-01 ┆",
}


def shown(block: Block) -> list[str]:
    """The lines of a result, without the dots that mark where it is cut."""
    return [line.removesuffix("...").rstrip() for line in block.text.splitlines()]


@pytest.mark.faults
@pytest.mark.integration
def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """Its examples run in their order, and print what stands below them."""
    environment = as_a_reader()
    output, left_out = "", set()
    for block in blocks(TUTORIAL):
        needs_year = {start for start in OF_THE_YEAR if block.text.startswith(start)}
        left_out |= needs_year
        if block.language == "text":
            expected = [] if needs_year and not campaign.IS_WHOLE else shown(block)
            assert [line for line in expected if line not in output] == [], output
        elif not block.not_run:
            text = block.text if campaign.IS_WHOLE else block.text.replace(YEAR, MONTH)
            output = run(replace(block, text=text), tmp_path, environment)
    assert left_out == OF_THE_YEAR, "a text that is listed here is gone from the tutorial"
    assert {path.name for path in tmp_path.iterdir()} <= {"tutorial"}, "an example writes elsewhere"
    journal = (tmp_path / "tutorial" / "journal").glob("*.jsonl")
    events = [json.loads(line) for file in journal for line in file.read_text(encoding="utf-8").splitlines()]
    described = (ROOT / "docs" / "reference" / "journal.md").read_text(encoding="utf-8")
    assert {f"`{name}`" for record in events for name in (*record, record["event"])} <= set(
        re.findall(r"`\w+`", described)
    )


@pytest.mark.integration
def test_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    """All but those that say why not, on the simulated exchange; they print what stands below them."""
    environment = as_a_reader() | {"NSE_ARCHIVE_URL": "simulated:"}
    output, left_out, texts = "", set(), 0
    for block in blocks(README):
        reasons = {start for start in NOT_RUN if block.text.startswith(start)}
        left_out |= reasons
        if block.language == "text":
            assert [line for line in block.text.splitlines() if line not in output] == [], output
            texts += 1
        elif not (reasons or block.not_run):
            output = run(block, tmp_path, environment)
    assert texts == 2
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert left_out == set(NOT_RUN), "an example that is listed here is gone from the README"


def test_the_readme_can_be_read_in_one_go() -> None:
    """What belongs in the reference is only there."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert not any("made by tools" in line and "data sets" not in line for line in lines)


@pytest.mark.integration
def test_the_examples_of_the_trading_days_run(tmp_path: Path) -> None:
    """And print what stands below them."""
    output = ""
    for block in blocks(TRADING_DAYS):
        if block.language == "text":
            assert [line for line in block.text.splitlines() if line not in output] == [], output
        else:
            output = run(block, tmp_path, as_a_reader())
    assert b"BEGIN:VEVENT" in (tmp_path / "nse.ics").read_bytes()


@pytest.mark.integration
def test_the_examples_of_the_page_about_python_run(tmp_path: Path) -> None:
    """One after the other, as in a notebook, on the simulated exchange."""
    for block in blocks(PYTHON):
        output = run(block, tmp_path, as_a_reader() | {"NSE_ARCHIVE_URL": "simulated:"})
        if "status(" in block.text:
            assert output.splitlines()[-2:] == ["15 days, 37701 rows", "[]"]
        elif "nifty" in block.text:
            assert re.search(r"┆ 0\.\d+ +┆ 2\d{4}\.\d", output), "a delivery, and the index, beside the price"
        elif "pandas" in block.text:
            assert output.split() == ["object", str(len(EQUITY.columns))]
        assert "Warning" not in output


# Containers, as far as there is no engine to start them


every_compose = pytest.mark.parametrize("name", ["compose.yaml", "compose.cluster.yaml"])


def compose(name: str) -> dict[str, Any]:
    yaml: Any = importlib.import_module("yaml")
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return document


def services(name: str) -> dict[str, dict[str, Any]]:
    """The services of a file of them by name."""
    found: dict[str, dict[str, Any]] = compose(name)["services"]
    return found


def example_environment() -> dict[str, str]:
    """What .env.example sets."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@every_compose
def test_every_variable_of_compose_has_an_example(name: str) -> None:
    """`.env.example` is complete, and names nothing that is not used."""
    used = set(re.findall(r"\$\{(\w+)", (ROOT / name).read_text(encoding="utf-8")))
    assert used == set(example_environment())


def test_the_example_environment_holds_no_secret() -> None:
    """A password that stands in an example is nobody's password and everybody's."""
    assert {name: text for name, text in example_environment().items() if "PASSWORD" in name and text} == {}


@every_compose
def test_what_compose_sets_is_what_the_worker_reads(name: str) -> None:
    """A misspelt variable would be passed over silently."""
    assert set(services(name)["worker"]["environment"]) <= environment_variables()


@every_compose
def test_compose_pins_every_image_and_listens_on_loopback_alone(name: str) -> None:
    """Nothing comes from `latest`, and nothing without a password is open to others."""
    for each, service in services(name).items():
        assert re.search(r":\d+(\.\d+)+$", service["image"]), each
        assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == [], each


@every_compose
def test_compose_waits_for_services_that_say_when_they_are_well(name: str) -> None:
    """Each that stays up has a health check, the worker waits for it, and every volume is declared."""
    found = services(name)
    staying = {each for each, service in found.items() if "profiles" not in service}
    assert [each for each in staying if "healthcheck" not in found[each]] == []
    assert set(found["worker"]["depends_on"]) == staying
    mounted = {volume.partition(":")[0] for service in found.values() for volume in service["volumes"]}
    assert mounted == set(compose(name)["volumes"])


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip()]


def copied() -> Iterator[str]:
    """What the Dockerfile copies."""
    for instruction, text in dockerfile():
        if instruction == "COPY":
            yield from text.split()[:-1]


def test_the_image_installs_by_hash_and_runs_without_rights() -> None:
    """What was tested is what runs, and not as root."""
    installs = [text for instruction, text in dockerfile() if instruction == "RUN" and "pip install" in text]
    assert all("--require-hashes" in text or "--no-deps" in text for text in installs)
    [user] = [text for instruction, text in dockerfile() if instruction == "USER"]
    assert user not in ("root", "0")


def test_the_builder_is_sent_what_the_image_copies_and_no_more() -> None:
    """Each path is there, and .dockerignore lets just those through."""
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == {Path(name).name for name in copied()}


@pytest.mark.integration
def test_what_the_image_copies_is_enough_to_install_the_package(tmp_path: Path) -> None:
    """Built from those files alone, it has every file of the package."""
    source, built = tmp_path / "app", tmp_path / "built"
    source.mkdir()
    for name in copied():
        subprocess.run(["cp", "-r", ROOT / name, source], check=True)
    build = [sys.executable, "-c", "from setuptools import setup; setup()", "build", "--build-lib", str(built)]
    ran = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    package = ROOT / "champion_luigi"
    files = {path.relative_to(ROOT) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files == {path.relative_to(built) for path in built.rglob("*") if path.is_file()}


@pytest.mark.integration
def test_luigid_starts_as_in_compose_and_its_health_check_passes(tmp_path: Path) -> None:
    """Its command, on another port and in another folder."""
    service = services("compose.yaml")["luigid"]
    port = str(free_port())

    def here(word: str) -> str:
        return word.replace("/data", str(tmp_path)).replace("0.0.0.0", "127.0.0.1").replace("8082", port)

    program, *arguments = map(here, service["command"])
    _, python, *check = map(here, service["healthcheck"]["test"])
    assert python == "python"
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([BIN / program, *arguments], cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_for(lambda: is_well([sys.executable, *check]), "luigid")
    finally:
        running.terminate()
        running.wait(30)
    assert (tmp_path / "luigid.pickle").exists()


def is_well(check: list[str]) -> bool:
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
