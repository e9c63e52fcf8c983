"""Flows: what the journal's records come to, for one day, for a fill, and in any order of reading and delivery."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.base.stages import STAGE_OF as STAGES
from champion_luigi.tracking.journal import Position
from champion_luigi.tracking.run import Metric, Run
from champion_luigi.tracking.runs import Runs, process_of

Record = dict[str, Any]

DAY = "2024-01-15"
OTHER_DAY = "2024-01-16"
PROCESS = "5c0ffee5"
FILL = f"{PROCESS}.fill"
NOON = datetime(2024, 1, 31, 12, 0, tzinfo=UTC)
JANUARY, FEBRUARY = "2024-01.jsonl", "2024-02.jsonl"
SCRAPE, PARSE, NORMALIZE, WRITE, LOAD = STAGES
SOURCE = {
    "archive_file": "cm15JAN2024bhav.csv.zip",
    "archive_sha256": "ab12",
    "layout": "legacy",
    "worker": "Worker(1)",
}
FACTS: dict[str, Record] = {
    SCRAPE: SOURCE,
    PARSE: {"raw_rows_parsed": 30, **SOURCE},
    NORMALIZE: {
        "normalized_rows": 28,
        "filtered_rows": 2,
        "warnings": {"close_outside_low_high": 1, "high_below_low": 0, "dummy_isin": 3},
        **SOURCE,
    },
    WRITE: {"rows_written": 28, "parquet_bytes": 2_621_440, **SOURCE},
    LOAD: {"rows_loaded": 28, "clickhouse_table": "champion_market.normalized_equity_ohlc", **SOURCE},
}


# Records, as the pipeline journals them


def at(second: float) -> str:
    """A time as it stands in the journal."""
    return (NOON + timedelta(seconds=second)).isoformat(timespec="milliseconds")


def ms(second: float) -> int:
    """The same time as MLflow has it."""
    return round((NOON.timestamp() + second) * 1000)


def record(event: str, second: float, *, execution: str = PROCESS, **what: Any) -> Record:
    return {"time": at(second), "pid": 7, "event": event, "execution": execution, "host": "mill", **what}


def start(task: str, second: float, *, last: str = LOAD, date: str = DAY, execution: str = PROCESS) -> Record:
    table = {"clickhouse_table": "champion_market.normalized_equity_ohlc"} if last == LOAD else {}
    what = {"task": task, "date": date, "last": last, "version": "0.1.0", **table}
    return record("start", second, execution=execution, **what)


def end_of_task(task: str, second: float, *, date: str = DAY, execution: str = PROCESS) -> list[Record]:
    """A success, with the task's time before it."""
    names = {"execution": execution, "task": task, "date": date}
    return [
        record("processing_time", second, seconds=0.9, waited=0.0, **names),
        record("success", second, facts=FACTS[task], **names),
    ]


def work(*tasks: str, begin: float = 0, last: str = LOAD, date: str = DAY, execution: str = PROCESS) -> list[Record]:
    """These tasks, a second each and a second between them."""
    found = []
    for number, task in enumerate(tasks):
        second = begin + 2 * number
        found += [start(task, second, last=last, date=date, execution=execution)]
        found += end_of_task(task, second + 1, date=date, execution=execution)
    return found


def failed(
    task: str, second: float, error: str = "the archive is down", *, event: str = "failure", **what: Any
) -> Record:
    kind = {"error_type": "ArchiveUnreachable", "facts": {}} if event == "failure" else {}
    return record(event, second, **{"task": task, "date": DAY, "error": error, **kind, **what})


def found_complete(task: str, second: float, **what: Any) -> Record:
    return record("found_complete", second, **{"task": task, "date": DAY, **what})


def end(second: float, execution: str = PROCESS) -> Record:
    return {"time": at(second), "pid": 7, "event": "end", "execution": execution}


def progress(**metrics: float) -> dict[str, float]:
    names = ("due", "done", "failed", "closed", "unpublished", "left")
    zero = {f"days_{name}": 0 for name in names} | {"rows": 0, "days_per_second": 0.0}
    return {**zero, **metrics}


def fill_begins(second: float = 0, days_due: int = 2, **what: Any) -> list[Record]:
    ranges = {"delay": 14, "complete.count": 10, "complete.fraction": 0.5}
    return [
        *(
            record("range", second, execution=FILL, name=f"event.tools.range.{name}", value=value)
            for name, value in ranges.items()
        ),
        record(
            "fill_start",
            second,
            **{
                "execution": FILL,
                "of": LOAD,
                "workers": 32,
                "version": "0.1.0",
                "first": "2024-01-02",
                "last": "2024-01-31",
                "days_due": days_due,
                "clickhouse_table": "champion_market.normalized_equity_ohlc",
                **what,
            },
        ),
    ]


def fill_goes_on(second: float, **metrics: float) -> Record:
    return record("fill_progress", second, execution=FILL, metrics=progress(**metrics))


def fill_ends(
    second: float, status: str = "FINISHED", words: str = "success", error: str = "", **metrics: float
) -> list[Record]:
    last = record(
        "fill_end", second, execution=FILL, status=status, words=words, error=error, metrics=progress(**metrics)
    )
    return [last, end(second, FILL)]


def settled(second: float, outcome: str, reason: str, date: str = DAY) -> Record:
    return record("settled", second, execution=FILL, date=date, outcome=outcome, reason=reason)


class Journal:
    """The files of a journal in memory, a hundred bytes a record."""

    def __init__(self) -> None:
        self.lines: list[tuple[Position, Record]] = []

    def write(self, *records: Record, file: str = JANUARY) -> None:
        for each in records:
            begin = max((place.end for place, _ in self.lines if place.file == file), default=0)
            self.lines.append((Position(file, begin, begin + 100), each))

    def read_from(self, offsets: Mapping[str, int]) -> list[tuple[Position, Record]]:
        """The records behind these offsets, a file after the other."""
        found = [line for line in self.lines if line[0].start >= offsets.get(line[0].file, 0)]
        return sorted(found, key=lambda line: (line[0].file, line[0].start))


def book_of(*records: Record) -> Runs:
    """A book that has read these."""
    journal = Journal()
    journal.write(*records)
    return read(journal)


def read(journal: Journal, offsets: Mapping[str, int] | None = None) -> Runs:
    """A new book that has read a journal from some offsets on."""
    book = Runs()
    for place, each in journal.read_from(offsets or {}):
        book.add(place, each)
    return book


def told(*records: Record, gone: Collection[str] = ()) -> list[Run]:
    """What a book that has read these tells."""
    return list(book_of(*records).tell(gone))


def only(*records: Record, gone: Collection[str] = ()) -> Run:
    """The one flow that is told."""
    [flow] = told(*records, gone=gone)
    return flow


def metrics(*flows: Run) -> dict[str, float]:
    """The last value of each metric, where these are told one after the other."""
    return {each.name: each.value for flow in flows for each in flow.metrics}


def deliver(book: Runs, gone: Collection[str] = ()) -> list[Run]:
    """Tell, and deliver all of it."""
    flows = list(book.tell(gone))
    for flow in flows:
        book.delivered(flow)
    return flows


# A good day


