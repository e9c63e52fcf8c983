"""The hosts of a warehouse as a setting lists them: ``a,b:8124,[::1]:8123``."""

from __future__ import annotations

import ipaddress
import re


def parsed(text: str, port: int) -> tuple[tuple[str, int], ...]:
    """Each host with its port, which is ``port`` where none is given. Raises ValueError if one cannot be used."""
    if not text.strip():
        return ()
    found = tuple(_of(each.strip(), port) for each in text.split(","))
    if len(set(found)) < len(found):
        raise ValueError("a host is listed twice")
    return found


def _of(text: str, port: int) -> tuple[str, int]:
    host, found = text, port
    bracketed = re.fullmatch(r"(\[[^\]]*\])(?::(\d+))?", text)
    if bracketed:
        host = bracketed[1]
        found = int(bracketed[2] or port)
    elif text.count(":") == 1:
        host, _, written = text.partition(":")
        found = int(written) if written.isdecimal() else 0
    if ":" in host or "[" in host:
        ipaddress.IPv6Address(host.partition("%")[0].strip("[]"))
    elif not host or re.search(r"[\s/@?#\\]", host):
        raise ValueError
    if not 1 <= found <= 65535:
        raise ValueError
    return host, found
