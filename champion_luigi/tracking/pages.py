"""MLflow's own pages for a store, opened at the experiment with the columns that matter here.

    MLFLOW_BACKEND_STORE_URI=... python -m champion_luigi.tracking.pages HOST PORT EXPERIMENT [--open]

A process of its own, as it becomes MLflow's server. The page's address carries which view it shows, by a key; the view
itself, with its columns, is a tag of the experiment, as MLflow's own button "Share" makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import webbrowser

VIEW = "champion"
_TAG = f"mlflow.sharedViewState.{VIEW}"
# As the README's picture shows them, in MLflow's names.
COLUMNS = (
    "attributes.`Created`",
    *(f"metrics.`{name}`" for name in ("flow_duration_seconds", "load_duration_seconds", "rows_loaded")),
    *(f"params.`{name}`" for name in ("error", "status", "trade_date")),
)
_STATE = json.dumps({"orderByKey": "attributes.start_time", "orderByAsc": False, "selectedColumns": COLUMNS})
_WAIT_SECONDS = 60.0


def address(host: str, port: int, experiment_id: str) -> str:
    """The address of an experiment's runs, in the view that `share_view` has made."""
    # The other interface, for language models, has no use for these runs.
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"http://{host}:{port}/#/experiments/{experiment_id}/runs?{query}"


def share_view(uri: str, experiment: str) -> str:
    """Store the view with the experiment, and return the experiment's id; empty if no run has been delivered yet."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return ""
    if found.tags.get(_TAG) != _STATE:
        client.set_experiment_tag(found.experiment_id, _TAG, _STATE)
    return str(found.experiment_id)


def main(host: str, port: str, experiment: str, *options: str) -> None:
    """Print the address, open it in a browser with ``--open`` once it answers, and serve until Ctrl-C."""
    experiment_id = share_view(os.environ["MLFLOW_BACKEND_STORE_URI"], experiment)
    if experiment_id:
        url = address(host, int(port), experiment_id)
        print(f"Runs:       {url}", flush=True)
    else:
        url = f"http://{host}:{port}"
        print(f"Runs:       none have reached MLflow yet; {url}", flush=True)
    if "--open" in options:
        threading.Thread(target=_open_when_ready, args=(host, int(port), url), daemon=True).start()

    from mlflow.cli import cli

    sys.argv = ["mlflow", "server", "--host", host, "--port", port, "--workers", "1"]
    cli()


def _open_when_ready(host: str, port: int, url: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            webbrowser.open(url)
            return
        time.sleep(0.1)


if __name__ == "__main__":
    # A terminal's Ctrl-C reaches the server as well, which ends by itself.
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