def test_a_good_day_has_all_its_metrics() -> None:
    """The time of each task, the counts, the warnings by their rules, the size, and the time of all of it."""
    flow = only(*work(*STAGES))
    assert metrics(flow) == {
        "scrape_duration_seconds": 0.9,
        "parse_duration_seconds": 0.9,
        "raw_rows_parsed": 30,
        "normalize_duration_seconds": 0.9,
        "normalized_rows": 28,
        "filtered_rows": 2,
        "warning_close_outside_low_high": 1,
        "warning_high_below_low": 0,
        "warning_dummy_isin": 3,
        "write_duration_seconds": 0.9,
        "parquet_size_mb": 2.5,
        "rows_written": 28,
        "load_duration_seconds": 0.9,
        "rows_loaded": 28,
        "flow_duration_seconds": 9,
    }
    assert len(flow.metrics) == len(metrics(flow))


def test_a_metric_is_of_the_time_at_which_it_was_measured() -> None:
    """Not of the time at which it is told."""
    times = {each.name: each.time for each in only(*work(*STAGES)).metrics}
    assert times["raw_rows_parsed"] == times["parse_duration_seconds"] == ms(3)
    assert times["rows_loaded"] == times["flow_duration_seconds"] == ms(9)


def test_a_good_day_has_its_parameters() -> None:
    """What was asked for, and how it ended; there is no error to tell."""
    assert only(*work(*STAGES)).params == {
        "trade_date": DAY,
        "load_to_clickhouse": "True",
        "clickhouse_table": "champion_market.normalized_equity_ohlc",
        "status": "success",
    }


def test_a_good_day_has_its_tags() -> None:
    """Where the data and the work come from."""
    assert only(*work(*STAGES)).tags == {
        **SOURCE,
        "host": "mill",
        "package_version": "0.1.0",
        "retries": "0",
    }


def test_a_good_day_ran_from_its_first_record_to_its_last() -> None:
    """In milliseconds, under its date's name, for its execution, and below nothing."""
    flow = only(*work(*STAGES, begin=100))
    assert (flow.name, flow.execution, flow.parent) == ("bhavcopy-etl-2024-01-15", PROCESS, None)
    assert (flow.status, flow.start, flow.end) == ("FINISHED", ms(100), ms(109))


def test_a_good_day_is_told_while_its_process_goes_on() -> None:
    """A notebook, or a command with other days to do: this one is final."""
    book = book_of(*work(*STAGES), start(SCRAPE, 20, date=OTHER_DAY))
    assert [flow.name for flow in book.tell([])] == ["bhavcopy-etl-2024-01-15"]


def test_a_day_for_the_lake_alone_ends_with_the_lake() -> None:
    """WriteParquet was asked for: no load, and no table that it would go to."""
    flow = only(*work(SCRAPE, PARSE, NORMALIZE, WRITE, last=WRITE))
    assert flow.status == "FINISHED"
    assert flow.params == {"trade_date": DAY, "load_to_clickhouse": "False", "status": "success"}
    assert not {"load_duration_seconds", "rows_loaded"} & metrics(flow).keys()
    assert metrics(flow)["rows_written"] == 28


def test_a_day_of_which_the_rest_was_complete_is_told_with_what_was_run() -> None:
    """The lake had it: the load is the whole flow."""
    flow = only(*work(LOAD))
    assert (flow.status, flow.params["load_to_clickhouse"]) == ("FINISHED", "True")
    assert metrics(flow) == {"load_duration_seconds": 0.9, "rows_loaded": 28, "flow_duration_seconds": 1}
    assert flow.tags["archive_file"] == SOURCE["archive_file"]


def test_a_day_is_not_told_before_its_last_task() -> None:
    """The four before it are done, and the process goes on."""
    assert told(*work(SCRAPE, PARSE, NORMALIZE, WRITE)) == []


def test_tasks_in_several_processes_of_one_execution_are_one_flow() -> None:
    """Luigi's workers are forked: the records come from as many processes as there are tasks."""
    records = [{**each, "pid": number} for number, each in enumerate(work(*STAGES))]
    assert only(*records) == only(*work(*STAGES))


# A day that goes wrong

FAILURES = [
    failed(LOAD, 9, "no such host"),
    failed(LOAD, 9, "Task died unexpectedly with exit code -9", event="process_failure"),
    failed(LOAD, 9, "Task timed out after 1 seconds", event="timeout"),
    failed(LOAD, 9, "requires() can not be called", event="broken_task", error_type="TypeError"),
]
each_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: str(failure["event"]))


@each_failure
@pytest.mark.parametrize("last", [[end(10)], []], ids=["ended", "gone"])
def test_a_failure_is_told_with_its_error(failure: Record, last: list[Record]) -> None:
    """Whatever kind it is, and however its process ended after it."""
    flow = only(*work(SCRAPE, PARSE, NORMALIZE, WRITE), start(LOAD, 8), failure, *last, gone=[PROCESS])
    assert (flow.status, flow.start, flow.end) == ("FAILED", ms(0), ms(9))
    assert (flow.params["status"], flow.params["error"]) == ("failed", failure["error"])
    assert (flow.params["trade_date"], flow.params["load_to_clickhouse"]) == (DAY, "True")


@each_failure
def test_a_failure_is_not_told_while_its_process_goes_on(failure: Record) -> None:
    """Luigi may run the task again."""
    assert told(start(LOAD, 8), failure) == []


def test_a_task_that_broke_before_it_began_is_a_failure() -> None:
    """Luigi could not even schedule it, so nothing has started."""
    flow = only(failed(LOAD, 3, event="broken_task", error_type="TypeError"), end(4))
    assert (flow.status, flow.start, flow.end, flow.params["error"]) == ("FAILED", ms(3), ms(3), "the archive is down")


def test_a_failed_day_has_what_was_measured_before() -> None:
    """The first task's time and counts stand; the failed one has none."""
    flow = only(*work(SCRAPE, PARSE), start(NORMALIZE, 4), failed(NORMALIZE, 6), end(7))
    assert metrics(flow) == {
        "scrape_duration_seconds": 0.9,
        "parse_duration_seconds": 0.9,
        "raw_rows_parsed": 30,
        "flow_duration_seconds": 6,
    }


def test_a_failed_day_has_the_counts_that_it_failed_with() -> None:
    """How many rows were rejected is what a failed check is about."""
    facts = {"normalized_rows": 3, "filtered_rows": 27, "warnings": {"dummy_isin": 2}, "retries": 0}
    flow = only(start(NORMALIZE, 4), failed(NORMALIZE, 6, facts=facts), end(7))
    found = metrics(flow)
    assert (found["normalized_rows"], found["filtered_rows"], found["warning_dummy_isin"]) == (3, 27, 2)


def test_retries_within_a_task_are_counted_over_all_tasks() -> None:
    """Of those that succeeded after some, and of the one that failed after some."""
    facts = {"retries": 2}
    fetched = [start(SCRAPE, 0), record("success", 1, task=SCRAPE, date=DAY, facts=facts)]
    flow = only(*fetched, start(PARSE, 2), failed(PARSE, 3, facts={"retries": 1}), end(4))
    assert flow.tags["retries"] == "3"


def test_a_task_that_luigi_runs_again_is_one_flow() -> None:
    """The failure is forgotten with the success, but not the time that it took."""
    records = [start(SCRAPE, 0), failed(SCRAPE, 1, facts={"retries": 2}), *work(*STAGES, begin=60), end(100)]
    flow = only(*records)
    assert (flow.status, flow.params["status"]) == ("FINISHED", "success")
    assert "error" not in flow.params
    assert (flow.start, flow.end, flow.tags["retries"]) == (ms(0), ms(69), "2")


