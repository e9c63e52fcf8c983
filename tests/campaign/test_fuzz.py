"""Payloads broken at random: refused in a sentence, or a day in which no line is lost, doubled or misread.

`mutations` makes them, `fuzz_worker` says what holds for each; what hangs or eats memory hits a process of its own.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from random import Random

import campaign
import fuzz_worker
import hypothesis
import mutations
import pytest
from helpers import ROOT, SHARED, is_readable
from hypothesis import given
from hypothesis import strategies as st
from mutations import Base

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise

pytestmark = [pytest.mark.faults, pytest.mark.integration]

AREA = "Inputs"
ARCHIVE = str(SHARED / "archive")
WORKER = [sys.executable, str(ROOT / "tests" / "fuzz_worker.py")]
# Of two workers in a round.
MUTANTS = 6_500 if campaign.IS_WHOLE else 300
EXAMPLES = 500 if campaign.IS_WHOLE else 15
# A mutant takes some milliseconds.
PATIENCE_SECONDS = 60.0


class Watched:
    """A worker, and the watch over it: silence for too long ends it, and names what it was at."""

    def __init__(self, *command: str, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._unread = b""
        self.at = "its start"
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ends(self) -> dict[str, int]:
        """What the worker says of all it has checked. AssertionError where it found a fault, hung or died."""
        with self.process:
            try:
                while (line := self._line()) and not line.startswith(("DONE ", "FAILED ")):
                    self.at = line
            finally:
                self.process.kill()
        assert line, f"the worker died at {self.at}"
        assert line.startswith("DONE "), f"at {self.at}: {json.loads(line.removeprefix('FAILED '))}"
        said: dict[str, int] = json.loads(line.removeprefix("DONE "))
        return said

    def _line(self) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            assert is_readable(self.process.stdout, self._patience), f"the worker hangs at {self.at}"
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                return ""
            self._unread += piece
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()


def kept(named: str, folder: Path) -> Path:
    """The file of a mutant that a worker named, made again."""
    name, _, steps = named.partition(" ")
    [base] = [each for each in fuzz_worker.bases(ARCHIVE) if each.name == name]
    path = folder / "mutant"
    path.write_bytes(mutations.mutant(base, tuple(map(int, steps.split(",")))).payload)
    return path


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=8))
def test_a_mutant_is_refused_in_a_sentence_or_no_line_of_it_is_lost(seed: int, tmp_path: Path) -> None:
    """For thousands of them a round: a typed error in one printable line, or rows and rejects that are its lines."""
    workers = [Watched(*WORKER, str((2 * seed + at) * 1_000_000), str(MUTANTS), ARCHIVE) for at in range(2)]
    ends: Counter[str] = Counter()
    with ThreadPoolExecutor() as watches:
        for worker, watch in zip(workers, [watches.submit(each.ends) for each in workers], strict=True):
            try:
                ends.update(watch.result())
            except AssertionError as error:
                if worker.at.startswith(("simulated-", "published-")):
                    pytest.fail(f"{kept(worker.at, tmp_path)} is the mutant {worker.at!r}: {error}")
                raise
    kinds = ends.pop("kinds")
    assert sum(ends.values()) == 2 * MUTANTS
    # A mutator whose mutants all end the same way would prove nothing.
    assert {"NoneType", "CheckFailed", "UnknownLayout", "RejectedPayload", "TruncatedPayload"} <= ends.keys()
    assert kinds > 60
    normalized = ends["NoneType"] + ends["CheckFailed"]
    fault = (
        "values, rows, fields, header, line ends or bytes of a CSV, or the zip around it, changed by a seeded mutator "
        f"(bases: simulated files of each layout{', and published ones' if SHARED.is_dir() else ''})"
    )
    campaign.tell(
        AREA,
        fault,
        "refused: an error of a known kind, in one printable line of bounded length",
        count=2 * MUTANTS - normalized,
    )
    campaign.tell(
        AREA,
        fault,
        "read: each line is a row or a reject with its number, text and rule; each row has the values that Python "
        "reads there; one in eight also twice the same, through Parquet and back, and as a new file",
        count=normalized,
    )


HEAVY = list(fuzz_worker.HEAVY)


@pytest.mark.parametrize("name", HEAVY if campaign.IS_WHOLE else HEAVY[:2] + HEAVY[-4:-2])
def test_a_heavy_payload_is_refused_or_read_in_bounded_memory(name: str) -> None:
    """What is small on the wire and as large as may be when unpacked takes no more than a gigabyte."""
    ends = Watched(*WORKER, name).ends()
    assert ends["mib"] <= fuzz_worker.MOST_MIB, ends
    campaign.tell(
        AREA,
        "zips of 20 KB to 46 MB whose content is millions of lines, names, quotes, commas or NULs, or one endless "
        "field, or whose directory has a million entries",
        f"refused or read by a process that took no more than {fuzz_worker.MOST_MIB} MiB; no hang",
    )


def test_a_worker_that_hangs_is_ended_and_told() -> None:
    """The watch itself: a worker that falls silent fails its test, with the name of what it was at."""
    watched = Watched(sys.executable, "-c", "import time; print('a mutant', flush=True); time.sleep(600)", patience=1)
    with pytest.raises(AssertionError, match="hangs at a mutant"):
        watched.ends()
    assert watched.process.returncode is not None


def test_a_worker_that_dies_is_told() -> None:
    """The watch itself: a worker that was killed fails its test, too."""
    watched = Watched(sys.executable, "-c", "import os; print('a mutant', flush=True); os.kill(os.getpid(), 9)")
    with pytest.raises(AssertionError, match="died at a mutant"):
        watched.ends()


def test_a_mutant_can_be_made_again() -> None:
    """The same base and seeds give the same bytes; other seeds give others."""
    [base, *_] = mutations.simulated()
    made = [mutations.mutant(base, (seed, seed + 1)) for seed in range(100)]
    assert made == [mutations.mutant(base, (seed, seed + 1)) for seed in range(100)]
    assert len({each.payload for each in made}) > 90


# What changes a file, and not what it says

bases = st.deferred(lambda: st.sampled_from(mutations.simulated()))
# Values that are one field with and without quotes; the csv module takes no longer ones.
VALUES = [text for text in mutations.VALUES if not set(text) & set('",\r') and len(text) < 1000]
changes = st.lists(st.tuples(st.integers(1, 16), st.integers(0, 33), st.sampled_from(VALUES)), max_size=12)
SAME = "the same rows, and the same rejects for the same reasons"
property_of_files = hypothesis.settings(max_examples=EXAMPLES)

Table = list[list[str]]


def changed(base: Base, some: list[tuple[int, int, str]]) -> Table:
    """The base's lines as fields, some of them exchanged; the first rows stay, so it is the day's file."""
    table = [line.split(",") for line in base.content.decode().splitlines()]
    for row, column, text in some:
        if 3 <= row < len(table):
            table[row][column % width(table)] = text
    return table


def width(table: Table) -> int:
    """The columns that have names: most headers end with a comma."""
    return len(table[0]) - (not table[0][-1])


def written(table: Table, ending: str = "\n") -> bytes:
    return "".join(",".join(fields) + ending for fields in table).encode()


def read(content: bytes, day: date) -> Normalized:
    found = recognise(content, EQUITY, day)
    return normalize(parse(found), EQUITY, found.layout.source, day)


def rules(found: Normalized) -> list[tuple[int, str, str]]:
    return [(each.line, each.rule, each.detail) for each in found.rejects]


@property_of_files
@given(bases, changes)
def test_quotes_around_every_value_change_nothing(base: Base, some: list[tuple[int, int, str]]) -> None:
    """A file that another program has quoted gives the same rows, and the same rejects for the same reasons."""
    table = changed(base, some)
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    plain, quoted = read(written(table), base.day), read(text.getvalue().encode(), base.day)
    assert quoted.rows.equals(plain.rows)
    assert rules(quoted) == rules(plain)
    campaign.tell(AREA, "every value of a file in quotes, odd values among them", SAME)


@property_of_files
@given(bases, changes, st.randoms(use_true_random=False))
def test_the_order_of_columns_changes_nothing(base: Base, some: list[tuple[int, int, str]], rng: Random) -> None:
    """Values are found by their column's name."""
    table = changed(base, some)
    order = list(range(width(table)))
    rng.shuffle(order)
    moved = [[*(fields[at] for at in order), *fields[width(table) :]] for fields in table]
    plain, other = read(written(table), base.day), read(written(moved), base.day)
    assert other.rows.equals(plain.rows)
    assert rules(other) == rules(plain)
    campaign.tell(AREA, "a file's columns in another order, odd values among them", SAME)


