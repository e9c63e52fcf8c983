"""A real ClickHouse server for tests, with HTTP, users and passwords, and data that outlives the process.

The `chdb` wheel, which the embedded warehouse needs anyway, contains the whole engine: its module-level `query` is
clickhouse-local, which can open an HTTP listener. So a server is a subprocess that listens, and then reads standard
input to its end. It ends when `stop` closes that input, or when the process that started it dies.

    with ClickHouseServer(tmp_path / "warehouse") as server:
        client = clickhouse_connect.get_client(
            host=server.host, port=server.port, username=server.user, password=server.password
        )

`others` takes more users, each with its own rights and settings as a `User`; a user has only the rights granted to it.

`path` is an ordinary ClickHouse folder: an embedded client can open it once the server has stopped, and the other way
round. The server lacks replication, ON CLUSTER, CREATE USER, and the system log tables (query_log).
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import importlib.util
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
FIRST_ENGINE = (26, 7)  # 26.5 does not support SYSTEM START LISTEN

_START_SECONDS = 180.0  # 0.2 to 0.4 on a quiet machine
_STOP_SECONDS = 0.5  # 0.03, but 5 if a client has an open connection: the server is then terminated

# The engine reads clickhouse-local.xml from its working folder at its first query, not when chdb is imported.
_PROGRAM = """
import os, sys
from chdb import _chdb
os.chdir(sys.argv[1])
_chdb.query(sys.argv[3], "TabSeparated", path=sys.argv[2])
"""

_STATEMENTS = "SYSTEM START LISTEN HTTP; SELECT count() FROM file('-', 'LineAsString', 'line String')"

_CONFIG = """<clickhouse>
  <listen_host>{host}</listen_host>
  <http_port>{port}</http_port>
  <users_config>users.xml</users_config>
  <logger><level>none</level></logger>
</clickhouse>
"""

# The statements above run as `default`, so this user has to exist without a password. If the server has another user,
# `default` may only listen and read standard input.
_USERS = """<clickhouse>
  <profiles><default><implicit_select>0</implicit_select></default>{profiles}</profiles>
  <quotas><default/></quotas>
  <users>{users}</users>
</clickhouse>
"""

_USER = """
    <{name}>
      {password}
      <networks><ip>127.0.0.1</ip></networks>
      <profile>{profile}</profile>
      <quota>default</quota>{grants}
    </{name}>"""

_DEFAULT_GRANTS = ("SYSTEM LISTEN ON *.*", "FILE ON *.*", "CREATE TEMPORARY TABLE ON *.*")


@dataclass(frozen=True)
class User:
    """Another user of the server: ``grants`` such as ``"SELECT ON market.*"``, ``profile`` as the XML in a profile."""

    name: str
    password: str
    grants: tuple[str, ...] | None = None  # None: all rights
    profile: str = ""


def unavailable() -> str | None:
    """The reason why no server can run here, for skipping a test; None if one can."""
    if sys.platform not in ("linux", "darwin"):
        return f"no ClickHouse engine for {sys.platform}: chdb has builds for Linux and macOS"
    if importlib.util.find_spec("chdb") is None:
        return "no ClickHouse engine: chdb is not installed (pip install 'clickhouse-connect[chdb]')"
    try:
        version = importlib.metadata.version("chdb-core")
    except importlib.metadata.PackageNotFoundError:
        return "no ClickHouse engine: chdb is installed without chdb-core"
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < FIRST_ENGINE:
        return f"chdb-core {version} cannot listen: {'.'.join(map(str, FIRST_ENGINE))} or later is needed"
    return None


class ClickHouseServer:
    """A ClickHouse server on loopback over the data folder `path`, in a process of its own.

    Its port stays the same after `stop`, `kill` and `restart`, so a client's settings stay valid. With `user="default"`
    the password has to be empty.
    """

    def __init__(
        self,
        path: Path,
        *,
        user: str = "tester",
        password: str = "secret",
        port: int | None = None,
        others: Sequence[User] = (),
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", user):
            raise ValueError(f"this server cannot have a user of this name: {user!r}")
        if user == "default" and password:
            raise ValueError("the user 'default' of this server has no password: name another user")
        self.path = path.resolve()
        self.user = user
        self.password = password
        self.others = tuple(others)
        self.host = HOST
        self.port = port if port is not None else _find_free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the server; 0 while it is down."""
        if self._process is None or self._process.poll() is not None:
            return 0
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self.pid != 0

    def start(self) -> None:
        """Start the server and return when it answers. Does nothing if it runs already."""
        if self.is_running:
            return
        self._clean_up()
        self.path.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="clickhouse-server-")
        folder = Path(self._folder.name)
        config = folder / "config"
        config.mkdir()
        (config / "clickhouse-local.xml").write_text(_CONFIG.format(host=self.host, port=self.port))
        (config / "users.xml").write_text(_USERS.format(users=self._users(), profiles=self._profiles()))
        log = folder / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(config), str(self.path), _STATEMENTS],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only the tests, which then close the server's input
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip()
                self.kill()
                raise RuntimeError(f"the ClickHouse server {'ended' if ended else 'does not answer'}: {said}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in order. Acknowledged data is on disk, even after `kill`."""
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.terminate()
        self.kill()

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL)."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
        self._clean_up()

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _users(self) -> str:
        if self.user == "default":
            served = [User("default", "")]
        else:
            served = [User(self.user, self.password), User("default", "", _DEFAULT_GRANTS)]
        return "".join(_user(each) for each in [*served, *self.others])

    def _profiles(self) -> str:
        return "".join(f"<{each.name}>{each.profile}</{each.name}>" for each in self.others if each.profile)

    def _answers(self) -> bool:
        """Whether this server itself answers: another program may have taken the port."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        question = "SELECT value FROM system.server_settings WHERE name = 'path' FORMAT TSVRaw"
        try:
            headers = {"X-ClickHouse-User": self.user.encode(), "X-ClickHouse-Key": self.password.encode()}
            connection.request("POST", "/", body=question, headers=headers)
            return connection.getresponse().read().decode().rstrip("\n") == str(self.path)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _clean_up(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _user(user: User) -> str:
    digest = hashlib.sha256(user.password.encode()).hexdigest()
    password = f"<password_sha256_hex>{digest}</password_sha256_hex>" if user.password else "<password></password>"
    profile = user.name if user.profile else "default"
    grants = ""
    if user.grants is not None:
        queries = "".join(f"<query>GRANT {each}</query>" for each in user.grants)
        grants = f"\n      <grants>{queries}</grants>"
    return _USER.format(name=user.name, password=password, profile=profile, grants=grants)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