def test_a_task_that_fails_again_fails_with_its_last_error() -> None:
    """That is the one to mend."""
    flow = only(start(SCRAPE, 0), failed(SCRAPE, 1, "first"), start(SCRAPE, 60), failed(SCRAPE, 61, "second"), end(62))
    assert (flow.status, flow.params["error"], flow.end) == ("FAILED", "second", ms(61))


def test_a_task_that_was_run_again_and_found_complete_is_no_failure() -> None:
    """Another process has done meanwhile what failed here."""
    flow = only(*work(WRITE), start(LOAD, 2), failed(LOAD, 3), start(LOAD, 60), found_complete(LOAD, 61), end(62))
    assert (flow.status, flow.params["status"]) == ("FINISHED", "success")


# Days that were complete


def test_nothing_is_told_of_a_day_that_was_found_complete() -> None:
    """Another process did all of it while this one waited for the lock."""
    book = book_of(*(each for task in STAGES for each in (start(task, 0), found_complete(task, 1))))
    assert list(book.tell([])) == []
    assert book.open_executions() == set()
    assert book.offsets() == book.seen()


def test_nothing_is_told_of_a_day_whose_rest_was_complete_too() -> None:
    """One task was found complete, and after it Luigi had no reason to run any other."""
    book = book_of(start(SCRAPE, 0), found_complete(SCRAPE, 1), end(2))
    assert list(book.tell([])) == []
    assert book.offsets() == book.seen()


def test_a_day_of_which_some_tasks_were_found_complete_has_the_metrics_of_the_others() -> None:
    """What another process did, its own flow tells."""
    flow = only(start(SCRAPE, 0), found_complete(SCRAPE, 30), *work(PARSE, NORMALIZE, WRITE, LOAD, begin=32))
    assert flow.status == "FINISHED"
    assert "scrape_duration_seconds" not in metrics(flow)
    assert metrics(flow)["rows_loaded"] == 28


def test_a_day_that_others_finished_is_final_with_the_last_task_that_was_found_complete() -> None:
    """This process fetched; another one did the rest."""
    records = [
        *work(SCRAPE),
        *(each for task in list(STAGES)[1:] for each in (start(task, 2), found_complete(task, 3))),
    ]
    flow = only(*records)
    assert (flow.status, flow.params["status"], flow.end) == ("FINISHED", "success", ms(3))


# Days that were broken off


def test_a_day_whose_process_is_gone_in_the_middle_of_a_task_was_killed() -> None:
    """It ended when it was last heard of."""
    flow = only(*work(SCRAPE), start(PARSE, 2), gone=[PROCESS])
    assert (flow.status, flow.params["status"], flow.start, flow.end) == ("KILLED", "killed", ms(0), ms(2))
    assert flow.params["error"]
    assert metrics(flow)["flow_duration_seconds"] == 2


def test_a_day_whose_process_is_gone_between_two_tasks_was_killed() -> None:
    """Nothing was running, and the next task never began."""
    flow = only(*work(SCRAPE, PARSE), gone=[PROCESS])
    assert (flow.status, flow.params["status"], flow.end) == ("KILLED", "killed", ms(3))


def test_a_day_whose_process_ended_in_the_middle_of_a_task_was_killed() -> None:
    """Ctrl-C: the process said goodbye, the task could not."""
    flow = only(*work(SCRAPE), start(PARSE, 2), end(3), gone=[PROCESS])
    assert (flow.status, flow.params["status"]) == ("KILLED", "killed")


def test_a_day_whose_process_ended_between_two_tasks_was_not_killed() -> None:
    """All that this process was given is done; another worker of the same scheduler does the rest."""
    flow = only(*work(SCRAPE, PARSE), end(4), gone=[PROCESS])
    assert (flow.status, flow.params["status"], flow.end) == ("FINISHED", "success", ms(3))
    assert "error" not in flow.params


def test_a_command_that_was_interrupted_between_two_tasks_was_killed() -> None:
    """Ctrl-C at that moment leaves the day to nobody."""
    flow = only(*work(SCRAPE, PARSE), {**end(4), "interrupted": True})
    assert (flow.status, flow.params["status"]) == ("KILLED", "killed")


