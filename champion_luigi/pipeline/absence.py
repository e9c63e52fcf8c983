"""Days for which no source had a file: the entry in the ledger, and the search for files that have come since."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from champion_luigi.base.errors import ChampionError, NotPublished, RejectedPayload, StorageError, TruncatedPayload
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import answers
from champion_luigi.exchange.expectation import Expected

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Published

# A child of Luigi's logger, with its own level: it still logs while Luigi's own messages are suppressed.
logger = logging.getLogger("luigi-interface.fill")

# Of the days that a fill could look for again, it requests this many, spread evenly; if one is there, then all.
PROBES = 24


def enter(dataset: Dataset, missing: Mapping[date, NotPublished]) -> dict[date, tuple[NotPublished, Expected]]:
    """Enter the absent days in the ledger, and return what it means for each day that it has no file.

    A day whose file may still appear is not entered: the next fill requests it again.
    """
    expectation, name = wiring.expectation(dataset), wiring.archive_name()
    after_days = settings.get("closed_after_days")
    found = {day: (error, expectation.after_404(day, error.answered, after_days)) for day, error in missing.items()}
    absent = (day for day, (_, expected) in found.items() if expected.state == "absent")
    answers.record(
        wiring.answers_file(dataset),
        [answers.given(day, "absent", name, missing[day].source or "") for day in absent],
    )
    return found


def nothing_to_fetch(dataset: Dataset, day: date) -> Expected | None:
    """Why no request is sent for a day: it is closed, or still to come. None if one is; `ask_closed` sends them all."""
    return None if settings.get("ask_closed") else wiring.expectation(dataset).without_request(day)


def no_session(label: str, expected: Expected | None) -> str:
    """The sentence about a day, or days, without a session, which is the same from every command."""
    return f"{label}: nothing to do, there is no session" + (f": {expected.why}" if expected else " on these dates")


def require_due(dataset: Dataset, day: date) -> None:
    """Raise NotPublished if no request is sent for a day."""
    if expected := nothing_to_fetch(dataset, day):
        raise NotPublished(
            f"there is nothing to fetch: {expected.why}",
            day=day,
            todo="No request was sent. To send one all the same, set CHAMPION_ASK_CLOSED=true.",
        )


def settle(dataset: Dataset, error: NotPublished) -> tuple[str, str]:
    """The outcome of a day that got no file, and its reason; an absent day is entered in the ledger."""
    assert error.day is not None
    expected = wiring.expectation(dataset).without_request(error.day)
    if expected is None:
        _, expected = enter(dataset, {error.day: error})[error.day]
    asked = error.source or error.found
    return expected.state, f"{expected.why} ({asked})" if asked else expected.why


def enter_found(dataset: Dataset, day: date, source: str, url: str) -> None:
    """Enter a day's file in the ledger, if the calendar or an earlier answer said otherwise, or if it is partial."""
    expectation, name = wiring.expectation(dataset), wiring.archive_name()
    verdicts: list[answers.Verdict] = []
    if expectation.of(day).state in ("closed", "absent"):
        verdicts.append("session")
    if dataset.is_partial(source, day):
        verdicts.append("partial")
    elif day in expectation.ledger.partial:
        verdicts.append("whole")
    answers.record(wiring.answers_file(dataset), [answers.given(day, each, name, url) for each in verdicts])


def enter_unusable(dataset: Dataset, day: date, asked: str) -> None:
    """Enter that an absent day's file came and cannot be used: the day is due at every fill from now on."""
    if wiring.expectation(dataset).of(day).state == "absent":
        answers.record(wiring.answers_file(dataset), [answers.given(day, "unusable", wiring.archive_name(), asked)])


def judge_again(dataset: Dataset) -> list[date]:
    """Enter as absent the days that an earlier version called closed and that are not. The answers keep their time."""
    overruled = wiring.expectation(dataset).overruled
    entered = [replace(answer, verdict="absent") for answer in overruled]
    answers.record(wiring.answers_file(dataset), entered)
    return [answer.day for answer in overruled]


def probes(days: Sequence[date]) -> list[date]:
    """Up to `PROBES` of the days, in ascending order, spread evenly."""
    ordered = sorted(days)
    if len(ordered) <= PROBES:
        return ordered
    return [ordered[number * (len(ordered) - 1) // (PROBES - 1)] for number in range(PROBES)]


def find_whole(dataset: Dataset, days: Sequence[date]) -> list[date]:
    """The days, of those that a partial source gave, for which a full source has a usable file now.

    One request a source. The other answers are entered in the ledger. A file that cannot be used is named in the log,
    and the day stays as it is. An archive that refuses or does not answer ends the search.
    """
    from champion_luigi.exchange import archive
    from champion_luigi.parsing import payload

    limit, found = wiring.max_unzipped_bytes(), []
    for day in days:

        def read(published: Published, day: date = day) -> None:
            payload.recognise(published.content, dataset, day, published.url, limit, format=published.source)

        asked = ""
        try:
            opened = wiring.configured_archive()
            archive.fetch(opened, dataset.without_partial, day, read, official_from=wiring.official_from())
            found.append(day)
            continue
        except NotPublished as error:
            asked = error.source or ""
        except (RejectedPayload, StorageError, TruncatedPayload) as error:
            asked = error.source or ""
            logger.warning("the day stays as a partial source has it, because its full file cannot be used: %s", error)
        except ChampionError as error:
            logger.warning("the search for full files of days from a partial source ended: %s", error)
            break
        answers.record(wiring.answers_file(dataset), [answers.given(day, "partial", wiring.archive_name(), asked)])
    return found
