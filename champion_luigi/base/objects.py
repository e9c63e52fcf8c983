"""Objects in a bucket: one PUT writes a whole object, perhaps under a condition. `obstore` speaks to the store.

A process that was forked from one that has used the client would hang in it, as with Polars. Luigi's own workers are
such processes; there, a helper process that was not forked speaks to the store.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from champion_luigi.base import extras
from champion_luigi.base.errors import SettingsError, StorageError, StoreUnreachable

# A request that takes longer is given up; the client itself repeats one that failed on the way, within as long again.
REQUEST_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_RETRIES = 2
# Google's store takes a write a second of one object; it refuses others for a moment.
_PAUSE_SECONDS, _PAUSES = 1.0, 3

_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_WRONG_KEY = set(
    "SignatureDoesNotMatch InvalidAccessKeyId AuthFailure AuthenticationFailed ExpiredToken InvalidToken".split()
)
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_BUSY = {"SlowDown", "ServiceUnavailable", "RequestTimeout", "InternalError", "ServerBusy", "TooManyRequests"}
# Another request about the same object was on its way.
_BUSY |= {"OperationAborted", "ConditionalRequestConflict"}

# The answers that are no errors. Any other one is, or else a write that was refused would count as done.
_NONE = {"get": "absent", "head": "absent", "create": "unmet", "replace": "absent unmet", "delete": "absent"}


def ask(verb: str, bucket: str, key: str, *arguments: Any) -> Any:
    """The store's answer about an object, or those below it; None for what is absent, or if a condition does not hold.

    The verbs are get (content and tag), head (size, tag and time), put, create, replace, list (from a name on) and
    delete. Raises StoreUnreachable if the store does not answer, SettingsError if it does not know the bucket or the
    key, NotInstalled, and StorageError for any other refusal.
    """
    from champion_luigi.base.object_options import options

    kind, answer = _answer(verb, bucket, tuple(options(bucket).items()), (key, *arguments))
    for _ in range(_PAUSES):
        if kind != "failed" or "429" not in _STATUS.findall(answer):
            break
        time.sleep(_PAUSE_SECONDS)
        kind, answer = _answer(verb, bucket, tuple(options(bucket).items()), (key, *arguments))
    if kind == "ok":
        return answer
    code = next(iter(_CODE.findall(answer)), "")
    if kind in _NONE.get(verb, "").split() and code not in _NO_BUCKET:
        return None
    if kind == "unopened":
        raise SettingsError(
            f"the client of {bucket} cannot use its settings",
            source=f"{bucket}/{key}",
            found=_first_line(answer),
            todo=f"Check {_CREDENTIALS[bucket.partition(':')[0]]}.",
        )
    if verb == "head" and not code:
        # The answer to HEAD has no body, so the reason is in that to GET.
        _, reason = _answer("get", bucket, tuple(options(bucket).items()), (key,))
        if isinstance(reason, str):
            code = next(iter(_CODE.findall(reason)), "")
    raise _error_of(bucket, key, code, answer)


def _error_of(bucket: str, key: str, code: str, text: str) -> Exception:
    status = next(iter(_STATUS.findall(text)), "")
    found = " ".join(filter(None, (status, code))) or _first_line(text)
    about: dict[str, Any] = {"source": f"{bucket}/{key}", "found": found}
    if code in _NO_BUCKET:
        return SettingsError(
            f"the bucket {bucket} does not exist", todo="Make it, or correct its name in the settings.", **about
        )
    if "169.254.169.254" in text or "metadata.google" in text or ("redential" in text and not status):
        return SettingsError(
            f"there are no credentials for {bucket}",
            source=f"{bucket}/{key}",
            todo=f"Set {_CREDENTIALS[bucket.partition(':')[0]]}.",
        )
    if code in _WRONG_KEY or status == "401" or "failed to authenticate" in text:
        return SettingsError(f"the store of {bucket} does not accept the key", todo="Check key and secret.", **about)
    if code in _OTHER_REGION or status in ("301", "307"):
        return SettingsError(f"{bucket} is in another region", todo="Set AWS_REGION to the bucket's.", **about)
    if status == "403":
        return SettingsError(
            f"the key has no right to do this in {bucket}",
            todo="It needs the rights to list the bucket, and to get, put and delete objects below the folder.",
            **about,
        )
    if status == "501" or code == "NotImplemented":
        return SettingsError(f"the store of {bucket} cannot do this", todo="Use another store.", **about)
    if not status or status[0] == "5" or status in ("408", "429") or code in _BUSY:
        return StoreUnreachable(
            f"the object store of {bucket} does not answer",
            todo="Run the same command again when it answers; nothing half-written is left.",
            **about,
        )
    return StorageError("the object store refused a request", todo="Check the store and its settings.", **about)


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    # The reason follows the request's address and duration.
    return line.rpartition(" - ")[2][:200]


# The client, in this process or in a helper

_first_use = threading.Lock()
_used_by: int | None = None
_helper: tuple[int, Any] | None = None


def _answer(verb: str, bucket: str, given: tuple[tuple[str, str], ...], arguments: Sequence[Any]) -> tuple[str, Any]:
    global _used_by  # noqa: PLW0603 - one client a process
    extras.require("s3", f"the store {bucket}")
    with _first_use:
        if _used_by is None:
            _used_by = os.getpid()
    if _used_by == os.getpid():
        return _done(verb, bucket, given, arguments)
    return _by_helper((verb, bucket, given, arguments))


def _by_helper(request: object) -> tuple[str, Any]:
    global _helper  # noqa: PLW0603 - one helper a process
    import pickle
    import subprocess

    with _first_use:
        if _helper is None or _helper[0] != os.getpid():
            path = os.pathsep.join(filter(None, sys.path))
            _helper = (
                os.getpid(),
                subprocess.Popen(
                    [sys.executable, "-m", "champion_luigi.base.objects"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": path},
                    # Ctrl-C is for the process that it helps, whose end also ends it.
                    start_new_session=True,
                ),
            )
        helper = _helper[1]
        assert helper.stdin is not None
        assert helper.stdout is not None
        try:
            pickle.dump(request, helper.stdin)
            helper.stdin.flush()
            found: tuple[str, Any] = pickle.load(helper.stdout)  # noqa: S301 - from our own process
        except (OSError, EOFError):
            _helper = None
            return "failed", "the process that speaks to the store has ended"
        return found


def serve() -> None:
    """Answer the requests of another process, until it ends."""
    import pickle

    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            request = pickle.load(requests)  # noqa: S301 - from our own process
        except EOFError:
            return
        pickle.dump(_done(*request), answers)
        answers.flush()


def _done(verb: str, bucket: str, given: tuple[tuple[str, str], ...], arguments: Sequence[Any]) -> tuple[str, Any]:
    """The kind of the answer, and the answer, or the text of the error."""
    from obstore import exceptions

    from champion_luigi.base.object_options import variables

    try:
        client = _client(bucket, given, variables(bucket))
    except (exceptions.BaseError, ValueError) as error:
        return "unopened", str(error)
    try:
        return "ok", _VERBS[verb](client, *arguments)
    except FileNotFoundError as error:
        return "absent", str(error)
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        return "unmet", str(error)
    except (exceptions.BaseError, ValueError) as error:
        return "failed", str(error)


@functools.lru_cache(maxsize=8)
def _client(bucket: str, given: tuple[tuple[str, str], ...], _read: tuple[tuple[str, str], ...]) -> Any:
    from datetime import timedelta

    from obstore import store

    named = dict(given)
    client: dict[str, Any] = {
        "timeout": timedelta(seconds=REQUEST_SECONDS),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
    }
    if named.pop("allow_http", ""):
        client["allow_http"] = True
    retry: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=REQUEST_SECONDS)}
    opened: Any = store.from_url
    return opened(bucket, config=named, client_options=client, retry_config=retry)


def _get(client: Any, key: str) -> tuple[bytes, str]:
    import obstore

    found = obstore.get(client, key)
    return bytes(found.bytes()), _tag(found.meta)


def _head(client: Any, key: str) -> tuple[int, str, float]:
    import obstore

    found = obstore.head(client, key)
    return int(found["size"]), _hash(found), found["last_modified"].timestamp()


def _put(client: Any, key: str, content: bytes, mode: Any = "overwrite") -> str:
    import obstore

    # Not in parts: one request is whole or nothing.
    return _tag(obstore.put(client, key, content, mode=mode, use_multipart=False))


def _create(client: Any, key: str, content: bytes) -> str:
    return _put(client, key, content, "create")


def _replace(client: Any, key: str, content: bytes, tag: str) -> str:
    from obstore import exceptions

    e_tag, _, version = tag.partition(" ")
    expected = {"e_tag": f'"{e_tag}"'} | ({"version": version} if version else {})
    try:
        return _put(client, key, content, expected)
    except exceptions.PreconditionError:
        # Ceph compares the tag with its quotes.
        return _put(client, key, content, expected | {"e_tag": e_tag})


def _list(client: Any, prefix: str, start: str, stop: str, most: int) -> list[tuple[str, int, str, float]]:
    import obstore

    # The client's offset is the name before the first.
    offset = start[:-1] if start else None
    pages: Iterator[Any] = iter(obstore.list(client, prefix or None, offset=offset, chunk_size=1000))
    found: list[tuple[str, int, str, float]] = []
    for page in pages:
        found += [
            (str(each["path"]), int(each["size"]), _hash(each), each["last_modified"].timestamp()) for each in page
        ]
        # Stores list by name.
        if found and ((most and len(found) >= most) or (stop and found[-1][0] >= stop)):
            break
    return found


def _delete(client: Any, key: str) -> None:
    import obstore

    obstore.delete(client, key)


def _tag(about: Any) -> str:
    """The store's name for a state of an object: its hash and, where states are numbered, the number."""
    return " ".join(filter(None, (_hash(about), about.get("version"))))


def _hash(about: Any) -> str:
    """The tag without quotes, which a listing also has; the number is only in the answer about an object."""
    return (about.get("e_tag") or "").strip('"')


_VERBS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "head": _head,
    "put": _put,
    "create": _create,
    "replace": _replace,
    "list": _list,
    "delete": _delete,
}

if __name__ == "__main__":
    serve()
