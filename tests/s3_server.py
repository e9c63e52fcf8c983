"""A real object store for tests: Ceph's S3 gateway on loopback, over a monitor and a disk in memory.

It needs Debian's packages: ``apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common``. Without
them, `missing` says so, and tests skip. It starts in about ten seconds, so all workers of a test run share one:
the first that wants it starts a keeper, a process that ends the store once no process holds the lock ``users`` of its
folder. A process that is killed has given up the lock.

TEST_STORE=s3://BUCKET/FOLDER names another store instead, also of gs:// or az://, whose credentials are in the
usual variables.

    with s3_server.running(tmp_path) as store:
        store.environment  # the variables that a process needs
        store.address("lake")  # s3://champion/lake
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import fcntl
import hashlib
import hmac
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
BUCKET = "champion"
OWNER = ("tester", "the-owners-secret")
# A user without rights in the bucket.
STRANGER = ("stranger", "the-strangers-secret")
_ELSEWHERE = "TEST_STORE"
# As they are before a test hides them.
_GIVEN = {name: text for name, text in os.environ.items() if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))}
_START_SECONDS = 120.0

_CONFIG = """[global]
fsid = {fsid}
mon host = {monitor}
mon initial members = a
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
[client.rgw.a]
keyring = {folder}/keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


@dataclass(frozen=True)
class Store:
    """A running store: its endpoint, and the address below which this user of it may write."""

    endpoint: str
    root: str
    environment: dict[str, str]

    def address(self, name: str = "") -> str:
        """An address of the store that nobody else uses."""
        return f"{self.root}/{uuid.uuid4().hex[:12]}" + (f"/{name}" if name else "")

    def as_user(self, name: str, secret: str) -> dict[str, str]:
        """The variables of another user."""
        return {**self.environment, "AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}


def missing() -> str:
    """Why there is no store for tests here; empty if there is one."""
    if os.environ.get(_ELSEWHERE):
        return ""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"Ceph is not installed ({', '.join(lacking)}); tests/s3_server.py has the packages" if lacking else ""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Store]:
    """The store that all processes with the same ``folder`` share, while the block runs."""
    if address := os.environ.get(_ELSEWHERE):
        yield Store(_GIVEN.get("AWS_ENDPOINT_URL", ""), address.rstrip("/"), _GIVEN)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users").open("w") as users, (folder / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        note = folder / "endpoint"
        if not note.exists() or not _answers(note.read_text()):
            note.unlink(missing_ok=True)
            with (folder / "keeper.log").open("wb") as log:
                # No child of this process, which may end before the other users do.
                command = ["setsid", "--fork", sys.executable, __file__, str(folder)]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            _wait(note.exists, f"the store; {folder / 'keeper.log'} has more")
        endpoint = note.read_text()
        assert endpoint, f"the store did not start; {folder / 'keeper.log'} has more"
        fcntl.flock(starting, fcntl.LOCK_UN)
        variables = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": OWNER[0],
            "AWS_SECRET_ACCESS_KEY": OWNER[1],
            # No profile of the user that runs the tests.
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }
        yield Store(endpoint, f"s3://{BUCKET}", variables)


def _keep(folder: Path) -> None:
    """Run the store, as long as a process holds the lock of its users."""
    # A socket's path is short.
    with tempfile.TemporaryDirectory(prefix="ceph-") as at, contextlib.ExitStack() as ended:
        endpoint = ""
        try:
            endpoint = _started(Path(at), ended)
        finally:
            (folder / "starting.endpoint").write_text(endpoint)
            (folder / "starting.endpoint").replace(folder / "endpoint")
        with (folder / "users").open("w") as users:
            while True:
                time.sleep(0.5)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    (folder / "endpoint").unlink()
                    return


def _started(folder: Path, ended: contextlib.ExitStack) -> str:
    for name in ("mon", "osd", "rgw", "run"):
        (folder / name).mkdir()
    first, second, port = _free_ports(3)
    monitor = f"[v2:127.0.0.1:{first},v1:127.0.0.1:{second}]"
    fsid = str(uuid.uuid4())
    config = folder / "ceph.conf"
    config.write_text(_CONFIG.format(fsid=fsid, monitor=monitor, folder=folder, port=port))

    def run(*command: str) -> str:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(*command: str) -> None:
        process = subprocess.Popen([*command, "-f"], stdin=subprocess.DEVNULL)
        ended.callback(process.wait)
        ended.callback(process.send_signal, signal.SIGKILL)

    of = ("-c", str(config))
    run("monmaptool", "--create", "--addv", "a", monitor, "--fsid", fsid, str(folder / "monmap"))
    run("ceph-authtool", "-C", str(folder / "keyring"), "-g", "-n", "client.rgw.a")
    run("ceph-mon", *of, "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
    start("ceph-mon", *of, "-i", "a")
    number = run("ceph", *of, "osd", "create")
    run("ceph-osd", *of, "-i", number, "--mkfs")
    start("ceph-osd", *of, "-i", number)
    # Without keys, the gateway cannot negotiate the secure mode of the second protocol.
    crc = (f"--mon_host=[v1:127.0.0.1:{second}]", "--ms_mon_client_mode=crc", "--ms_client_mode=crc")
    gateway = (*of, "-n", "client.rgw.a", *crc)
    start("radosgw", *gateway)
    endpoint = f"http://127.0.0.1:{port}"
    _wait(lambda: _answers(endpoint), "the gateway")
    for user, secret in (OWNER, STRANGER):
        about = ("--uid", user, "--display-name", user, "--access-key", user, "--secret-key", secret)
        run("radosgw-admin", *gateway, "user", "create", *about)
    make_bucket(endpoint, BUCKET)
    return endpoint


def make_bucket(endpoint: str, name: str) -> None:
    """Make the owner's bucket. Signed in the older way, which takes three lines."""
    host = urllib.parse.urlsplit(endpoint).netloc
    when = email.utils.formatdate(usegmt=True)
    signed = hmac.new(OWNER[1].encode(), f"PUT\n\n\n{when}\n/{name}".encode(), hashlib.sha1).digest()
    headers = {"Date": when, "Authorization": f"AWS {OWNER[0]}:{base64.b64encode(signed).decode()}"}
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as client:
        client.request("PUT", f"/{name}", headers=headers)
        answer = client.getresponse()
        assert answer.status == 200, answer.read()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(endpoint, timeout=2):
            return True
    except OSError:
        return False


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no sign of {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
