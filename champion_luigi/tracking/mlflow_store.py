"""Delivery of runs to MLflow, each exactly once. Only this module and `pages` import mlflow.

MLflow itself is the memory of what was delivered. Before the first run of an execution is created, the runs of that
execution are looked up by the tag ``execution``. They are looked up again after each doubt (a lost answer, a killed
carrier), so that no run is delivered twice. A run that was created twice all the same is deleted.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Collection, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from champion_luigi.base import secrets as hiding
from champion_luigi.tracking.run import Run

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

# MLflow's own variables, which it reads when it is imported. A user's value wins.
_ENVIRONMENT = {
    # The carrier retries. A retry within MLflow would be invisible, and could create a run twice.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # It would report the use of MLflow to its makers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# Where MLflow looks for the home of a user without HOME and without an entry in the password file, as in a container.
# Docker, too, gives such a user this home. Nothing of the pipeline is there.
_HOME = "/"
# The longest values that MLflow takes, in characters; the journal has the full text.
_PARAM_LENGTH = 6000
_TAG_LENGTH = 5000
_PAGE = 1000
_EXECUTION_TAG = "execution"
# The tags of a new experiment: the text on its page, and which of MLflow's two interfaces shows it.
_TAGS = {
    "mlflow.note.content": "One run for each trade date and execution of champion_luigi, and one for each fill. "
    "The days of a long fill are steps of its metrics, and lines of its artifact days.csv.",
    "mlflow.experimentKind": "custom_model_development",
}
_RUNNING = "RUNNING"
# The file of a fill's days, and the tag that says why there is none.
_TABLE = "days.csv"
_NO_TABLE_TAG = "days_table"
_TABLE_ATTEMPTS = 3
# MLflow imports these if they are installed, can do without, and is imported in 0.6 of the time without.
_UNUSED = ("numpy", "polars")
# The entry points of MLflow itself. Any others are of plugins, which it imports together with itself.
_OWN_ENTRY_POINTS = frozenset({"mlflow.app", "mlflow.app.client", "mlflow.deployments"})
# Concurrent requests to a server, where most of the time is spent on waiting. A SQL store has one writer.
_SERVER_THREADS = 4


@dataclass
class _Known:
    """A run in MLflow: its id, its end (ms; None while it runs), the names of its parameters, where its files go."""

    run_id: str
    end: int | None
    params: set[str]
    artifacts: str


def prepare(environment: MutableMapping[str, str]) -> None:
    """Set MLflow's own variables in an environment that MLflow is then imported in. A user's values win."""
    for name, value in _ENVIRONMENT.items():
        environment.setdefault(name, value)
    try:
        Path.home()
    except RuntimeError:
        # MLflow needs a home when it is imported, whether or not it uses one.
        environment["HOME"] = _HOME


def import_lightly() -> None:
    """Import MLflow without the data-frame libraries, in 0.6 of its time. They can be imported afterwards.

    Plugins of MLflow may need these libraries: with a plugin, MLflow is not imported here.
    """
    # Only MLflow needs it, so that the pipeline itself does without.
    from importlib.metadata import entry_points

    if any(each.startswith("mlflow.") for each in entry_points().groups - _OWN_ENTRY_POINTS):
        return
    hidden: dict[str, Any] = {name: None for name in _UNUSED if not {name, "mlflow"} & sys.modules.keys()}
    sys.modules.update(hidden)
    try:
        import mlflow  # noqa: F401
    except ImportError:
        pass  # MLflow is missing, or it needs them by now: its usual import shows that
    finally:
        for name in hidden:
            del sys.modules[name]


class Tracker:
    """An experiment in an MLflow store. MLflow's errors are raised unchanged.

    ``secrets`` are removed from errors that go to MLflow. ``lightly`` is for a process whose other threads import
    nothing meanwhile.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        artifacts: Path | None,
        secrets: Collection[str] = (),
        *,
        lightly: bool = False,
    ) -> None:
        prepare(os.environ)
        if lightly:
            import_lightly()
        from mlflow import MlflowClient

        self._secrets = secrets
        if artifacts is not None:
            artifacts.parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=uri)
        self._known: dict[str, dict[str, _Known]] = {}
        self._doubtful: set[str] = set()
        # The executions whose known runs may be incomplete.
        self._stale: set[str] = set()
        self._is_server = uri.startswith(("http:", "https:"))
        found = self._client.get_experiment_by_name(experiment)
        self.experiment_id: str = (
            found.experiment_id
            if found
            else self._client.create_experiment(experiment, artifacts.as_uri() if artifacts else None, _TAGS)
        )

    def doubt(self, executions: Iterable[str]) -> None:
        """Note that another carrier may have delivered runs of these executions, or may be delivering them."""
        self._doubtful |= set(executions)

    def deliver(self, runs: Iterable[Run], arrived: Callable[[Run], None]) -> None:
        """Deliver runs. ``arrived`` is called in this thread for each run that MLflow has taken.

        Raises the first error, after the other requests of its batch have ended.
        """
        for execution in list(self._stale):
            self._known[execution] = self._look_up(execution)
            self._stale.discard(execution)
        with ThreadPoolExecutor(_SERVER_THREADS if self._is_server else 1) as pool:
            # A fill is delivered alone, before its days, which become its children.
            for _, batch in itertools.groupby(runs, lambda run: run.parent or id(run)):
                sent = [(run, pool.submit(self._deliver, run)) for run in batch]
                for run, result in sent:
                    if result.exception() is None:
                        arrived(run)
                for _, result in sent:
                    result.result()

    def settle(self) -> None:
        """Delete the runs that were created twice because an answer was lost. Nothing is in doubt afterwards."""
        for execution in list(self._doubtful):
            self._look_up(execution)
            self._doubtful.discard(execution)

    def _deliver(self, run: Run) -> None:
        from mlflow.entities import Metric, Param

        known = self._known_of(run)
        if known.end is not None and (run.end is None or run.end <= known.end):
            return
        new = {name: text for name, text in run.params.items() if name not in known.params}
        self._client.log_batch(
            known.run_id,
            metrics=[Metric(each.name, each.value, each.time, each.step) for each in run.metrics],
            params=[Param(name, _clipped(text, _PARAM_LENGTH)) for name, text in new.items()],
        )
        known.params |= new.keys()
        if run.table:
            self._store_table(known, run.table)
        if run.end is not None:
            self._client.set_terminated(known.run_id, run.status, run.end)
            known.end = run.end

    def _store_table(self, known: _Known, table: str) -> None:
        """Store a run's table. If its files' store refuses it, a tag has the reason, and the run does without.

        That store may be another than MLflow's, with a library, rights and outages of its own; the metrics must not
        wait for it. Raises MLflow's error if MLflow itself is down.
        """
        trouble = self._others_folder(known.artifacts)
        attempts = 0 if trouble else _TABLE_ATTEMPTS
        while attempts:
            attempts -= 1
            try:
                self._client.log_text(known.run_id, table, _TABLE)
                return
            except Exception as error:  # noqa: BLE001 - as many kinds as there are stores
                trouble = f"{type(error).__name__}: {error}"
                self._client.get_run(known.run_id)  # raises if MLflow is down: then all is delivered later
        words = hiding.starred(f"not stored: {trouble}", self._secrets)
        self._client.set_tag(known.run_id, _NO_TABLE_TAG, _clipped(words, _TAG_LENGTH))

    def _others_folder(self, artifacts: str) -> str:
        """Why files would go astray: a server that has them in a folder of its own machine; empty if all is well."""
        address = urlsplit(artifacts)
        if not self._is_server or address.scheme not in ("", "file"):
            return ""
        # Run, experiment and their root: where the server is on this machine, the root is a folder here, too.
        root = Path(url2pathname(address.path)).parent.parent.parent
        return "" if root.is_dir() else f"the server has files in its folder {root}, which is not on this machine"

    def _known_of(self, run: Run) -> _Known:
        if run.execution not in self._known:
            self._known[run.execution] = self._look_up(run.execution)
        runs = self._known[run.execution]
        if run.name not in runs:
            tags = run.tags | {_EXECUTION_TAG: run.execution}
            tags |= {"mlflow.source.name": "champion_luigi", "mlflow.source.type": "JOB"}
            if run.parent and run.parent in runs:
                tags["mlflow.parentRunId"] = runs[run.parent].run_id
            tags = {name: _clipped(text, _TAG_LENGTH) for name, text in tags.items() if text}
            try:
                made = self._client.create_run(self.experiment_id, run.start, tags, run.name)
            except BaseException:
                # The run may have been created all the same.
                self._stale.add(run.execution)
                self._doubtful.add(run.execution)
                raise
            runs[run.name] = _Known(made.info.run_id, None, set(), made.info.artifact_uri)
        return runs[run.name]

    def _look_up(self, execution: str) -> dict[str, _Known]:
        """MLflow's runs of an execution by name. Of several with the same name, all but one are deleted.

        One that has ended is kept, or else the one that metrics went to.
        """
        used = {each.run_id for each in self._known.get(execution, {}).values()}
        runs: dict[str, _Known] = {}
        found: list[MlflowRun] = []
        token: str | None = ""
        while token is not None:
            named = f"tags.{_EXECUTION_TAG} = '{execution}'"
            page = self._client.search_runs([self.experiment_id], named, max_results=_PAGE, page_token=token or None)
            found += page
            token = page.token or None
        for run in sorted(found, key=lambda run: (run.info.status == _RUNNING, run.info.run_id not in used)):
            name = run.info.run_name
            if name in runs:
                self._client.delete_run(run.info.run_id)
            else:
                end = None if run.info.status == _RUNNING else run.info.end_time
                runs[name] = _Known(run.info.run_id, end, set(run.data.params), run.info.artifact_uri)
        return runs


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
