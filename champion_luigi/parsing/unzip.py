"""The one file of a published zip that a data set reads, however hostile the zip."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from champion_luigi.base.errors import RejectedPayload, TruncatedPayload, WrongDate
from champion_luigi.datasets.model import Source

# Fifty times the largest day. A parsed text takes many times its size in memory.
MAX_UNZIPPED_BYTES = 32 * 1024 * 1024
# The most members that zipfile may list; a good zip has one, or up to 25.
_MOST_MEMBERS = 1_000
_ZIP_MAGIC = b"PK\x03\x04"
_MEMBER_MAGIC = b"PK\x01\x02"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_ENCRYPTED = 0x1
# A member of every workbook (XLSX). Its name stands in the bytes even if the zip is damaged.
_WORKBOOK_MEMBER = b"xl/workbook.xml"
# zipfile's messages can quote names of any length.
_SHOWN_LETTERS = 200


def unzip(
    payload: bytes, day: date, source: str, max_bytes: int = MAX_UNZIPPED_BYTES, of: Source | None = None
) -> tuple[bytes, str]:
    """The data set's file inside a zip and its member's name; the payload itself and no name if it is not a zip.

    The file is the zip's only member, or the one that ``of`` names. Member names are never used as paths. Raises
    TruncatedPayload, RejectedPayload, or WrongDate if the zip has another day's file; each names ``source``.
    """
    about: dict[str, Any] = {"day": day, "source": source}
    if not payload:
        raise TruncatedPayload("the payload has no bytes", **about)
    if _ZIP_MAGIC.startswith(payload):
        raise TruncatedPayload("the zip is cut short", **about, found=f"{len(payload)} bytes")
    if not payload.startswith((_ZIP_MAGIC, _EMPTY_ZIP_MAGIC)):
        return payload, ""
    if _WORKBOOK_MEMBER in payload:
        what = "the payload is an Excel workbook, not the file"
        raise RejectedPayload(what, **about, expected="a zip or CSV", found=f"{_WORKBOOK_MEMBER.decode()} in the zip")
    # zipfile holds every member in memory, a kilobyte each.
    if (members := payload.count(_MEMBER_MAGIC)) > _MOST_MEMBERS:
        raise RejectedPayload("the zip does not hold one file", **about, expected="one CSV", found=f"{members:,}")
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            member = _member(archive, about, of)
            return _content(archive, member, about, max_bytes), _name(member)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        what = f"the zip is damaged or cut short: {str(error)[:_SHOWN_LETTERS]}"
        raise TruncatedPayload(what, **about, found=f"{len(payload):,} bytes") from error
    except (NotImplementedError, RuntimeError, ValueError, OverflowError, OSError, LookupError, struct.error) as error:
        raise RejectedPayload(f"the zip cannot be read: {str(error)[:_SHOWN_LETTERS]}", **about) from error


def _member(archive: zipfile.ZipFile, about: Mapping[str, Any], of: Source | None) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    if of is None or not of.is_one_of_many:
        if len(members) != 1:
            found = f"{len(members)}: {_listed(members)}"
            raise RejectedPayload("the zip does not hold one file", **about, expected="one CSV", found=found)
        return members[0]
    day = about["day"]
    expected = "one member " + " or ".join(of.members_of(day))
    own = [member for member in members if of.is_member(_name(member), day)]
    if len(own) == 1:
        return own[0]
    if own:
        what = "the zip holds the day's file more than once"
        raise RejectedPayload(what, **about, expected=expected, found=_listed(own))
    if others := [member for member in members if of.is_others_member(_name(member), day)]:
        raise WrongDate("the zip holds another day's file", **about, expected=expected, found=_listed(others))
    found = f"{len(members)}: {_listed(members)}"
    raise RejectedPayload("the zip lacks the day's file", **about, expected=expected, found=found)


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.rpartition("/")[2]


def _listed(members: Sequence[zipfile.ZipInfo]) -> str:
    return ", ".join(repr(member.filename[:80]) for member in members[:25]) or "nothing"


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, about: Mapping[str, Any], max_bytes: int) -> bytes:
    if member.flag_bits & _ENCRYPTED:
        raise RejectedPayload("the zip is encrypted", **about, expected="a plain zip")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks other methods without a limit, and their errors have no common type.
        found = f"method {member.compress_type}"
        raise RejectedPayload("the zip is compressed in an unusual way", **about, expected="deflate", found=found)
    if member.file_size > max_bytes:
        limit = f"at most {max_bytes:,} bytes"
        what = "the zip unzips to more than is allowed"
        raise RejectedPayload(what, **about, expected=limit, found=f"{member.file_size:,}")
    with archive.open(member) as file:
        # Read no more than the directory's size, which is only the sender's claim: if false, the checksum fails.
        content = file.read(member.file_size + 1)
    if content.startswith(_ZIP_MAGIC):
        raise RejectedPayload("the zip holds another zip", **about, expected="one CSV")
    return content