@pytest.mark.parametrize("error_type", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("last", [[end(10)], []], ids=["ended", "gone"])
def test_a_day_whose_worker_was_told_to_end_was_killed(error_type: str, last: list[Record]) -> None:
    """SIGTERM makes a worker raise, which Luigi takes for a failure of the task."""
    flow = only(start(SCRAPE, 0), failed(SCRAPE, 1, "143", error_type=error_type), *last, gone=[PROCESS])
    assert (flow.status, flow.params["status"]) == ("KILLED", "killed")
    assert flow.params["error"] not in ("", "143")


def test_a_process_that_was_killed_after_a_failure_has_failed() -> None:
    """The failure is what there is to mend."""
    assert only(start(SCRAPE, 0), failed(SCRAPE, 1), gone=[PROCESS]).status == "FAILED"


def test_a_day_that_was_started_again_after_a_failure_and_killed_was_killed() -> None:
    """The second attempt was under way."""
    assert only(start(SCRAPE, 0), failed(SCRAPE, 1), start(SCRAPE, 60), gone=[PROCESS]).status == "KILLED"


def test_a_day_that_was_complete_when_its_process_was_killed_is_a_success() -> None:
    """What came after it does not concern it."""
    flows = told(*work(*STAGES), start(SCRAPE, 10, date=OTHER_DAY), gone=[PROCESS])
    assert {flow.name: flow.status for flow in flows} == {
        "bhavcopy-etl-2024-01-15": "FINISHED",
        "bhavcopy-etl-2024-01-16": "KILLED",
    }


def test_what_comes_after_the_end_of_an_execution_changes_nothing() -> None:
    """Threads and children may go on for a while after their process has given up: that day was killed."""
    book = book_of(start(SCRAPE, 0), end(1))
    assert [flow.status for flow in deliver(book)] == ["KILLED"]
    late = [*end_of_task(SCRAPE, 2), start(PARSE, 3), start(SCRAPE, 4, date=OTHER_DAY)]
    for number, each in enumerate(late):
        book.add(Position(JANUARY, 200 + 100 * number, 300 + 100 * number), each)
    assert list(book.tell([PROCESS])) == []
    assert book.offsets() == book.seen()


# Several dates, several executions


def test_each_date_of_an_execution_is_a_flow_of_its_own() -> None:
    """Their records come mixed, and a failure is of its date alone."""
    good, bad = work(*STAGES), [start(SCRAPE, 1, date=OTHER_DAY), failed(SCRAPE, 3, date=OTHER_DAY)]
    mixed = [each for pair in itertools.zip_longest(good, bad) for each in pair if each]
    flows = {flow.name: flow for flow in told(*mixed, end(20))}
    assert flows["bhavcopy-etl-2024-01-15"] == only(*good)
    assert flows["bhavcopy-etl-2024-01-16"] == only(*bad, end(20))


def test_a_day_that_failed_and_was_completed_later_shows_both() -> None:
    """Two executions, two flows of one name."""
    first, second = "aaaa", "bbbb"
    records = [start(SCRAPE, 0, execution=first), failed(SCRAPE, 1, execution=first), end(2, first)]
    records += [*work(*STAGES, begin=100, execution=second), end(200, second)]
    flows = told(*records)
    assert [(flow.execution, flow.name, flow.status) for flow in flows] == [
        (first, "bhavcopy-etl-2024-01-15", "FAILED"),
        (second, "bhavcopy-etl-2024-01-15", "FINISHED"),
    ]


def test_the_end_of_one_execution_is_not_that_of_another() -> None:
    """One process is through; the other one is in the middle of the same date."""
    records = [*work(SCRAPE, execution="aaaa"), start(PARSE, 2, execution="bbbb"), end(3, "aaaa")]
    assert [flow.execution for flow in told(*records)] == ["aaaa"]


def test_a_part_of_a_process_has_an_end_of_its_own() -> None:
    """`run_day` in a notebook: its failure is final when it returns, and the notebook goes on."""
    part, other = f"{PROCESS}.aaaa", f"{PROCESS}.bbbb"
    records = [start(SCRAPE, 0, execution=part), failed(SCRAPE, 1, execution=part), end(2, part)]
    records += [start(SCRAPE, 3, execution=other)]
    assert [(flow.execution, flow.status) for flow in told(*records)] == [(part, "FAILED")]


def test_a_part_ends_with_its_process() -> None:
    """Whether it was killed, or ended without a word of the part."""
    part = f"{PROCESS}.aaaa"
    records = work(SCRAPE, execution=part)
    assert process_of(part) == process_of(PROCESS) == PROCESS
    assert only(*records, gone=[PROCESS]).status == "KILLED"
    assert only(*records, end(10), gone=[PROCESS]).status == "FINISHED"


def test_the_end_of_a_part_is_not_that_of_its_process() -> None:
    """What else the process does, goes on."""
    assert told(start(SCRAPE, 0), end(1, f"{PROCESS}.aaaa")) == []


# Fills


def test_a_fill_is_told_as_running_when_it_begins() -> None:
    """Its dates are to be its children, so it comes first; its range and its parameters are known."""
    flow = only(*fill_begins(5))
    assert (flow.name, flow.execution, flow.parent) == ("bhavcopy-fill-2024-01-02-2024-01-31", FILL, None)
    assert (flow.status, flow.start, flow.end) == ("RUNNING", ms(5), None)
    assert flow.params == {
        "first": "2024-01-02",
        "last": "2024-01-31",
        "of": "LoadClickHouse",
        "workers": "32",
        "clickhouse_table": "champion_market.normalized_equity_ohlc",
    }
    assert metrics(flow) == {
        "range_delay": 14,
        "range_complete_count": 10,
        "range_complete_fraction": 0.5,
        "days_due": 2,
    }
    assert flow.tags == {"host": "mill", "package_version": "0.1.0"}


def test_a_fill_began_with_its_first_record() -> None:
    """It looks at its range, and may wait for the warehouse, before it knows what to do."""
    ranges, begin = fill_begins(0)[:3], fill_begins(30)[3]
    assert told(*ranges) == []
    assert only(*ranges, begin).start == ms(0)


def test_the_progress_of_a_fill_is_told_as_it_goes() -> None:
    """Each point of its metrics at the number of days that are done, once."""
    book = book_of(*fill_begins())
    deliver(book)
    book.add(Position(JANUARY, 900, 1000), fill_goes_on(10, days_due=200, days_done=48, rows=960, days_per_second=4.8))
    [flow] = deliver(book)
    assert (flow.status, flow.end) == ("RUNNING", None)
    assert Metric("days_done", 48, ms(10), 48) in flow.metrics
    assert Metric("rows", 960, ms(10), 48) in flow.metrics
    assert metrics(flow) == progress(days_due=200, days_done=48, rows=960, days_per_second=4.8)
    assert list(book.tell([])) == []


def test_a_fill_comes_before_its_days_and_its_end_after_them() -> None:
    """A tracking server can make the days its children, and sees no fill that is over before its days are."""
    days = [*work(*STAGES, execution=FILL), *work(*STAGES, begin=1, date=OTHER_DAY, execution=FILL)]
    flows = told(*fill_begins(), *days, *fill_ends(12, days_due=2, days_done=2))
    name = "bhavcopy-fill-2024-01-02-2024-01-31"
    assert [(flow.name, flow.status, flow.parent) for flow in flows] == [
        (name, "RUNNING", None),
        ("bhavcopy-etl-2024-01-15", "FINISHED", name),
        ("bhavcopy-etl-2024-01-16", "FINISHED", name),
        (name, "FINISHED", None),
    ]


def test_a_day_of_a_fill_is_what_it_is_by_itself() -> None:
    """But for the fill above it."""
    [_, day, _] = told(*fill_begins(), *work(*STAGES, execution=FILL), *fill_ends(12))
    alone = only(*work(*STAGES, execution=FILL))
    assert (day.metrics, day.params, day.tags) == (alone.metrics, alone.params, alone.tags)
    assert (day.start, day.end) == (alone.start, alone.end)


def test_a_day_beside_a_fill_is_not_its_child() -> None:
    """A command of several tasks is one process, and the fill a part of it."""
    flows = told(*fill_begins(), *work(*STAGES))
    assert [(flow.name, flow.parent) for flow in flows][1:] == [("bhavcopy-etl-2024-01-15", None)]


def test_a_fill_ends_with_its_last_figures() -> None:
    """And with how it ended and how long it took."""
    figures = {"days_due": 2, "days_done": 1, "days_failed": 1, "rows": 28, "days_per_second": 0.1}
    flows = told(*fill_begins(), *fill_ends(12, "FAILED", "failed", "1 of 2 days failed", **figures))
    assert (flows[-1].status, flows[-1].start, flows[-1].end) == ("FAILED", ms(0), ms(12))
    assert (flows[-1].params["status"], flows[-1].params["error"]) == ("failed", "1 of 2 days failed")
    found = metrics(*flows)
    assert found["flow_duration_seconds"] == 12
    assert {name: found[name] for name in progress()} == progress(**figures)


def test_a_fill_that_ended_well_has_no_error() -> None:
    """Nothing to say, nothing told."""
    flow = told(*fill_begins(), *fill_ends(12))[-1]
    assert (flow.status, flow.params["status"]) == ("FINISHED", "success")
    assert "error" not in flow.params


@pytest.mark.parametrize(
    ("outcome", "status"), [("closed", "FINISHED"), ("unpublished", "FINISHED"), ("failed", "FAILED")]
)
def test_a_day_that_a_fill_has_settled_is_told_at_once(outcome: str, status: str) -> None:
    """With what became of it and why, while the fill goes on: a 404 of a holiday is no failure."""
    asked = [start(SCRAPE, 1, execution=FILL), failed(SCRAPE, 2, "404", execution=FILL, error_type="NotPublished")]
    book = book_of(*fill_begins(), *asked)
    assert [flow.status for flow in deliver(book)] == ["RUNNING"]
    book.add(Position(JANUARY, 900, 1000), settled(3, outcome, "the archive has no file"))
    [flow] = book.tell([])
    assert flow.status == status
    assert (flow.params["status"], flow.params["error"]) == (outcome, "the archive has no file")


def test_a_settled_day_ended_with_its_last_task() -> None:
    """The fill says what it means when it has looked at many others: that is no time of this day."""
    asked = [start(SCRAPE, 1, execution=FILL), failed(SCRAPE, 2, "404", execution=FILL, error_type="NotPublished")]
    flow = told(*fill_begins(), *asked, settled(600, "closed", "the archive has no file"))[-1]
    assert (flow.end, metrics(flow)["flow_duration_seconds"]) == (ms(2), 1)


def test_a_fill_whose_process_is_gone_was_killed() -> None:
    """The days that it had in hand too; what was done stays done; and nothing is left running."""
    days = [*work(*STAGES, execution=FILL), start(SCRAPE, 3, date=OTHER_DAY, execution=FILL)]
    flows = told(*fill_begins(), *days, fill_goes_on(20, days_due=2, days_done=1), gone=[PROCESS])
    assert [(flow.name[:12], flow.status) for flow in flows] == [
        ("bhavcopy-fil", "RUNNING"),
        ("bhavcopy-etl", "FINISHED"),
        ("bhavcopy-etl", "KILLED"),
        ("bhavcopy-fil", "KILLED"),
    ]
    assert (flows[-1].end, flows[-1].params["status"]) == (ms(20), "killed")
    assert metrics(flows[0], flows[-1])["days_done"] == 1


@pytest.mark.parametrize("last", [[], fill_ends(20, "KILLED", "killed", "KeyboardInterrupt")], ids=["gone", "Ctrl-C"])
def test_a_day_between_two_tasks_was_killed_with_its_fill(last: list[Record]) -> None:
    """A fill has many such days in hand, and nobody else completes them."""
    flows = told(*fill_begins(), *work(SCRAPE, PARSE, execution=FILL), *last, gone=[PROCESS] if not last else [])
    assert [(flow.status, flow.params.get("status")) for flow in flows[1:]] == [("KILLED", "killed")] * 2


def test_a_day_that_another_process_completes_was_not_killed_with_its_fill() -> None:
    """The fill ended well: what it left in the middle was in other hands."""
    day = told(*fill_begins(), *work(SCRAPE, PARSE, execution=FILL), *fill_ends(20))[1]
    assert (day.status, day.params["status"]) == ("FINISHED", "success")


BROKEN_OFF = record("fill_end", 2, execution=FILL, status="KILLED", words="killed", error="", metrics=progress())


@pytest.mark.parametrize("last", [[], [BROKEN_OFF]], ids=["nothing due", "broken off"])
def test_a_fill_that_ended_before_it_knew_its_range_is_not_told(last: list[Record]) -> None:
    """There is nothing to show, and nothing to wait for."""
    book = book_of(*fill_begins()[:3], *last, end(3, FILL))
    assert list(book.tell([])) == []
    assert book.open_executions() == set()
    assert book.offsets() == book.seen()


def test_a_fill_that_was_killed_before_it_knew_its_range_is_not_told() -> None:
    """There would be no name for it."""
    book = book_of(*fill_begins()[:3])
    assert list(book.tell([PROCESS])) == []
    assert book.offsets() == book.seen()


def test_a_range_of_luigis_own_is_no_fill() -> None:
    """`RangeDailyBase` has the same events and ordinary days: they are told, by themselves."""
    ranges = [{**each, "execution": PROCESS} for each in fill_begins()[:3]]
    book = book_of(*ranges, *work(*STAGES), end(20))
    [flow] = deliver(book)
    assert (flow.name, flow.parent or None) == ("bhavcopy-etl-2024-01-15", None)
    assert book.offsets() == book.seen()


def test_what_is_told_of_a_fill_at_once_has_each_point_once() -> None:
    """Its beginning and its end, where it was over before anybody looked."""
    flows = told(*fill_begins(), fill_goes_on(10, days_done=1), *fill_ends(12, days_done=2))
    points = [(each.name, each.time, each.step) for flow in flows for each in flow.metrics]
    assert sorted(points) == sorted(set(points))


# Fills of many days


def long_fill_begins(**what: Any) -> list[Record]:
    """A fill that says that its days are steps of its run."""
    return fill_begins(days_as_steps=True, **what)


def table_of(flow: Run) -> dict[str, dict[str, str]]:
    """The lines of a fill's table by date."""
    return {line["trade_date"]: line for line in csv.DictReader(io.StringIO(flow.table))}


def series(name: str, *flows: Run) -> list[Metric]:
    """The points of a metric, where these are told one after the other."""
    return [each for flow in flows for each in flow.metrics if each.name == name]


def test_a_day_of_a_long_fill_is_a_step_of_each_of_its_metrics() -> None:
    """The step names the date, and the time is that date; a warning of which there are none has no point."""
    days = [*work(*STAGES, execution=FILL), *work(*STAGES, begin=10, date=OTHER_DAY, execution=FILL)]
    flows = told(*long_fill_begins(), *days, *fill_ends(22, days_done=2))
    assert {flow.name for flow in flows} == {"bhavcopy-fill-2024-01-02-2024-01-31"}
    alone = metrics(only(*work(*STAGES)))
    zeros = {name for name in alone if name.startswith("warning_") and not alone[name]}
    assert zeros
    for name in alone:
        noons = [round(datetime(2024, 1, day, 12, tzinfo=UTC).timestamp() * 1000) for day in (15, 16)]
        expected = [Metric(f"day/{name}", alone[name], noons[0], 20240115)]
        expected.append(Metric(f"day/{name}", alone[name], noons[1], 20240116))
        assert series(f"day/{name}", *flows) == ([] if name in zeros else expected)
    assert metrics(*flows)["flow_duration_seconds"] == 22


def test_a_long_fill_has_a_table_of_its_days() -> None:
    """In the order of dates: the parameters, all metrics with their zeros, and the sources that a day's run has."""
    days = [*work(*STAGES, date=OTHER_DAY, execution=FILL), *work(*STAGES, begin=10, execution=FILL)]
    flow = told(*long_fill_begins(), *days, *fill_ends(22))[-1]
    assert [*table_of(flow)] == [DAY, OTHER_DAY]
    alone = only(*work(*STAGES))
    line = table_of(flow)[DAY]
    assert line["error"] == ""
    assert alone.params.items() <= line.items()
    assert {name: float(line[name]) for name in metrics(alone)} == metrics(alone)
    sources = {name: SOURCE[name] for name in ("layout", "archive_file", "archive_sha256")}
    assert {**sources, "retries": "0"}.items() <= line.items()


def test_a_date_finds_its_long_fill() -> None:
    """MLflow compares metrics: the first and the last date that the fill had are two of them."""
    days = [*work(*STAGES, date=OTHER_DAY, execution=FILL), *work(*STAGES, begin=10, execution=FILL)]
    flow = told(*long_fill_begins(), *days, *fill_ends(22))[-1]
    assert (metrics(flow)["first_day"], metrics(flow)["last_day"]) == (20240115, 20240116)


@each_failure
def test_a_failed_day_of_a_long_fill_has_a_run_of_its_own(failure: Record) -> None:
    """As in a short one, below the fill; the table has it too, and no series has a point of it."""
    failure = {**failure, "execution": FILL}
    day = [*work(SCRAPE, PARSE, NORMALIZE, WRITE, execution=FILL), start(LOAD, 8, execution=FILL), failure]
    ending = fill_ends(20, "FAILED", "failed", "1 of 2 days failed")
    flows = told(*long_fill_begins(), *day, *ending)
    assert flows[1] == told(*fill_begins(), *day, *ending)[1]
    assert (flows[1].status, flows[1].parent) == ("FAILED", flows[0].name)
    line = table_of(flows[-1])[DAY]
    assert (line["status"], line["error"], line["rows_written"]) == ("failed", failure["error"], "28")
    assert [each for flow in flows for each in flow.metrics if each.name.startswith("day/")] == []


def test_a_killed_long_fill_has_what_was_done() -> None:
    """As steps and in its table; the days that it had in hand have runs of their own."""
    days = [*work(*STAGES, execution=FILL), start(SCRAPE, 3, date=OTHER_DAY, execution=FILL)]
    flows = told(*long_fill_begins(), *days, gone=[PROCESS])
    assert [(flow.name[:12], flow.status) for flow in flows] == [
        ("bhavcopy-fil", "RUNNING"),
        ("bhavcopy-etl", "KILLED"),
        ("bhavcopy-fil", "KILLED"),
    ]
    assert {day: line["status"] for day, line in table_of(flows[-1]).items()} == {DAY: "success", OTHER_DAY: "killed"}
    assert [each.step for each in series("day/rows_loaded", *flows)] == [20240115]


def test_a_closed_day_of_a_long_fill_is_a_line_of_its_table() -> None:
    """No failure, and nothing to measure: neither a run nor a point."""
    asked = [start(SCRAPE, 1, execution=FILL), failed(SCRAPE, 2, "404", execution=FILL, error_type="NotPublished")]
    flows = told(*long_fill_begins(), *asked, settled(3, "closed", "a holiday"), *fill_ends(9))
    assert {flow.name for flow in flows} == {"bhavcopy-fill-2024-01-02-2024-01-31"}
    assert (table_of(flows[-1])[DAY]["status"], table_of(flows[-1])[DAY]["error"]) == ("closed", "a holiday")
    assert [each for flow in flows for each in flow.metrics if each.name.startswith("day/")] == []


def test_a_fill_of_an_earlier_version_has_a_run_for_each_day() -> None:
    """However long: its journal may be told in part, and its days are not to be told again in another way."""
    flows = told(*fill_begins(days_due=5000), *work(*STAGES, execution=FILL), *fill_ends(12))
    assert [flow.name for flow in flows][1] == "bhavcopy-etl-2024-01-15"
    assert [flow.table for flow in flows] == ["", "", ""]


def dates(count: int) -> list[str]:
    """Dates, one after the other."""
    first = datetime(2000, 1, 1, tzinfo=UTC)
    return [(first + timedelta(days=number)).date().isoformat() for number in range(count)]


def test_a_long_fill_is_told_in_parts_that_mlflow_takes() -> None:
    """Of up to 1000 metrics and parameters; a part that has arrived is not told again, and no point is lost."""
    many = dates(200)
    book = book_of(*long_fill_begins(), *(each for date in many for each in work(*STAGES, date=date, execution=FILL)))
    first, *others = book.tell([])
    assert max(len(flow.metrics) + len(flow.params) for flow in [first, *others]) <= 1000
    assert len(others) > 1
    book.delivered(first)
    again = list(book.tell([PROCESS]))
    points = [(each.name, each.step) for flow in [first, *again] for each in flow.metrics]
    assert len(points) == len(set(points))
    assert [each.step for each in series("day/rows_loaded", first, *again)] == [
        int(each.replace("-", "")) for each in many
    ]


def test_news_of_a_long_fill_wait_for_others_but_not_for_long() -> None:
    """A request costs as much as a hundred points: few of them wait for ten seconds of the journal."""
    journal = Journal()
    journal.write(*long_fill_begins(), *work(*STAGES, date=DAY, execution=FILL))
    book = read(journal)
    assert [flow.name for flow in deliver(book)] == ["bhavcopy-fill-2024-01-02-2024-01-31"]
    for number, each in enumerate(work(*STAGES, begin=10, date=OTHER_DAY, execution=FILL)):
        assert deliver(book) == []
        book.add(Position(JANUARY, 1900 + 100 * number, 2000 + 100 * number), each)
    [flow] = deliver(book)
    assert [each.step for each in series("day/rows_loaded", flow)] == [20240116]
    assert deliver(book) == []


def test_offsets_stay_before_a_long_fill_until_its_end_is_delivered() -> None:
    """Its table is made of all its days: a carrier that takes over reads them again."""
    journal = Journal()
    journal.write(*work(*STAGES, execution="aaaa"), *long_fill_begins(), *work(*STAGES, execution=FILL))
    journal.write(*work(*STAGES, begin=10, date=OTHER_DAY, execution=FILL), file=FEBRUARY)
    book = read(journal)
    deliver(book)
    assert book.offsets() == {JANUARY: 1500, FEBRUARY: 0}
    journal.write(*fill_ends(22), file=FEBRUARY)
    assert [*table_of(deliver(read(journal, book.offsets()))[-1])] == [DAY, OTHER_DAY]


# Delivery


def test_a_flow_is_told_again_until_it_is_delivered() -> None:
    """Each time the same."""
    book = book_of(*work(*STAGES))
    first, again = list(book.tell([])), list(book.tell([]))
    assert first == again
    assert len(first) == 1
    book.delivered(first[0])
    assert list(book.tell([])) == []


def test_a_fill_is_told_again_until_it_is_delivered() -> None:
    """Its beginning, its days and its end, each by itself."""
    book = book_of(*fill_begins(), *work(*STAGES, execution=FILL), *fill_ends(12))
    for left in (3, 2, 1):
        flows = list(book.tell([]))
        assert len(flows) == left
        assert list(book.tell([])) == flows
        book.delivered(flows[0])
    assert list(book.tell([])) == []


def test_the_progress_of_a_fill_that_was_not_delivered_is_told_with_what_comes_after_it() -> None:
    """No point is lost, and none that was delivered comes again."""
    book = book_of(*fill_begins())
    deliver(book)
    book.add(Position(JANUARY, 900, 1000), fill_goes_on(10, days_done=48))
    assert len(list(book.tell([]))) == 1
    book.add(Position(JANUARY, 1000, 1100), fill_goes_on(20, days_done=96))
    [flow] = book.tell([])
    assert [each.value for each in flow.metrics if each.name == "days_done"] == [48, 96]
    assert "range_delay" not in metrics(flow)


def test_progress_that_comes_while_a_fill_is_delivered_is_not_lost() -> None:
    """It was no part of what has arrived."""
    book = book_of(*fill_begins())
    [flow] = book.tell([])
    book.add(Position(JANUARY, 900, 1000), fill_goes_on(10, days_done=48))
    book.delivered(flow)
    for place, each in zip(range(1000, 1200, 100), fill_ends(20, days_done=96), strict=True):
        book.add(Position(JANUARY, place, place + 100), each)
    points = [each.value for flow in deliver(book) for each in flow.metrics if each.name == "days_done"]
    assert points[:2] == [48, 96]


def test_delivery_of_one_execution_leaves_that_of_another() -> None:
    """Two flows of one name."""
    book = book_of(*work(*STAGES, execution="aaaa"), *work(*STAGES, execution="bbbb"))
    first, second = book.tell([])
    book.delivered(first)
    assert list(book.tell([])) == [second]


# How far the journal need not be read again


def test_offsets_stay_before_the_first_record_of_what_is_not_delivered() -> None:
    """And move behind all once it is."""
    book = book_of(*work(*STAGES, execution="aaaa"), *work(*STAGES, execution="bbbb"))
    assert book.offsets() == {JANUARY: 0}
    first, second = book.tell([])
    book.delivered(first)
    assert book.offsets() == {JANUARY: 1500}
    book.delivered(second)
    assert book.offsets() == book.seen() == {JANUARY: 3000}


def test_offsets_stay_before_what_is_not_final() -> None:
    """A day that goes on, among others that are delivered."""
    book = book_of(*work(*STAGES, execution="aaaa"), start(SCRAPE, 0), *work(*STAGES, execution="bbbb"))
    deliver(book)
    assert book.offsets() == {JANUARY: 1500}
    assert book.open_executions() == {PROCESS}


def test_offsets_stay_before_a_fill_until_its_end_is_delivered() -> None:
    """Whoever reads again has to know whose children the days are."""
    journal = Journal()
    journal.write(*work(*STAGES, execution="aaaa"), *fill_begins(), *work(*STAGES, execution=FILL))
    book = read(journal)
    deliver(book)
    assert book.offsets() == {JANUARY: 1500}
    for place, each in zip(range(3400, 3600, 100), fill_ends(20), strict=True):
        book.add(Position(JANUARY, place, place + 100), each)
    deliver(book)
    assert book.offsets() == {JANUARY: 3600}


def test_offsets_of_each_months_file_stay_before_what_is_not_delivered() -> None:
    """A night from one month to the next has records in both."""
    journal = Journal()
    journal.write(*work(*STAGES, execution="aaaa"), *work(SCRAPE, PARSE))
    journal.write(*work(NORMALIZE, WRITE), file=FEBRUARY)
    book = read(journal)
    deliver(book)
    assert book.offsets() == {JANUARY: 1500, FEBRUARY: 0}
    assert book.seen() == {JANUARY: 2100, FEBRUARY: 600}


def test_the_end_of_an_execution_is_read_again_with_it() -> None:
    """The first carrier could not deliver, and the month has changed: the day was left to others, not killed."""
    journal = Journal()
    journal.write(*work(SCRAPE, PARSE))
    journal.write(end(4), file=FEBRUARY)
    book = read(journal)
    [before] = book.tell([PROCESS])
    assert list(read(journal, book.offsets()).tell([PROCESS])) == [before]


def test_a_book_that_has_read_nothing_has_no_offsets() -> None:
    """It says nothing of files that it does not know."""
    assert (Runs().offsets(), Runs().seen(), list(Runs().tell([]))) == ({}, {}, [])


# What is no part of a flow

STRANGE = {
    "no execution": {"event": "start", "time": at(-50), "task": SCRAPE, "date": DAY},
    "no event": {"execution": PROCESS, "time": at(-50), "task": SCRAPE, "date": DAY},
    "no time": {"event": "start", "execution": PROCESS, "task": SCRAPE, "date": DAY},
    "of the process": record("weighed", 900, grams=3),
    "of another process": record("weighed", 900, execution="aaaa"),
    "of the day, before it": record("weighed", -50, task=SCRAPE, date=DAY),
    "of the day, after it": record("weighed", 900, task=LOAD, date=DAY, facts={"retries": 7, "rows_loaded": 1}),
}
each_strange_record = pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())


