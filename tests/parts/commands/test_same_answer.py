"""One word, one meaning: the same sentence and exit code from `luigi` and `champion`, and one for every mistake."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from helpers import HOLIDAY, UDIFF_DAY, beside_python, champion_here, run, run_champion, run_luigi, wait_for
from luigid_server import luigid
from simulated_server import SimulatedArchive

from champion_luigi.exchange import sessions
from champion_luigi.exchange.sessions import INDIA

pytestmark = pytest.mark.integration

TODAY = datetime.now(UTC).astimezone(INDIA).date()
NO_SESSION = "nothing to do, there is no session: "
SUNDAY = date(2024, 1, 21)
LONG_AGO = date(1990, 1, 1)
NEXT_SESSION = sessions.next_after(TODAY)
FAR = date(2031, 3, 3)


def not_out(day: date) -> str:
    return f"not published yet, expected from {day} 19:00 India time: try again then"


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    monkeypatch.setenv("CHAMPION_TRACKING", "off")


@pytest.mark.parametrize(
    ("day", "sentence", "code"),
    [
        (HOLIDAY, NO_SESSION + sessions.describe(HOLIDAY), 0),
        (SUNDAY, f"{NO_SESSION}Sunday, no session", 0),
        (LONG_AGO, f"{NO_SESSION}before the archive's first day 1994-11-03", 0),
        (NEXT_SESSION, not_out(NEXT_SESSION), 20),
        (FAR, not_out(FAR), 20),
    ],
    ids=["holiday", "weekend", "1990", "tomorrow", "2031"],
)
def test_a_date_without_a_file_has_one_answer(day: date, sentence: str, code: int, tmp_path: Path) -> None:
    """Whoever is asked, by whatever name. Nothing is made, and no traceback or summary is printed."""
    asked = [
        run_luigi("LoadClickHouse", "--date", str(day)),
        run_luigi("WriteParquet", "--date", str(day), "--workers", "2"),
        run_luigi("FillBhavcopy", "--start", str(day), "--end", str(day)),
        run_champion("fill", "--date", str(day)),
        run_champion("fill", "--start", str(day), "--stop", str(day + timedelta(days=1))),
    ]
    assert [each.returncode for each in asked] == [code] * len(asked)
    for each in asked:
        *before, last = each.stderr.splitlines()
        assert last.removeprefix("INFO: ").removeprefix("WARNING: ") == f"{day}: {sentence}"
        # A warning that the calendar ends before that date, for 2031.
        assert not [line for line in before if not line.startswith("the session table ends on ")]
    assert not (tmp_path / "raw").exists()


def test_the_visualiser_shows_no_such_date_as_failed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A closed day is done; the chain of a day that is to come waits for it, and nothing of it is red."""
    with luigid(tmp_path_factory.mktemp("luigid")) as port:
        for day, code in ((HOLIDAY, 0), (NEXT_SESSION, 20)):
            arguments = ("LoadClickHouse", "--date", str(day), "--scheduler-port", str(port))
            command = [beside_python("luigi"), "--module", "champion_luigi", *arguments]
            assert run(command).returncode == code
        lists = {
            status: _tasks(port, status) for status in ("DONE", "PENDING", "RUNNING", "FAILED", "DISABLED", "UNKNOWN")
        }
    assert [name.split("_")[0] for name in lists.pop("DONE")] == ["LoadClickHouse"]
    assert len(lists.pop("PENDING")) == 6
    assert not any(lists.values())


