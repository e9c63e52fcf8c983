"""An Azure Blob store for tests: Microsoft's emulator Azurite on loopback, in memory.

TEST_AZURITE is the path of its program ``azurite-blob``, if it is not on the PATH. ``npm install azurite``
brings it, as ``node_modules/.bin/azurite-blob``. Without it, `missing` says so, and tests skip.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from helpers import wait_for
from mlflow_server import free_port
from s3_server import Store

CONTAINER = "champion"
ACCOUNT = "tester"
SECRET = base64.b64encode(b"the-secret-of-the-account").decode()
_VERSION = "2021-08-06"


def missing() -> str:
    """Why there is no Azurite here; empty if there is."""
    return "" if _program() else "Azurite is not installed; tests/azurite_server.py says how to name it"


def _program() -> str | None:
    return shutil.which(os.environ.get("TEST_AZURITE") or "azurite-blob")


@contextlib.contextmanager
def running(log: Path) -> Iterator[Store]:
    """A store of its own, with a container."""
    program, port = _program(), free_port()
    assert program is not None
    options = ("--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobPort", str(port))
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{SECRET}"}
    with log.open("wb") as output:
        process = subprocess.Popen([program, *options], stdout=output, stderr=output, env=environment, cwd=log.parent)
    try:
        wait_for(lambda: _listens(port), "Azurite", log.read_text)
        _make_container(port)
        variables = {
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": SECRET,
        }
        yield Store(variables["AZURE_STORAGE_ENDPOINT"], f"az://{CONTAINER}", variables)
    finally:
        process.kill()
        process.wait()


def _make_container(port: int) -> None:
    when = email.utils.formatdate(usegmt=True)
    # The verb, eleven headers that are not sent, the others, and the address.
    text = f"PUT{12 * chr(10)}x-ms-date:{when}\nx-ms-version:{_VERSION}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\n"
    text += "restype:container"
    signed = base64.b64encode(hmac.new(base64.b64decode(SECRET), text.encode(), hashlib.sha256).digest()).decode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        client.request(
            "PUT",
            f"/{ACCOUNT}/{CONTAINER}?restype=container",
            headers={"x-ms-date": when, "x-ms-version": _VERSION, "Authorization": f"SharedKey {ACCOUNT}:{signed}"},
        )
        answer = client.getresponse()
        assert answer.status == 201, answer.read()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
