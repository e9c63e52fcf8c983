"""The task that fetches today's list of changed symbols and keeps it.

    ScrapeSymbolChanges -> adjustments

The exchange has one such file, without a date in its name: the state of today. What it said on an earlier day is known
only if it was fetched on that day.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import luigi
import tenacity

from champion_luigi.adjustments.symbol_changes import Changes, read_changes
from champion_luigi.base import durable, locks
from champion_luigi.base.errors import DamagedFile, NotPublished, RejectedPayload, StorageError, is_transient
from champion_luigi.config import settings, wiring
from champion_luigi.exchange.sessions import INDIA
from champion_luigi.pipeline import day_task, hosts, process
from champion_luigi.pipeline.targets import JsonFile
from champion_luigi.storage import symbol_changes, version

PATH = "/content/equities/symbolchange.csv"
# A list grows. With a smaller share of the changes of the newest kept one, it is not whole.
_LEAST_SHARE = 0.9


class _KeptList(JsonFile):
    """The receipt of a day's list. It counts if the list is there too."""

    def __init__(self, day: date) -> None:
        super().__init__(wiring.list_files().receipt(day))
        self.day = day

    def exists(self) -> bool:
        """Whether the day's list is kept."""
        return symbol_changes.is_kept(wiring.list_files(), self.day)


class ScrapeSymbolChanges(luigi.Task):
    """Fetch today's list of changed symbols and keep it by date. The output is its receipt: sha256, size, URL, time."""

    date: date = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # see `get_param_values`
        description="day of the list, India time, YYYY-MM-DD; default: today, the only one that can be fetched",
    )

    attempts = 3

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Luigi's own, with the date's default."""
        values = dict(super().get_param_values(params, args, kwargs))
        if values["date"] is None:
            values["date"] = _today()
        return list(values.items())

    def output(self) -> _KeptList:
        return _KeptList(self.date)

    @durable.explained()
    def complete(self) -> bool:
        """Whether the day's list is kept."""
        version.require(settings.data_dir())
        return bool(super().complete())

    @durable.explained()
    def run(self) -> None:
        """Fetch and keep the list, in one process at a time, retrying only transient errors."""
        process.heed_signals()
        process.end_worker_on_sigterm()
        version.claim(settings.data_dir())
        wiring.require_stores()
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_fixed(settings.get("scrape_retry_seconds")),
            retry=tenacity.retry_if_exception(is_transient),
            before_sleep=lambda state: self.say(f"attempt {state.attempt_number} of {self.attempts} failed"),
            reraise=True,
        )
        lock, wait = wiring.list_files().lock(self.date), settings.get("lock_wait_seconds")
        with (
            locks.locked(lock, what := "the list of changed symbols", wait, self.say),
            hosts.claimed(f"symbol_changes/{self.date}", what, wait, self.say),
        ):
            if not self.complete():
                retrying(self.work)

    def work(self) -> None:
        """Fetch the list, check it, and keep it."""
        content, url, headers = self._fetched()
        changes = read_changes(content, url, self.date)
        before = symbol_changes.newest_kept(wiring.list_files())
        self._require_whole(changes, before, url)
        described = {
            "url": url,
            "archive": wiring.archive_name(),
            "counts": changes.counts,
            "validators": dict(headers),
        }
        receipt = symbol_changes.keep(wiring.list_files(), self.date, content, described)
        same = "" if receipt["content_date"] == self.date else f", the same as on {receipt['content_date']}"
        odd = "".join(f", {_in_words(kind, len(lines))}" for kind, lines in changes.odd.items() if lines)
        self.say(f"{len(changes.listed):,} changes of symbols{odd}{same}")

    def _fetched(self) -> tuple[bytes, str, Any]:
        """The list, its address and its validators. Raises the archive's errors."""
        from champion_luigi.parsing.unzip import unzip

        if self.date != (today := _today()):
            raise NotPublished(
                "the list of changed symbols of another day than today cannot be fetched",
                day=self.date,
                expected=f"{today}, today in India",
                todo="The exchange publishes today's list alone, and none was kept on that day: leave out the date.",
            )
        archive = wiring.configured_archive()
        url = archive.url(PATH)
        try:
            content, headers = archive.get(PATH, self.date)
        except NotPublished as error:
            raise NotPublished(
                "the archive has no list of changed symbols",
                day=self.date,
                source=error.source,
                found=error.found,
                todo="Without it, changes of symbols are known only as far as ISINs show them. A folder of your own "
                f"needs the exchange's file as {PATH.lstrip('/')}.",
                answered=error.answered,
            ) from None
        return unzip(content, self.date, url, wiring.max_unzipped_bytes())[0], url, headers

    def _require_whole(self, changes: Changes, before: symbol_changes.Kept | None, url: str) -> None:
        """Raise RejectedPayload if a list has lost many of the changes of the newest kept one."""
        if before is None:
            return
        try:
            known = len(read_changes(symbol_changes.content_of(wiring.list_files(), before)).listed)
        except (DamagedFile, RejectedPayload, StorageError):
            return  # `champion verify` reports it; this list replaces it
        if len(changes.listed) < _LEAST_SHARE * known:
            raise RejectedPayload(
                "the list of changed symbols is not whole",
                day=self.date,
                source=url,
                expected=f"about the {known:,} changes of {before.day}, or more",
                found=f"{len(changes.listed):,}",
                todo=f"Try again later. If the exchange has shortened its list, move {before.path} away.",
            )

    def say(self, message: str) -> None:
        """Show a message in the log and, while Luigi runs the task, in the visualiser."""
        message = settings.without_secrets(message)
        day_task.logger.info("%s %s: %s", self.task_family, self.date, message)
        day_task.show(self, "set_status_message", message)

    def on_failure(self, exception: BaseException) -> str:
        """Luigi's message to the scheduler and by mail: its traceback, with secrets removed."""
        return settings.without_secrets(super().on_failure(exception))


def _in_words(kind: str, count: int) -> str:
    """Lines of a kind of `Changes.odd`, in words."""
    lines = "1 line" if count == 1 else f"{count:,} lines"
    what = {
        "self_map": "with the same symbol twice, which changes nothing",
        "repeated": "repeated",
        "not_understood": "not understood",
    }
    return f"{lines} {what[kind]}"


def _today() -> date:
    return datetime.now(INDIA).date()
