"""An object store on loopback that lacks what a real one has: it ignores conditions of writing, or never answers.

Enough of S3 for the client: objects are written, read, listed and deleted; keys are not checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class OddStore:
    """The store. ``heeds`` are the conditions that it knows; with ``answers`` it answers requests from now on.

    With ``status``, it answers every request with that status of HTTP.
    """

    def __init__(self, heeds: tuple[str, ...] = (), status: int = 0) -> None:
        self.heeds, self.status = heeds, status
        # After so many requests, so many fail.
        self.fail_after, self.failures = 0, 0
        self.answers = threading.Event()
        self.answers.set()
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name it."""
        keys = {"AWS_ACCESS_KEY_ID": "odd", "AWS_SECRET_ACCESS_KEY": "odd-secret", "AWS_REGION": "us-east-1"}
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_address[1]}", **keys}

    def __enter__(self) -> Self:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                store.answers.wait()
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with store._lock:
                    store.requests.append(f"{self.command} {self.path}")
                    fails = store.failures and len(store.requests) > store.fail_after
                    store.failures -= bool(fails)
                    status = store.status or (503 if fails else 0)
                    answered, body, tag = (status, b"", "") if status else store._answer(self, content)
                self.send_response(answered)
                self.send_header("Content-Length", str(len(body)))
                if tag:
                    self.send_header("ETag", f'"{tag}"')
                    # As with a bucket that numbers the states of an object; a listing does not have the number.
                    self.send_header("x-amz-version-id", f"v{len(store.requests)}")
                    self.send_header("Last-Modified", "Mon, 15 Jan 2024 12:00:00 GMT")
                # A client that has given up does not read.
                with contextlib.suppress(OSError):
                    self.end_headers()
                    self.wfile.write(b"" if self.command == "HEAD" else body)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815 - names of the base class

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, content: bytes) -> tuple[int, bytes, str]:
        parts = urlsplit(request.path)
        asked, key = parse_qs(parts.query, keep_blank_values=True), unquote(parts.path).split("/", 2)[-1]
        held = self.objects.get(key)
        tag = hashlib.md5(held).hexdigest() if held is not None else ""
        if request.command == "POST":
            names = re.findall(r"<Key>(.*?)</Key>", content.decode())
            for name in names:
                self.objects.pop(name, None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return 200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), ""
        if request.command == "DELETE":
            self.objects.pop(key, None)
            return 204, b"", ""
        if request.command == "PUT":
            same = request.headers.get("If-Match", "").strip('"') == tag
            unmet = {"If-None-Match": held is not None, "If-Match": not same}
            refused = any(unmet[name] and request.headers.get(name) and name in self.heeds for name in unmet)
            if refused:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>", ""
            self.objects[key] = content
            return 200, b"", hashlib.md5(content).hexdigest()
        if "list-type" in asked:
            found = sorted(name for name in self.objects if name.startswith(asked["prefix"][0]))
            listed = "".join(
                f"<Contents><Key>{escape(name)}</Key><LastModified>2024-01-15T12:00:00.000Z</LastModified>"
                f"<ETag>{hashlib.md5(self.objects[name]).hexdigest()}</ETag><Size>{len(self.objects[name])}</Size></Contents>"
                for name in found
            )
            head = f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
            return 200, f"<ListBucketResult>{head}{listed}</ListBucketResult>".encode(), ""
        return (404, b"<Error><Code>NoSuchKey</Code></Error>", "") if held is None else (200, held, tag)
