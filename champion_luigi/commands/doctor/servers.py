"""Server checks of `champion doctor`: the archive, MLflow and luigid, with one or two requests each."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode, urlsplit

from champion_luigi.base import extras, locks, secrets
from champion_luigi.base.errors import ChampionError, NotPublished
from champion_luigi.commands.doctor.ask import ask
from champion_luigi.commands.doctor.disks import takes_files
from champion_luigi.commands.doctor.findings import Finding
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.exchange import sessions
from champion_luigi.tracking import journal, record

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Archive, Published

# Each is well below the limit for all checks.
_CONNECT_SECONDS, _READ_SECONDS, _TOTAL_SECONDS = 4.0, 5.0, 8.0
# The data set to request, and a day that every non-empty archive has.
_DATASET = catalog.DATASETS[catalog.DEFAULT]
_OLD_DAY = date(2024, 1, 15)
# If turns are taken further ahead than this, other processes are using the archive now.
_TURN_SECONDS = 3.0
_SHOWN_LETTERS = 300
_SQLITE = b"SQLite format 3\0"


# The archive


def archive() -> Finding:
    """Whether the archive has the latest session's file: at most two requests, and none during a fill."""
    from champion_luigi.exchange import archive as archives
    from champion_luigi.exchange.http import USER_AGENT
    from champion_luigi.parsing import payload

    name = wiring.archive_name()
    pace = settings.data_dir() / "locks" / "archive.pace"
    opened = wiring.open_archive(
        settings.get("archive_url"),
        rate_file=pace if pace.exists() else None,
        connect_seconds=min(settings.get("connect_seconds"), _CONNECT_SECONDS),
        read_seconds=min(settings.get("read_seconds"), _READ_SECONDS),
        total_seconds=min(settings.get("total_seconds"), _TOTAL_SECONDS),
        max_bytes=settings.get("max_payload_mb") * 1024 * 1024,
    )
    is_remote = name.startswith(("http:", "https:"))
    if is_remote and (turn := wiring.seconds_to_turn()) > _TURN_SECONDS:
        busy = f"not checked: other processes here use {name} now, the next turn is in {turn:.0f} s"
        return Finding("WARNING", busy, "Run this again when they have ended.")
    expectation = wiring.expectation(_DATASET)
    day = expectation.latest
    while day in expectation.closed | expectation.absent and day > _DATASET.first_date:
        day = sessions.previous(day)

    def read(found: Published) -> object:
        limit = wiring.max_unzipped_bytes()
        return payload.recognise(found.content, _DATASET, day, found.url, limit, format=found.source)

    # A day without a file would cost a request for each source.
    official = replace(_DATASET, sources=_DATASET.sources_of(day, wiring.official_from())[:1])
    try:
        published, _ = archives.fetch(opened, official, day, read)
    except NotPublished:
        return _without_the_latest(opened, name, day, is_remote)
    found = f"{name} has the file of {day}" + (": invented instruments" if name.startswith("simulated:") else "")
    ahead = None
    if is_remote:
        # One more small request, for the server's clock, with the address's own password.
        parts = urlsplit(settings.get("archive_url"))
        url = parts._replace(path=parts.path.rstrip("/") + published.url.removeprefix(opened.url(""))).geturl()
        with contextlib.suppress(ChampionError):
            ahead = ask(url, method="HEAD", headers={"User-Agent": USER_AGENT}, seconds=_CONNECT_SECONDS).ahead
    return Finding("OK", found, server_ahead=ahead)


def _without_the_latest(opened: Archive, name: str, day: date, is_remote: bool) -> Finding:
    """The finding for an archive that answers 404 for the latest session."""
    try:
        opened.get(_DATASET.sources_of(_OLD_DAY)[0].path_of(_OLD_DAY), _OLD_DAY)
    except NotPublished:
        todo = "Set NSE_ARCHIVE_URL to the address above the exchange's own folders (content/...)."
        return Finding("PROBLEM" if is_remote else "WARNING", f"{name} has no file of {day} or of {_OLD_DAY}", todo)
    when = f"{settings.published_at(_DATASET):%H:%M}"
    todo = f"It was expected at {when} India time: a later `champion fill` will fetch it."
    return Finding("WARNING", f"{name} answers, but has no file of {day} yet", todo)


# MLflow


def mlflow() -> Finding:
    """Whether MLflow's store can take the journal's records. Its problems fail no run, so they are warnings at most."""
    if not settings.tracking_is_on():
        return Finding("OK", "off (CHAMPION_TRACKING)")
    if extras.lacking(extra := settings.mlflow_extra()):
        words = "not installed: durations and counts stay in the journal"
        if not settings.get("mlflow_tracking_uri"):
            return Finding("OK", f"{words}; {extras.command(extra)} adds it")
        return Finding("WARNING", f"{words}, although MLFLOW_TRACKING_URI is set", f"{extras.command(extra)} adds it.")
    uri = settings.tracking_uri()
    if uri.startswith(("http:", "https:")):
        return _mlflow_server(uri)
    if file := re.match(r"sqlite(?:\+pysqlite)?:///([^?]*)", uri):
        return _sqlite(Path(unquote(file[1])))
    return Finding("OK", f"{secrets.public(uri)}: not checked; `champion track flush` tries it")


