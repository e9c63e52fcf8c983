"""Zips that are the same on every machine."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from datetime import date


def zipped(path: str, content: bytes, day: date) -> bytes:
    """A zip with one file, named as the last part of ``path`` without ``.zip`` and dated the evening of ``day``."""
    return zipped_all({path.rpartition("/")[2].removesuffix(".zip"): content}, day)


def zipped_all(members: Mapping[str, bytes], day: date) -> bytes:
    """A zip with these files, dated the evening of ``day``."""
    buffer = io.BytesIO()
    # Stored, although the exchange deflates: zlib and zlib-ng give different bytes for the same input.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, (day.year, day.month, day.day, 18, 0, 0))
            member.create_system = 3  # otherwise it depends on the machine
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return buffer.getvalue()
