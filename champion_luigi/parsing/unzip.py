"""The one CSV inside a published zip, however hostile the zip."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from datetime import date

from champion_luigi.base.errors import RejectedPayload, TruncatedPayload

# Fifty times the largest day. A parsed text takes many times its size in memory.
MAX_UNZIPPED_BYTES = 32 * 1024 * 1024
# The most members that zipfile may list; a good zip has one.
_MOST_MEMBERS = 1_000
_ZIP_MAGIC = b"PK\x03\x04"
_MEMBER_MAGIC = b"PK\x01\x02"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_ENCRYPTED = 0x1
_SHOWN_LETTERS = 200


def unzip(payload: bytes, day: date, source: str, max_bytes: int = MAX_UNZIPPED_BYTES) -> bytes:
    """The one CSV inside a zip, or the payload itself if it is not a zip. Member names are never used as paths."""
    if not payload:
        raise TruncatedPayload("the payload has no bytes", day=day, source=source)
    if _ZIP_MAGIC.startswith(payload):
        raise TruncatedPayload("the zip is cut short", day=day, source=source, found=f"{len(payload)} bytes")
    if not payload.startswith((_ZIP_MAGIC, _EMPTY_ZIP_MAGIC)):
        return payload
    # zipfile holds every member in memory, a kilobyte each.
    if (members := payload.count(_MEMBER_MAGIC)) > _MOST_MEMBERS:
        raise RejectedPayload(
            "the zip does not hold one file", day=day, source=source, expected="one CSV", found=f"{members:,}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            return _only_member(archive, day, source, max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TruncatedPayload(
            f"the zip is damaged or cut short: {_words(error)}", day=day, source=source, found=f"{len(payload):,} bytes"
        ) from error
    except (NotImplementedError, RuntimeError, ValueError, OverflowError, OSError, LookupError, struct.error) as error:
        raise RejectedPayload(f"the zip cannot be read: {_words(error)}", day=day, source=source) from error


def _only_member(archive: zipfile.ZipFile, day: date, source: str, max_bytes: int) -> bytes:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    if len(members) != 1:
        names = ", ".join(repr(member.filename[:80]) for member in members[:5]) or "nothing"
        raise RejectedPayload(
            "the zip does not hold one file",
            day=day,
            source=source,
            expected="one CSV",
            found=f"{len(members)}: {names}",
        )
    member = members[0]
    if member.flag_bits & _ENCRYPTED:
        raise RejectedPayload("the zip is encrypted", day=day, source=source, expected="a plain zip")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks other methods without a limit, and their errors have no common type.
        raise RejectedPayload(
            "the zip is compressed in an unusual way",
            day=day,
            source=source,
            expected="deflate",
            found=f"method {member.compress_type}",
        )
    if member.file_size > max_bytes:
        raise RejectedPayload(
            "the zip unzips to more than is allowed",
            day=day,
            source=source,
            expected=f"at most {max_bytes:,} bytes",
            found=f"{member.file_size:,}",
        )
    with archive.open(member) as file:
        # Read no more than the directory's size, which is only the sender's claim: if false, the checksum fails.
        content = file.read(member.file_size + 1)
    if content.startswith(_ZIP_MAGIC):
        raise RejectedPayload("the zip holds another zip", day=day, source=source, expected="one CSV")
    return content


def _words(error: BaseException) -> str:
    """zipfile's message, cut short: it can quote names of any length."""
    return str(error)[:_SHOWN_LETTERS]