@each_strange_record
def test_a_record_that_is_of_no_flow_changes_nothing(strange: Record) -> None:
    """Without an execution, an event or a time; or of an event that only a later version knows."""
    records = work(*STAGES)
    assert only(*records[:7], strange, *records[7:]) == only(*records)


@each_strange_record
def test_a_record_that_is_of_no_flow_is_not_waited_for(strange: Record) -> None:
    """The journal is done with."""
    book = book_of(*work(*STAGES), strange)
    deliver(book)
    assert book.offsets() == book.seen() == {JANUARY: 1600}
    assert book.open_executions() == set()


def test_a_record_of_a_later_version_within_a_fill_changes_nothing() -> None:
    """The fill and its days are told as without it."""
    records = [*fill_begins(), *work(*STAGES, execution=FILL), *fill_ends(12)]
    strange = record("weighed", 900, execution=FILL)
    assert told(*records[:7], strange, *records[7:]) == told(*records)


def theirs(task: str, second: float) -> list[Record]:
    """A task that a site has added to ours, by a subclass: its events are journalled as those of ours are."""
    names = {"task": task, "date": DAY}
    return [
        record("start", second, last=task, version="0.1.0", **names),
        record("processing_time", second + 1, seconds=0.5, waited=0.0, **names),
        record("success", second + 1, facts={}, **names),
    ]