def test_a_command_whose_tasks_luigid_gave_to_another_says_so(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence, with a code of its own; the same command does what is left once the other has ended."""
    with SimulatedArchive(latency=5) as archive, luigid(tmp_path_factory.mktemp("luigid")) as port:
        monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url)
        arguments = ("LoadClickHouse", "--date", str(UDIFF_DAY), "--scheduler-port", str(port))
        command = [beside_python("luigi"), "--module", "champion_luigi", *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
            wait_for(lambda: len(archive.requests) > 0, "the first command's request")
            second = run(command)
            first.communicate(timeout=120)
        assert (first.returncode, second.returncode) == (0, 10)
        assert second.stderr == (
            "INFO: luigid gave tasks to another worker, which runs them: run the same again when it has ended\n"
        )
        assert run(command).returncode == 0


def _tasks(port: int, status: str) -> list[str]:
    arguments = urllib.parse.quote(json.dumps({"status": status, "upstream_status": ""}))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/task_list?data={arguments}") as answer:
        return sorted(json.load(answer)["response"])


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (
            ("LoadClickHouse", "--date", "2024-13-01"),
            "ERROR: --date cannot be used; expected a date, YYYY-MM-DD; found '2024-13-01'",
            40,
        ),
        (
            ("LoadClickHouse", "--dataset", "equities"),
            "ERROR: --dataset cannot be used; expected corporate_actions, delivery, equity, index_close, market_cap; "
            "found 'equities'",
            40,
        ),
        (
            ("FillBhavcopy", "--task-limit", "few"),
            "ERROR: --task-limit cannot be used; expected a whole number; found 'few'",
            40,
        ),
        (
            ("FillBhavcopy", "--of", "WriteParket"),
            "ERROR: there is no task WriteParket: did you mean WriteParquet?",
            40,
        ),
        (("LoadClickhouse",), "luigi: there is no task LoadClickhouse: did you mean LoadClickHouse?", 40),
        (
            ("FillBhavcopy", "--since", "2024-01-01"),
            "luigi: FillBhavcopy has no option --since: did you mean --start?",
            2,
        ),
        (
            ("LoadClickHouse", "--day", "2024-01-15"),
            "luigi: LoadClickHouse has no option --day: did you mean --date?",
            2,
        ),
        (
            ("FillBhavcopy", "--start", "2024-02-01", "--end", "2024-01-01"),
            "ERROR: --start 2024-02-01 is after --end 2024-01-01",
            40,
        ),
    ],
)
def test_a_mistake_in_a_luigi_command_is_one_sentence(arguments: tuple[str, ...], sentence: str, code: int) -> None:
    """It names what was typed and what is expected."""
    done = run_luigi(*arguments)
    assert done.stderr.splitlines() == [sentence]
    assert done.returncode == code


def test_a_scheduler_that_does_not_answer_is_said_at_once_and_in_the_end(tmp_path: Path) -> None:
    """By `luigi` and by `champion`, without tracebacks; Luigi's own settings for retries count."""
    (tmp_path / "luigi.cfg").write_text("[core]\nrpc_retry_wait = 0\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    command = [beside_python("luigi"), "--module", "champion_luigi", "LoadClickHouse", "--date", str(UDIFF_DAY)]
    done = run([*command, "--scheduler-port", port])
    first = f"WARNING: the central scheduler does not answer yet [http://localhost:{port}]"
    sentence = "the central scheduler does not answer. Start luigid, or add --local-scheduler, then run the same again"
    assert (done.stderr.splitlines(), done.returncode) == ([first, f"ERROR: {sentence}"], 40)
    fill = ("fill", "--date", str(UDIFF_DAY), "--scheduler-host", "localhost", "--scheduler-port", port)
    done = run_champion(*fill)
    begun, last = done.stderr.splitlines()
    assert (begun, done.returncode) == (first, 40)
    assert last.startswith(f"champion fill: the central scheduler does not answer [localhost:{port}]. Start luigid")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("fill", "--from", "2024-01-01"), "Did you mean --start?"),
        (("fill", "--since", "2024-01-01"), "Did you mean --start?"),
        (("fill", "--until", "2024-01-01"), "Did you mean --end or --stop?"),
        (("fill", "--to", "2024-01-01"), "Did you mean --end or --stop?"),
        (("fill", "--jobs", "3"), "Did you mean --workers?"),
        (("status", "--stop", "2024-01-01"), "Did you mean --end?"),
        (("status", "--strat", "2024-01-01"), "Did you mean --start?"),
        (("prices", "RELIANCE", "--from", "2024-01-01"), "Did you mean --start?"),
        (("track", "ui", "--prot", "3"), "Did you mean --port?"),
    ],
)
def test_an_unknown_option_suggests_the_right_one(arguments: tuple[str, ...], hint: str) -> None:
    """By meaning first, then by spelling."""
    done = champion_here(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(hint)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("load", "fill"), ("query", "sql"), ("statsu", "status"), ("calendar", "sessions"), ("cron", "schedule")],
)
def test_an_unknown_command_suggests_the_right_one(name: str, hint: str) -> None:
    """By meaning first, then by spelling."""
    done = champion_here(name)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: There is no command {name!r}. Did you mean {hint}?"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start", "2024-01-02", "--end", "2024-01-03", "--stop", "2024-01-04"), "--start with --stop"),
        (("--date", "2024-01-02", "--start", "2024-01-01"), "give --date, or --start"),
        (("--start", "2024-01-03", "--end", "2024-01-02"), "--start 2024-01-03 is after --end 2024-01-02"),
        (("--start", "2024-01-03", "--stop", "2024-01-02"), "--start 2024-01-03 is after --stop 2024-01-02"),
    ],
)
def test_a_fill_takes_one_end_of_its_range(arguments: tuple[str, ...], words: str) -> None:
    """--end is included, as in every command; --stop, which was first, is not."""
    done = champion_here("fill", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize("last", [("--end", "2024-01-03"), ("--stop", "2024-01-04")])
def test_the_end_of_a_fill_is_included_and_its_stop_is_not(last: tuple[str, str]) -> None:
    """They name one range."""
    done = champion_here("fill", "--start", "2024-01-02", *last, "--dry-run")
    assert done.stdout.startswith("2 days would run (LoadClickHouse, 2024-01-02 to 2024-01-03):")
