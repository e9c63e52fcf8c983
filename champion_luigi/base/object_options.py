"""How to reach an object store, by the variables and files that its own tools read. None of them is ever shown.

For S3: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_ENDPOINT_URL``, ``AWS_REGION``;
or a profile (``AWS_PROFILE``) of ``~/.aws/credentials`` and ``~/.aws/config``; without any, the machine's credentials.
The client itself reads the variables of Google and Azure; it only has to be allowed to speak to an address without TLS.
"""

from __future__ import annotations

import configparser
import functools
import os
from collections.abc import Mapping
from pathlib import Path

# The variables that hold secrets, of all stores.
SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_REGION = "us-east-1"
# The variables by which a client finds a store that is not Google's or Microsoft's own.
_ENDPOINTS = {"az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"), "gs": ("GOOGLE_BASE_URL",)}


def options(bucket: str) -> dict[str, str]:
    """The client's options for a bucket, ``s3://bucket``, by the names that obstore and Polars share."""
    if not bucket.startswith("s3:"):
        return _over_http(_first(*_ENDPOINTS.get(bucket.partition(":")[0], ())))
    profile = _profile()
    found = {name: os.environ.get(name.upper(), "") for name in _KEYS}
    if not found[_KEYS[0]]:
        found = {name: profile.get(name, "") for name in _KEYS}
    endpoint = _first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") or profile.get("endpoint_url", "")
    found["aws_region"] = _first("AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region", "") or _REGION
    found["aws_endpoint_url"] = endpoint.rstrip("/")
    return {name: value for name, value in found.items() if value} | _over_http(endpoint)


def variables(bucket: str) -> tuple[tuple[str, str], ...]:
    """What a client reads by itself, so that one with other values is another client; of S3, `options` has it all."""
    names = {"gs": "GOOGLE_", "az": "AZURE_"}.get(bucket.partition(":")[0])
    return tuple((name, value) for name, value in os.environ.items() if names and name.startswith(names))


def secrets() -> frozenset[str]:
    """The secrets that the variables and the profile hold."""
    profile = _profile()
    held = {os.environ.get(name, "") for name in SECRET_VARIABLES} | {profile.get(name, "") for name in _KEYS[1:]}
    return frozenset(held - {""})


def _over_http(endpoint: str) -> dict[str, str]:
    return {"allow_http": "true"} if endpoint.startswith("http://") else {}


def _first(*names: str) -> str:
    return next(filter(None, (os.environ.get(name, "") for name in names)), "")


def _profile() -> Mapping[str, str]:
    """The profile as the files have it; empty without them."""
    name = _first("AWS_PROFILE", "AWS_DEFAULT_PROFILE") or "default"
    files = (
        (os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config", name if name == "default" else f"profile {name}"),
        (os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", name),
    )
    found: dict[str, str] = {}
    for file, section in files:
        path = os.path.expanduser(file)  # noqa: PTH111 - a path without a home stays as it is
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            continue
        found |= _section(path, section, (status.st_size, status.st_mtime_ns))
    return found


@functools.lru_cache(maxsize=8)
def _section(path: str, section: str, _signature: tuple[int, int]) -> Mapping[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"))
        return dict(parser[section])
    except (OSError, ValueError, KeyError, configparser.Error):
        # The text of such an error can quote the file.
        return {}