def test_a_task_of_somebody_elses_harms_nothing() -> None:
    """It has no place among the metrics; ours keep theirs, and the day is told."""
    flow = only(*work(SCRAPE, PARSE, NORMALIZE, last="TheirLake"), *theirs("TheirLake", 6), end(8))
    assert (flow.status, flow.name) == ("FINISHED", "bhavcopy-etl-2024-01-15")
    assert {name: value for name, value in metrics(flow).items() if name.endswith("_duration_seconds")} == {
        "scrape_duration_seconds": 0.9,
        "parse_duration_seconds": 0.9,
        "normalize_duration_seconds": 0.9,
        "flow_duration_seconds": 7,
    }


def test_a_day_of_which_somebody_elses_task_is_the_last_is_not_told_after_the_first() -> None:
    """It goes on until that one is done, or the process."""
    assert told(*work(SCRAPE, PARSE, last="TheirLake")) == []


# Clocks


def test_records_may_be_out_of_order_in_time() -> None:
    """Processes write at their own pace: a day is from the earliest time to the latest."""
    records = work(*STAGES)
    records[0], records[-1] = {**records[0], "time": at(0.5)}, {**records[-1], "time": at(8.5)}
    records[3], records[-2] = {**records[3], "time": at(0.25)}, {**records[-2], "time": at(9.5)}
    flow = only(*records)
    assert (flow.status, flow.start, flow.end) == ("FINISHED", ms(0.25), ms(9.5))


