"""A real MLflow for tests: stores, a server, a gateway between the server and its clients, and the delivered runs.

A server is `mlflow server` over a SQLite store, in a session of its own. It can be killed, or suspended so that it
accepts connections and answers nothing. It ends with the process that started it.

    with MlflowServer(tmp_path / "server") as server:
        runs = runs_in(server.url, "nse-bhavcopy-pipeline")

A `Gateway` before a server can lose answers, replace them by errors, and let a test kill clients at exact moments.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import http.client
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from champion_luigi.config import settings
from champion_luigi.tracking import record
from champion_luigi.tracking.carrier import Carrier
from champion_luigi.tracking.job import DELIVERED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST = "127.0.0.1"

_START_SECONDS = 180.0
_STOP_SECONDS = 10.0

# Standard input ends with the process that started this one. Then the whole session is killed, with MLflow's processes.
_PROGRAM = """
import os, signal, subprocess, sys
subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""


# Stores


def client(uri: str) -> MlflowClient:
    """MLflow's own client, imported on first use: the collection of tests need not take seconds."""
    # MLflow reads this at import: no test reports its use to its makers.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mlflow-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    client(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


def empty_store(file: Path) -> str:
    """Make an empty SQLite store, and return its address. The first store takes seconds; the others are copies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), file)
    return f"sqlite:///{file}"


# A server


class MlflowServer:
    """An MLflow server on loopback over a SQLite store in ``folder``. A restart changes neither port nor runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        store = self.folder / "mlflow.db"
        if not store.exists():
            empty_store(store)
        command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port), "--workers", "1"]
        environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{store}",
            # Otherwise seven more processes start, which no test needs.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *command],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not answers(f"{self.url}/health"):
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the MLflow server does not answer: {log.read_text(errors='replace')}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            self._signal(process, signal.SIGKILL)
            process.wait(_STOP_SECONDS)
            assert process.stdin is not None
            process.stdin.close()

    def suspend(self) -> None:
        """Let the server hang: it accepts connections, but answers nothing until `resume`."""
        if self._process is not None:
            self._signal(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server go on, with the requests that came meanwhile."""
        if self._process is not None:
            self._signal(self._process, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], name: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, name)


def answers(url: str) -> bool:
    """Whether a GET of this address gets status 200."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or HOST, address.port, timeout=5)
    try:
        connection.request("GET", address.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A loopback port without a listener."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Gateway:
    """An HTTP server before another one, on a port of its own, which is free while the gateway is closed.

    With ``status``, every request gets this status and ``reason``, and none is forwarded. ``before`` is called with a
    request's path before it is forwarded, ``after`` before its answer is passed on. If one of them returns True, the
    connection ends there.
    """

    def __init__(self, upstream: str = "", *, status: int | None = None) -> None:
        self.port = free_port()
        self.status = status
        self.reason = "this server takes no requests"
        self.requests: list[str] = []
        self.before: Callable[[str], bool] = lambda _path: False
        self.after: Callable[[str], bool] = lambda _path: False
        self._upstream = urlsplit(upstream)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def open(self) -> None:
        """Listen."""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    gateway._handle(self)

            do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - named after the methods

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((HOST, self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = urlsplit(request.path).path
        self.requests.append(path)
        if self.before(path):
            return
        status, kind, content = self._answer(request, body)
        if self.after(path):
            return
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        if self.status is not None:
            return self.status, "text/plain", self.reason.encode()
        connection = http.client.HTTPConnection(self._upstream.hostname or HOST, self._upstream.port, timeout=60)
        try:
            headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# Delivered runs


def runs_in(uri: str, experiment: str) -> list[Run]:
    """All runs of an experiment that are not deleted, oldest first; none if the experiment does not exist."""
    store = client(uri)
    found = store.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = store.search_runs([found.experiment_id], max_results=1000, order_by=["attributes.start_time ASC"])
    assert not runs.token
    return list(runs)


def metrics_once(uri: str, run: Run) -> dict[str, float]:
    """A run's metrics, after a check that each was delivered exactly once."""
    store = client(uri)
    for name in run.data.metrics:
        history = store.get_metric_history(run.info.run_id, name)
        assert len(history) == 1, f"{name} of {run.info.run_name} has {len(history)} entries"
    return dict(run.data.metrics)


def steps_once(uri: str, run: Run) -> dict[str, dict[int, float]]:
    """The series of a long fill's days by metric and step, after a check that each point was delivered exactly once."""
    store, found = client(uri), {}
    for name in run.data.metrics:
        if name.startswith("day/"):
            history = store.get_metric_history(run.info.run_id, name)
            found[name.removeprefix("day/")] = {each.step: each.value for each in history}
            assert len(history) == len(found[name.removeprefix("day/")]), f"{name} has points twice"
    return found


def days_table(uri: str, run: Run) -> dict[str, dict[str, str]]:
    """The lines of a long fill's table by date."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(client(uri).download_artifacts(run.info.run_id, "days.csv", folder)).read_text(encoding="utf-8")
    return {line["trade_date"]: line for line in csv.DictReader(io.StringIO(text))}


def told() -> list[Run]:
    """The runs in MLflow, in the store and the experiment of the settings."""
    return runs_in(settings.tracking_uri(), settings.get("mlflow_experiment_name"))


# Carriers


def carry() -> int:
    """Deliver the whole journal in this process. Returns the number of delivered runs."""
    carrier = Carrier(record.job())
    assert carrier.run() == DELIVERED, carrier.trouble
    return carrier.delivered_runs


def carriers(folder: Path) -> list[int]:
    """The carriers of this data folder's journal, recognised by their output, which goes to its log."""
    log = folder / "journal" / "carrier.log"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_one = b"champion_luigi.tracking.carrier" in (entry / "cmdline").read_bytes()
            if is_one and str((entry / "fd" / "1").readlink()).removesuffix(" (deleted)") == str(log):
                found.append(int(entry.name))
    return found


def kill_carriers(folder: Path) -> None:
    """End the carriers as a power cut would. A carrier without a working MLflow would try for a minute."""
    for pid in carriers(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
