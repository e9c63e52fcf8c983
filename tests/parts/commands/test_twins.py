"""Each command from Python: a function of the same name, with the same choices and the same answer."""

from __future__ import annotations

import inspect
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType

import click
import pytest
from helpers import champion_here, run, wait_for
from mlflow_server import free_port
from simulated_server import SimulatedArchive

import champion_luigi
from champion_luigi import (
    FillBhavcopy,
    adjust,
    clean,
    ddl,
    demo,
    doctor,
    fill,
    report,
    schedule,
    status,
    track_ui,
    verify,
    verify_adjustments,
    verify_sources,
)
from champion_luigi.base import durable, locks
from champion_luigi.base.errors import ChampionError, NotMade, SettingsError, StorageError
from champion_luigi.commands import cli
from champion_luigi.commands.demo import DAYS
from champion_luigi.config import settings, wiring
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.tracking import journal, presence
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

# How a result is shown or stored is its caller's business here; `browser` opens a page.
SHOWN = {"as_json", "form", "output", "plot", "write", "file", "browser", "dry_run", "wait"}
# The options of commands that are parameters of another name, or other functions.
OTHERWISE: dict[str, object] = {
    "datasets": "dataset",
    "query": "statement",
    "most": "days",
    "stop": "end",
    "day": "start",
    "last_task": "lake_only",
    "repairs": "repair",
    "with_sources": verify_sources,
    "of_adjustments": verify_adjustments,
    "scheduler_host": FillBhavcopy,
    "scheduler_port": FillBhavcopy,
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words joined with underscores."""
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from leaves(found, (*path, name))
    else:
        yield "_".join(path), command


@pytest.mark.parametrize(("name", "command"), list(leaves(cli.main)))
def test_each_command_has_a_function_with_its_choices(name: str, command: click.Command) -> None:
    """A command that comes without one fails here, and so does an option."""
    assert name in champion_luigi.__all__
    function = getattr(champion_luigi, name)
    if isinstance(function, ModuleType):
        return  # `sessions`, whose functions answer what its options ask
    parameters = inspect.signature(function).parameters
    for option in command.params:
        assert option.name is not None
        other = OTHERWISE.get(option.name, option.name)
        assert option.name in SHOWN or other in parameters or other in vars(champion_luigi).values(), option.name


@pytest.fixture
def filled(archive: SimulatedArchive) -> SimulatedArchive:
    fill("2024-01-01", "2024-01-03", dataset=["equity", "corporate_actions"])
    return archive


def said(*arguments: str, code: int = 0) -> str:
    """What a command prints."""
    done = champion_here(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_doctor_finds_what_the_command_prints(archive: SimulatedArchive, tmp_path: Path) -> None:
    """By the check's name; a lake in a file is a problem in both."""
    (tmp_path / "lake").write_text("no folder")
    assert archive.url
    findings = doctor()
    assert findings["lake folder"].status == "PROBLEM"
    assert findings["lake folder"].todo
    printed = json.loads(said("doctor", "--json", code=30))
    assert [(each["check"], each["status"]) for each in printed] == [
        (name, finding.status) for name, finding in findings.items()
    ]


@pytest.mark.usefixtures("filled")
def test_report_writes_the_page_that_the_command_writes(tmp_path: Path) -> None:
    """Into a folder that it makes; it returns the counts that the command prints."""
    made = report(tmp_path / "pages" / "equity.html", start="2024-01-01", end="2024-01-03")
    assert (made.start, made.end, made.loaded, made.due) == ("2024-01-01", "2024-01-03", 3, 3)
    assert made.file.stat().st_size == made.bytes
    other = tmp_path / "other.html"
    line = said("report", "--output", str(other), "--start", "2024-01-01", "--end", "2024-01-03")
    assert "2024-01-01 to 2024-01-03, 3 of 3 sessions loaded" in line
    with pytest.raises(SettingsError, match="start 2024-01-03 is after end 2024-01-01"):
        report(other, start="2024-01-03", end="2024-01-01")
    with pytest.raises(SettingsError, match="output is no file"):
        report("")
    with pytest.raises(StorageError, match="the file could not be written: File exists"):
        report(other / "page.html")


@pytest.mark.usefixtures("filled")
def test_clean_removes_what_it_named(tmp_path: Path) -> None:
    """A dry run changes nothing; the next one removes the leftover, and then there is nothing left."""
    leftover = tmp_path / "lake" / f"{durable.LEFTOVER_PREFIX}day.parquet-1-0123abcd"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    young = leftover.with_name(leftover.name.replace("day", "other"))
    young.write_bytes(b"half")
    own = journal.presence_file(tmp_path / "journal", presence.PROCESS)
    for dry_run in (True, False):
        assert locks.is_locked(own)
        found = clean(dry_run=dry_run)
        assert [(each.path, each.bytes) for each in found.removed] == [(leftover, 4)]
        assert [each.path for each in found.kept] == [young]
        assert leftover.exists() == dry_run
    assert clean(intermediates=True).removed == []
    with pytest.raises(SettingsError, match="lake_only needs intermediates"):
        clean(lake_only=True)


def test_ddl_and_schedule_give_what_the_commands_print() -> None:
    """Statement by statement, and file by file."""
    assert said("ddl", "--dataset", "delivery") == "\n\n".join(f"{each};" for each in ddl("delivery")) + "\n"
    assert said("schedule", "--cron") == schedule("cron")["crontab"]
    units = schedule("systemd", ["equity", "index_close"])
    assert said("schedule", "--systemd", "--dataset", "equity,index_close") == "".join(
        f"# {name}\n{text}\n" for name, text in units.items()
    )
    with pytest.raises(SettingsError, match="cron or systemd"):
        schedule("launchd")
    with pytest.raises(SettingsError, match="shards cannot be used"):
        ddl(shards=0)


@pytest.mark.usefixtures("filled")
def test_adjust_makes_and_loads_what_is_due() -> None:
    """And `verify` finds what the warehouse then loses."""
    adjust()
    state = adjust_tasks.state()
    assert state
    assert (state["due"], state["loaded"]) == (False, True)
    assert verify().troubles == []
    opened.shared(wiring.warehouse_place()).command("DROP VIEW champion_market.equity_adjusted")
    opened.close_shared()
    [trouble] = verify().troubles
    assert "are not those that were loaded" in trouble
    assert verify(repair=True).troubles == []
    assert verify().troubles == []


@pytest.mark.usefixtures("filled")
def test_verify_compares_with_other_sources_and_with_the_exchange() -> None:
    """As the command's two options do."""
    compared = verify_sources(start="2024-01-01", end="2024-01-02")
    assert [vars(each) | {"date": str(each.date), "examples": list(each.examples)} for each in compared] == json.loads(
        said("verify", "--sources", "--start", "2024-01-01", "--end", "2024-01-02", "--json")
    )["sources"]
    checked = verify_adjustments()
    assert checked.first == date(2024, 1, 1)
    assert checked.differences == 0


def test_without_adjustments_there_is_nothing_to_verify() -> None:
    """The error says how to make them."""
    with pytest.raises(NotMade):
        verify_adjustments()


def test_the_demo_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads its days, whatever the settings name, and a user's own folder stays as it was."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "nowhere.invalid")
    monkeypatch.setenv("CHAMPION_RAW_DIR", str(tmp_path / "elsewhere"))
    folder = demo(tmp_path / "demo")
    assert folder == tmp_path / "demo"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    monkeypatch.delenv("CLICKHOUSE_HOST")
    monkeypatch.delenv("CHAMPION_RAW_DIR")
    with settings.overridden({"data_dir": str(folder)}):
        assert len(status(start=DAYS[0], end=DAYS[1]).of("loaded")) == 2


def test_a_demo_that_fails_says_why(tmp_path: Path) -> None:
    """And the settings are the user's own again."""
    (tmp_path / "demo").write_text("no folder")
    before = settings.data_dir()
    with pytest.raises(
        ChampionError, match=r"not loaded: 2024-01-19, .*: the file could not be written: Not a directory"
    ):
        demo(tmp_path / "demo")
    assert settings.data_dir() == before


def test_the_journal_is_delivered_and_shown(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`track_flush` counts the runs; a second one finds none. `track_ui` serves them until it is terminated."""
    assert archive.url
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    fill("2024-01-01", "2024-01-02")
    # In a process of its own: MLflow changes much in the one that imports it.
    program = "from champion_luigi import track_flush; print(track_flush(), track_flush().runs)"
    done = run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"Flushed(runs=3, still_running=0, store='sqlite:///{tmp_path}/mlflow.db') 0"
    port = free_port()
    with track_ui(port=port) as server:
        wait_for(lambda: _answers(port), "MLflow's pages")
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1 cannot be used"):
            track_ui(port=port)
        server.terminate()
    with pytest.raises(SettingsError, match=r"port 99999 of 127\.0\.0\.1 cannot be used: .*0-65535"):
        track_ui(port=99999)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.invalid")
    with pytest.raises(SettingsError, match="on the configured server"):
        track_ui()


def test_a_flush_agrees_with_a_carrier_that_has_delivered(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's own carrier has the journal for as long as the notebook lives: nothing is left to send."""
    assert archive.url
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    program = (
        "import sys; from champion_luigi import fill, track_flush; fill('2024-01-01', '2024-01-02', lake_only=True); "
        "print(track_flush()); print('mlflow' in sys.modules)"
    )
    done = run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    flushed, has_imported = done.stdout.splitlines()
    assert flushed.startswith("Flushed(runs=")
    assert f"still_running=0, store='sqlite:///{tmp_path}" in flushed
    assert has_imported == "False"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