def test_a_clock_that_is_set_back_makes_no_flow_that_ends_before_it_began() -> None:
    """Neither a day nor a fill."""
    flows = told(*fill_begins(0), *work(*STAGES, begin=-3600, execution=FILL), *fill_ends(-3500))
    assert [flow.end for flow in flows if flow.end is not None and flow.end < flow.start] == []
    assert all(metrics(flow).get("flow_duration_seconds", 0) >= 0 for flow in flows)


def test_times_may_be_in_any_zone() -> None:
    """A moment is a moment."""
    records = [
        {**each, "time": datetime.fromisoformat(each["time"]).astimezone().isoformat()} for each in work(*STAGES)
    ]
    assert only(*records) == only(*work(*STAGES))


# Any mixture of executions, deliveries and restarts

DATES = ["2024-01-15", "2024-01-16", "2024-01-17"]
ENDINGS = ["success", "success", "found_complete", "again", "left to others", "failure", "broken off"]


def mixed(draw: st.DrawFn, parts: Sequence[Sequence[Record]]) -> list[Record]:
    """The records of several, each one's in their order."""
    turns = draw(st.permutations([number for number, part in enumerate(parts) for _ in part]))
    rest = [iter(part) for part in parts]
    return [next(rest[turn]) for turn in turns]


@st.composite
def days(draw: st.DrawFn, execution: str, date: str) -> list[Record]:
    """What an execution does for a date."""
    tasks = list(STAGES)
    first = draw(st.integers(0, 4))
    tasks = tasks[first : draw(st.integers(first, 4)) + 1]
    names = {"date": date, "execution": execution}
    found = []
    for task in tasks:
        ending = draw(st.sampled_from(ENDINGS))
        found.append(start(task, 0, last=tasks[-1], **names))
        if ending == "again":
            found += [failed(task, 0, facts={"retries": 1}, **names), start(task, 0, last=tasks[-1], **names)]
        if ending in ("success", "again", "left to others"):
            found += end_of_task(task, 0, **names)
        elif ending == "found_complete":
            found.append(found_complete(task, 0, **names))
        elif ending == "failure":
            failure = draw(st.sampled_from(FAILURES))
            error_type = draw(st.sampled_from(["ArchiveUnreachable", "SystemExit"]))
            found.append({**failure, "task": task, "error_type": error_type, **names})
        if ending in ("left to others", "failure", "broken off"):
            break
    if "." in execution and found[-1]["event"] == "failure" and draw(st.booleans()):
        outcome = draw(st.sampled_from(["closed", "unpublished", "failed"]))
        found.append({**settled(0, outcome, "reason", date), "execution": execution})
    return found