def _mlflow_server(uri: str) -> Finding:
    """Request the experiment from the server, with the user's rights. The experiment need not exist."""
    public = secrets.public(uri)
    name = urlencode({"experiment_name": settings.get("mlflow_experiment_name")})
    is_insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    user, password, token = (os.environ.get(f"MLFLOW_TRACKING_{each}") for each in ("USERNAME", "PASSWORD", "TOKEN"))
    try:
        reply = ask(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name?{name}",
            credentials=(user, password) if user and password else None,
            headers={"Authorization": f"Bearer {token}"} if token and not (user and password) else None,
            verify=not is_insecure and (os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True),
            seconds=_READ_SECONDS,
        )
    except ChampionError as error:
        later = "Unsent records stay in the journal, and a later run sends them."
        return Finding("WARNING", f"{public}: {error.what} ({error.found})", f"Check MLFLOW_TRACKING_URI. {later}")
    if reply.status in (401, 403):
        todo = "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the server's allowed hosts."
        return Finding("WARNING", f"{public} refuses: {reply.shown}", todo, reply.ahead)
    if reply.status == 200 and re.search(r'"lifecycle_stage":\s*"deleted"', reply.text):
        todo = "Restore it there, or set MLFLOW_EXPERIMENT_NAME."
        words = f"{public} answers; the experiment {settings.get('mlflow_experiment_name')} is deleted there"
        return Finding("WARNING", words, todo, reply.ahead)
    if (reply.status == 200 and '"experiment"' in reply.text) or "RESOURCE_DOES_NOT_EXIST" in reply.text:
        return Finding("OK", f"{public} answers", server_ahead=reply.ahead)
    return Finding("WARNING", f"the server at {public} is not MLflow: {reply.shown}", "Check MLFLOW_TRACKING_URI.")


def _sqlite(file: Path) -> Finding:
    """The finding for a file and its folder, which must be writable: SQLite makes more files there."""
    file, state = file.absolute(), "made by the first run"
    todo = "Correct its permissions, or set MLFLOW_TRACKING_URI."
    if file.exists():
        try:
            # Open for writing, but write nothing.
            with file.open("r+b") as store:
                begin = store.read(len(_SQLITE))
        except OSError as error:
            return Finding("WARNING", f"{file}: {error.strerror}", todo)
        if begin not in (b"", _SQLITE):
            move = "Move it away: records still in the journal go to a new file."
            return Finding("WARNING", f"{file} is not an SQLite file", move)
        state = f"{file.stat().st_size / 1024 / 1024:,.1f} MiB"
    folder = takes_files(file.parent)
    return Finding("OK", f"{file}: {state}") if folder.status == "OK" else Finding("WARNING", folder.found, todo)


def unsent() -> Finding:
    """The number of journal records that MLflow does not have yet, and the reason."""
    if not settings.tracking_is_on():
        return Finding("OK", "none: tracking is off")
    folder = record.journal_folder()
    count = journal.count_undelivered(folder)
    if not count:
        return Finding("OK", "no record waits for MLflow")
    words = "1 record waits for MLflow" if count == 1 else f"{count:,} records wait for MLflow"
    it, is_being = ("it", "is being") if count == 1 else ("them", "are being")
    if locks.is_locked(folder / "carrier.lock"):
        return Finding("OK", f"{words}, and {is_being} sent")
    if extras.lacking(settings.mlflow_extra()):
        return Finding("OK", f"{words}, which is not installed")
    if not settings.tracking_is_carried():
        return Finding("OK", f"{words}: CHAMPION_TRACKING=journal leaves {it} to `champion track flush`")
    if trouble := journal.delivery(folder).trouble:
        words += f": {trouble[:_SHOWN_LETTERS]}"
    return Finding("WARNING", words, f"Send {it}: champion track flush")


# The central scheduler


def luigid() -> Finding:
    """Whether a central scheduler runs at Luigi's configured address. None is required, so this only informs."""
    from luigi.interface import core

    try:
        configured = core()
    except ValueError as error:
        return Finding("WARNING", f"[core] in luigi.cfg cannot be used: {error}", "Correct it.")
    url = configured.scheduler_url or f"http://{configured.scheduler_host}:{configured.scheduler_port}"
    public = secrets.public(url)
    try:
        reply = ask(f"{url.rstrip('/')}/api/is_paused", seconds=_CONNECT_SECONDS)
    except ChampionError:
        return Finding("OK", f"none at {public}; none is needed with --local-scheduler")
    if reply.status != 200 or '"paused"' not in reply.text:
        return Finding("OK", f"the server at {public} is not luigid; none is needed with --local-scheduler")
    if json.loads(reply.text)["response"]["paused"]:
        return Finding("WARNING", f"at {public}, paused: it hands out no tasks", "Unpause it on its page.")
    return Finding("OK", f"at {public}")
