"""A store with the XML API of Google Cloud Storage on loopback, as Google describes it; no emulator speaks all of it.

What it takes from the description: generations, which grow with each write; the condition x-goog-if-generation-match,
where 0 stands for an absent object, and 412 where it does not hold; lists by name, in pages with a token; 404 for what
is absent, also to DELETE; 401 for a token that no key of an account has signed, and 403 for an account without rights.
An account signs its tokens itself (RS256), with the key of its file. Source: the pages below
https://cloud.google.com/storage/docs/xml-api and https://developers.google.com/identity/protocols/oauth2/service-account

    with google_server.running(tmp_path) as store:
        store.environment  # the variables that a process needs
        store.address("lake")  # gs://champion/...
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from s3_server import Store

BUCKET = "champion"
# The accounts: the bucket's owner, and one without rights. Both have files in the folder. So has a third, OTHER_KEY,
# which names the owner, but has another key.
OWNER, STRANGER, OTHER_KEY = "owner", "stranger", "other-key"
# Less than Google's 1000, so that a few days need some pages.
_PAGE = 25


def account_file(store: Store, name: str) -> str:
    """The file of an account."""
    return str(Path(store.environment["GOOGLE_APPLICATION_CREDENTIALS"]).with_name(f"{name}.json"))


@dataclass
class _Object:
    content: bytes
    generation: int
    written: float

    @property
    def tag(self) -> str:
        return f'"{hashlib.md5(self.content).hexdigest()}"'


@dataclass
class _Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    """The store: its objects, and the public keys of the accounts."""

    daemon_threads = True

    def __init__(self, keys: dict[str, rsa.RSAPublicKey], gap_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys, self.gap_seconds = keys, gap_seconds
        self.objects: dict[str, _Object] = {}
        self.lock = threading.Lock()
        self._generation = int(time.time() * 1e6)

    def answer(self, verb: str, path: str, headers: Any, content: bytes) -> _Answer:
        if refused := self._refused(headers.get("Authorization", "")):
            return refused
        parts = urlsplit(path)
        bucket, _, key = parts.path.lstrip("/").partition("/")
        asked = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if bucket != BUCKET:
            return _error(404, "NoSuchBucket")
        if not key:
            return self._listed(asked) if verb == "GET" else _error(405, "MethodNotAllowed")
        with self.lock:
            found = self._about(verb, unquote(key), headers.get("x-goog-if-generation-match"), content)
        asks_part = verb == "GET" and found.status == 200 and "Range" in headers
        return _part(found, headers["Range"]) if asks_part else found

    def _refused(self, authorization: str) -> _Answer | None:
        try:
            signed, _, signature = authorization.removeprefix("Bearer ").rpartition(".")
            claims = json.loads(_decoded(signed.partition(".")[2]))
            self.keys[claims["iss"]].verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            is_in_time = claims["iat"] - 300 < time.time() < claims["exp"]
        except (ValueError, KeyError, InvalidSignature):
            is_in_time = False
        if not is_in_time:
            return _error(401, "AuthenticationRequired")
        return _error(403, "AccessDenied") if claims["iss"] != OWNER else None

    def _about(self, verb: str, key: str, expected: str | None, content: bytes) -> _Answer:
        held = self.objects.get(key)
        if expected is not None and int(expected) != (held.generation if held else 0):
            return _error(412, "PreconditionFailed")
        if verb == "PUT":
            if held and time.time() < held.written + self.gap_seconds:
                return _error(429, "SlowDown")
            self._generation += 1
            held = self.objects[key] = _Object(content, self._generation, time.time())
            return _Answer(200, headers=_headers(held))
        if held is None:
            return _error(404, "NoSuchKey")
        if verb == "DELETE":
            del self.objects[key]
            return _Answer(204)
        return _Answer(200, held.content, _headers(held))

    def _listed(self, asked: dict[str, str]) -> _Answer:
        if asked.get("list-type") != "2":
            return _error(400, "InvalidArgument")
        after = asked.get("start-after", "")
        if token := asked.get("continuation-token"):
            after = base64.urlsafe_b64decode(token).decode()
        with self.lock:
            names = sorted(name for name in self.objects if name > after and name.startswith(asked.get("prefix", "")))
            page = names[:_PAGE]
            listed = "".join(_entry(name, self.objects[name]) for name in page)
        is_cut = len(page) < len(names)
        following = base64.urlsafe_b64encode(page[-1].encode()).decode() if is_cut else ""
        body = (
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>"
            f"<Name>{BUCKET}</Name><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(is_cut).lower()}</IsTruncated>"
            + (f"<NextContinuationToken>{following}</NextContinuationToken>" if is_cut else "")
            + f"{listed}</ListBucketResult>"
        )
        return _Answer(200, body.encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answer(self.command, self.path, self.headers, content)
        # A client that has given up, or was killed, does not read.
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _error(status: int, code: str) -> _Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}.</Message></Error>"
    return _Answer(status, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def _part(whole: _Answer, asked: str) -> _Answer:
    """The bytes that a request asks for: ``bytes=2-5``, ``bytes=2-`` or ``bytes=-5``."""
    size = len(whole.body)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size:
        return _error(416, "InvalidRange")
    return _Answer(206, whole.body[start:stop], whole.headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def _headers(held: _Object) -> dict[str, str]:
    return {
        "ETag": held.tag,
        "x-goog-generation": str(held.generation),
        "x-goog-metageneration": "1",
        "Last-Modified": email.utils.formatdate(held.written, usegmt=True),
    }


def _entry(name: str, held: _Object) -> str:
    written = datetime.fromtimestamp(held.written, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        f"<Contents><Key>{escape(name)}</Key><Generation>{held.generation}</Generation>"
        f"<MetaGeneration>1</MetaGeneration><LastModified>{written}</LastModified><ETag>{escape(held.tag)}</ETag>"
        f"<Size>{len(held.content)}</Size></Contents>"
    )


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextlib.contextmanager
def running(folder: Path, gap_seconds: float = 0.0) -> Iterator[Store]:
    """A store of its own with a bucket, and with the accounts' files in ``folder``.

    It refuses a write to a name that was written less than ``gap_seconds`` ago. Google's limit is one a second.
    """
    made = {name: rsa.generate_private_key(65537, 2048) for name in (OWNER, STRANGER, OTHER_KEY)}
    for name, key in made.items():
        document = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": name,
            # For clients that let Google sign their tokens; ours do not.
            "token_uri": "http://127.0.0.1:9/token",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
            "client_email": OWNER if name == OTHER_KEY else name,
        }
        (folder / f"{name}.json").write_text(json.dumps(document))
    with _Server({name: made[name].public_key() for name in (OWNER, STRANGER)}, gap_seconds) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_address[1]}"
            variables = {
                "GOOGLE_BASE_URL": endpoint,
                "GOOGLE_APPLICATION_CREDENTIALS": str(folder / f"{OWNER}.json"),
            }
            yield Store(endpoint, f"gs://{BUCKET}", variables)
        finally:
            server.shutdown()
            thread.join()