@st.composite
def parts(draw: st.DrawFn, execution: str) -> list[Record]:
    """A fill, or days by themselves, with an end of its own."""
    dates = draw(st.lists(st.sampled_from(DATES), min_size=1, unique=True))
    mixture = mixed(draw, [draw(days(execution, date)) for date in dates])
    if draw(st.booleans()):
        status, words = draw(st.sampled_from([("FINISHED", "success"), ("FAILED", "failed"), ("KILLED", "killed")]))
        mixture.insert(draw(st.integers(0, len(mixture))), fill_goes_on(0, days_done=1))
        # A fill knows its outcomes before it ends, and its range before it begins.
        begin = fill_begins(**({"days_as_steps": True} if draw(st.booleans()) else {}))
        mixture = [*begin, *mixture, fill_ends(0, status, words, days_done=2)[0]]
    return [{**each, "execution": execution} for each in [*mixture, end(0)]]


@st.composite
def processes(draw: st.DrawFn, name: str) -> list[Record]:
    """All that a process journals until it ends, or is killed."""
    dates = draw(st.lists(st.sampled_from(DATES), unique=True))
    own = [draw(days(name, date)) for date in dates]
    number_of_parts = draw(st.integers(0 if own else 1, 2))
    found = mixed(draw, [*own, *(draw(parts(f"{name}.{number}")) for number in range(number_of_parts))])
    if draw(st.booleans()):
        return [*found, end(0, name)]
    return found[: draw(st.integers(1, len(found)))]


@dataclass
class Step:
    """What a carrier does between two looks at the journal, and how much is journalled before."""

    records: int
    delivers: int
    notes: bool
    is_killed: bool


@dataclass
class Story:
    """A journal, how long after its last record each process lives, and what the carriers do."""

    journal: Journal
    lives: dict[str, int]
    steps: list[Step]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    names = ["aaaa", "bbbb", "cccc"][: draw(st.integers(1, 3))]
    records = mixed(draw, [draw(processes(name)) for name in names])
    change_of_month = draw(st.integers(0, len(records)))
    journal = Journal()
    last = {}
    for number, each in enumerate(records):
        jitter = draw(st.sampled_from([0, 0, -1.5, 1.5]))
        journal.write({**each, "time": at(number + jitter)}, file=JANUARY if number < change_of_month else FEBRUARY)
        last[process_of(each["execution"])] = number
    step = st.builds(Step, st.integers(0, 15), st.integers(0, 9), st.booleans(), st.booleans())
    lives = {name: number + draw(st.integers(0, 9)) for name, number in last.items()}
    return Story(journal, lives, draw(st.lists(step, max_size=12)))


@dataclass
class Stored:
    """What a tracking server has of a flow: it begins once, and what it has ended is not told of it again."""

    start: int
    parent: str | None
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: set[Metric] = field(default_factory=set)
    status: str = "RUNNING"
    end: int | None = None
    table: str = ""


StoredRuns = dict[tuple[str, str], Stored]


def take(runs: StoredRuns, flow: Run) -> bool:
    """Keep what is new of a flow; whether anything is."""
    run = runs.setdefault((flow.execution, flow.name), Stored(flow.start, flow.parent, dict(flow.tags)))
    if run.end is not None and (flow.end is None or flow.end <= run.end):
        return False
    run.params = {**flow.params, **run.params}
    run.metrics |= set(flow.metrics)
    if flow.end is not None:
        run.status, run.end, run.table = flow.status, flow.end, flow.table
    return True


def undisturbed(story: Story) -> tuple[StoredRuns, list[Run]]:
    """What arrives where one carrier reads all at once, and all of it is taken."""
    runs: StoredRuns = {}
    flows = deliver(read(story.journal), story.lives.keys())
    for flow in flows:
        take(runs, flow)
    return runs, flows


@given(stories())
def test_whatever_is_interrupted_arrives_as_if_nothing_had_been(story: Story) -> None:
    """Carriers are killed, deliver a part, note late how far they are: the same runs, each day at once and whole."""
    expected, flows = undisturbed(story)
    whole = {(flow.execution, flow.name): flow for flow in flows}
    runs: StoredRuns = {}
    book, note, written = Runs(), dict[str, int](), 0
    everything = len(story.journal.lines)
    for step in [*story.steps, Step(everything + 10, everything, True, False), Step(0, everything, True, False)]:
        gone = {name for name, death in story.lives.items() if death < written}
        written += step.records
        visible = Journal()
        visible.lines = story.journal.lines[:written]
        for place, each in visible.read_from(note | book.seen()):
            book.add(place, each)
        for flow in list(book.tell(gone))[: step.delivers]:
            if take(runs, flow) and flow.name.startswith("bhavcopy-etl-"):
                assert flow == whole[flow.execution, flow.name]
            book.delivered(flow)
        if step.notes:
            note = note | book.offsets()
        if step.is_killed:
            book = Runs()
    assert runs == expected
    assert {run.status for run in runs.values()} <= {"FINISHED", "FAILED", "KILLED"}
    assert book.open_executions() == set()
    assert note == read(story.journal).seen()


# Records that a disk has changed


@pytest.mark.parametrize(
    "damaged",
    [
        {"time": "2024-01%31T12:00:00"},
        {"time": "0024-01-31T12:00:00+00:00"},
        {"time": 5},
        {"date": ["2024-01-15"]},
        {"event": ["start"]},
        {"event": "processing_time"},
        {"event": "processing_time", "seconds": "1"},
        {"event": "success", "facts": "none"},
        {"event": "success", "facts": {"warnings": {"high%below": 1}}},
        {"event": "success", "facts": {"rows_written": 1e999}},
        {"event": "settled", "outcome": "clored", "reason": ""},
        {"event": "settled"},
        {"date": "", "event": "fill_start"},
        {"date": "", "event": "fill_progress", "metrics": {"days_du%": 1, "days_done": 1}},
        {"date": "", "event": "fill_end", "status": "FINISHEE", "words": "", "metrics": {"days_done": 1}},
        {"date": "", "event": "fill_start", "days_as_steps": "yes", "first": "", "last": "", "days_due": 1},
        {"date": "", "event": "range", "name": "event.tools.range.delay"},
    ],
    ids=str,
)
def test_a_damaged_record_takes_no_other_with_it(damaged: Record) -> None:
    """A carrier that stopped there would stop there for ever; the day is told, by what MLflow takes."""
    records = [record("start", 1, task=WRITE, date=DAY, last=WRITE)]
    records += [record("success", 2, task=WRITE, date=DAY, facts={"rows_written": 28})]
    book = Runs()
    for number, each in enumerate([{**records[0], **damaged}, *records, {**records[0], **damaged}]):
        book.add(Position(JANUARY, number, number + 1), each)
    book.add(Position(JANUARY, 4, 5), record("end", 3))
    told = [flow for flow in book.tell({PROCESS}) if flow.name == "bhavcopy-etl-2024-01-15"]
    assert [flow.status for flow in told][-1:] == ["FINISHED"]
    assert {metric.name for flow in told for metric in flow.metrics} <= {"rows_written", "flow_duration_seconds"}
