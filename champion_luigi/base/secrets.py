"""Secrets in texts: starred out in every form in which programs write them, and left out of addresses.

A password comes back in other words than it was given: percent-encoded in a URL, escaped in JSON, HTML, SQL or a repr,
and in base64 together with a user's name, as HTTP sends it. A text is hidden before it is cut, as a part of a secret
could not be known again.
"""

from __future__ import annotations

import base64
import functools
import html
import itertools
import json
import re
from collections.abc import Callable, Collection
from urllib.parse import unquote, unquote_plus

# An address with a scheme; anything else is a path.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:)//(?P<rest>.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?:\[[^]]*\]|[^:\[\]]*)(?::\d*)?")
_SECRET_NAME = re.compile(
    r"(?:^|[_-])pass|passw|pwd|secret|token|credential|(?:^|[_-])(?:auth|sig|key)$|apikey|authorization|signature",
    re.IGNORECASE,
)
_DOUBLED = "'\"%$"
# A shorter part of a password in base64 could be of anything.
_LEAST_BASE64 = 5

# Where the process's secrets are known: `settings` says so when it is imported.
_known: Callable[[], Collection[str]] = frozenset


def known_by(secrets: Callable[[], Collection[str]]) -> None:
    """Let `hidden` hide what this function gives when it is called."""
    global _known  # noqa: PLW0603 - one a process
    _known = secrets


def hidden(text: str) -> str:
    """A text with every secret of this process starred out."""
    return starred(text, _known())


def starred(text: str, secrets: Collection[str]) -> str:
    """A text with each of these starred out, in whatever form it is written."""
    found = frozenset(secrets) - {""}
    return _pattern(found).sub("***", text) if found and text else text


def in_address(address: str) -> set[str]:
    """The password in an address, and the values of its query whose names are those of secrets, as written and decoded.

    A proxy's address may have no scheme. A password may have characters in it that it should not have unescaped.
    """
    match = _ADDRESS.match(address)
    user, rest = _split(match["rest"] if match else address)
    found = {user.partition(":")[2]}
    query = rest.partition("?")[2].partition("#")[0]
    for part in re.split("[&;]", query):
        name, _, value = part.partition("=")
        if _SECRET_NAME.search(unquote(name)):
            found |= {value, unquote_plus(value)}
    return {form for each in found for form in (each, unquote(each))} - {""}


def public(address: str) -> str:
    """An address as it may be shown and stored: neither user nor password, and no query. A path stays as it is."""
    match = _ADDRESS.match(address)
    if match is None:
        return address.rpartition("@")[2] if re.match("[^/@]*:[^/]*@", address) else address
    _, rest = _split(match["rest"])
    return f"{match['scheme']}//{re.split('[?#]', rest, maxsplit=1)[0]}"


def _split(rest: str) -> tuple[str, str]:
    """User and password, and what follows them, of an address without its scheme."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    # Where what should be host and port is not, an unescaped / ? or # in a password has cut it: it ends at the last @.
    end = len(authority) if "@" in authority or _HOST_AND_PORT.fullmatch(authority) else len(rest)
    user, _, host = rest[:end].rpartition("@")
    return user, host + rest[end:]


@functools.lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    # The longest first: one may hold another.
    ordered = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join([*map(_as_escaped, ordered), *map(_in_base64, ordered)]))


def _as_escaped(secret: str) -> str:
    """A pattern for a secret with any of its characters escaped once, in any of the usual ways."""
    # Texts that are put on one line have single blanks, whichever they were.
    return "".join(
        rf"(?:{'|'.join(map(_character, {*blanks, ' '}))}|\+)+" if blanks else _character(character)
        for blanks, character in re.findall(r"(\s+)|(\S)", secret)
    )


def _character(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    code, encoded = ord(character), character.encode(errors="surrogatepass")
    escapes = {
        "".join(f"%{byte:02x}" for byte in encoded),
        json.dumps(character)[1:-1],
        rf"\u{code:04x}",
        ascii(character)[1:-1],
        repr(encoded)[2:-1],
        html.escape(character),
        f"&#{code};",
        f"&#x{code:x};",
    }
    # The longest first here too.
    escaped = "|".join(map(re.escape, sorted(escapes - {character}, key=len, reverse=True)))
    # Or else as it is, behind backslashes, or twice, as SQL, CSV and luigi.cfg have it.
    return rf"\\*(?:(?i:{escaped})|{re.escape(character)}{'{1,2}' if character in _DOUBLED else ''})"


def _in_base64(secret: str) -> str:
    """A pattern for base64 of a text that the secret stands in; one that matches nothing where the secret is short."""
    parts = set()
    # HTTP's own encoding is Latin-1 for some libraries.
    contents = {secret.encode(errors="surrogatepass"), secret.encode("latin-1", errors="ignore")}
    for content, before in itertools.product(contents, range(3)):
        text = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        # Letters at both ends also depend on the neighbours.
        part = text[(0, 2, 3)[before] : len(text) - (1 if (before + len(content)) % 3 else 0)]
        parts |= {part, part.translate(str.maketrans("+/", "-_"))}
    long_enough = sorted(re.escape(part) for part in parts if len(part) >= _LEAST_BASE64)
    around = "[A-Za-z0-9+/_-]"
    return rf"{around}{{0,4}}(?:{'|'.join(long_enough)}){around}{{0,3}}(?:=|%3D)*" if long_enough else r"(?!)"
