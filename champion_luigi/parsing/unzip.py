"""The one CSV inside a published zip, however hostile the zip."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from datetime import date

from champion_luigi.base.errors import RejectedPayload, TruncatedPayload

# Fifty times the largest day. What a program makes of a text is many times its size.
MAX_UNZIPPED_BYTES = 32 * 1024 * 1024
# Of a zip that is to have one.
_MOST_MEMBERS = 1_000
_ZIP_MAGIC = b"PK\x03\x04"
_MEMBER_MAGIC = b"PK\x01\x02"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_ENCRYPTED = 0x1
_SHOWN_LETTERS = 200


def unzip(payload: bytes, day: date, source: str, max_bytes: int = MAX_UNZIPPED_BYTES) -> bytes:
    """The one CSV inside a zip, or the payload itself where it is no zip. Member names are never used as paths."""
    if not payload:
        raise TruncatedPayload("the payload has no bytes", day=day, source=source)
    if _ZIP_MAGIC.startswith(payload):
        raise TruncatedPayload("the zip is cut short", day=day, source=source, found=f"{len(payload)} bytes")
    if not payload.startswith((_ZIP_MAGIC, _EMPTY_ZIP_MAGIC)):
        return payload
    # zipfile keeps them all, a kilobyte each.
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
        # zipfile unpacks the others without any limit, and their errors are of no common kind.
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
        # No more than the directory says, which is the sender's word: where it is not true, the checksum is wrong.
        content = file.read(member.file_size + 1)
    if content.startswith(_ZIP_MAGIC):
        raise RejectedPayload("the zip holds another zip", day=day, source=source, expected="one CSV")
    return content


def _words(error: BaseException) -> str:
    """What zipfile says; it repeats names that may be of any length."""
    return str(error)[:_SHOWN_LETTERS]