@property_of_files
@given(bases, changes, st.sampled_from(["\r\n", "\r\r\n", "\n\n", "\n \n", "\r\n\r\n"]), st.booleans())
def test_line_ends_blank_lines_and_a_mark_change_nothing(
    base: Base, some: list[tuple[int, int, str]], ending: str, mark: bool
) -> None:
    """CRLF, blank lines and a byte order mark are no data; rejects have the numbers that lines then have."""
    table = changed(base, some)
    content = b"\xef\xbb\xbf" * mark + written(table, ending)
    plain, other = read(written(table), base.day), read(content, base.day)
    assert other.rows.equals(plain.rows)
    step = ending.count("\n")
    assert rules(other) == [((line - 1) * step + 1, *rest) for line, *rest in rules(plain)]
    campaign.tell(AREA, "CRLF, blank lines between, a byte order mark before", SAME)


@property_of_files
@given(bases, changes, st.integers(1, 16), st.integers(1, 500))
def test_copies_of_a_line_are_rejected_each(
    base: Base, some: list[tuple[int, int, str]], which: int, times: int
) -> None:
    """However often a line is repeated, the rows stay as they are, and each copy is counted."""
    table = changed(base, some)
    copied = table[1 + (which - 1) % (len(table) - 1)]
    plain, more = read(written(table), base.day), read(written(table + [copied] * times), base.day)
    assert more.rows.equals(plain.rows)
    assert len(more.rejects) == len(plain.rejects) + times
    assert all(each.text == ",".join(copied) for each in more.rejects[-times:])
    campaign.tell(AREA, "one line up to 500 times more", "the same rows; each copy is a reject with its text")
