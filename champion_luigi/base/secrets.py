"""Secrets in texts: replaced by stars in every form that programs write, and removed from addresses.

A password can come back in another form: percent-encoded in a URL, escaped in JSON, HTML, SQL or a repr, or in base64
together with the user name, as HTTP sends it. Secrets are hidden before a text is cut, because part of a secret would
not be recognised.
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
# A shorter part of a password in base64 would match unrelated text.
_LEAST_BASE64 = 5

# Returns the secrets of this process; `settings` registers its own function when it is imported.
_known: Callable[[], Collection[str]] = frozenset


def known_by(secrets: Callable[[], Collection[str]]) -> None:
    """Register the function that returns the secrets; `hidden` calls it each time."""
    global _known  # noqa: PLW0603 - one per process
    _known = secrets


def hidden(text: str) -> str:
    """The text with every secret of this process replaced by stars."""
    return starred(text, _known())


def starred(text: str, secrets: Collection[str]) -> str:
    """The text with each of these secrets replaced by stars, in whatever form it is written."""
    found = frozenset(secrets) - {""}
    return _pattern(found).sub("***", text) if found and text else text


# Cached: each message of a task is searched for the secrets of the same few addresses.
@functools.lru_cache(maxsize=64)
def in_address(address: str) -> frozenset[str]:
    """The password in an address, and query values whose names suggest a secret, as written and as decoded.

    A proxy's address may have no scheme. A password may contain characters that should have been escaped.
    """
    match = _ADDRESS.match(address)
    user, rest = _split(match["rest"] if match else address)
    found = {user.partition(":")[2]}
    query = rest.partition("?")[2].partition("#")[0]
    for part in re.split("[&;]", query):
        name, _, value = part.partition("=")
        if _SECRET_NAME.search(unquote(name)):
            found |= {value, unquote_plus(value)}
    return frozenset(form for each in found for form in (each, unquote(each))) - {""}


def public(address: str) -> str:
    """The address in a form fit to show and store: no user, password or query. A path stays as it is."""
    match = _ADDRESS.match(address)
    if match is None:
        return address.rpartition("@")[2] if re.match("[^/@]*:[^/]*@", address) else address
    _, rest = _split(match["rest"])
    return f"{match['scheme']}//{re.split('[?#]', rest, maxsplit=1)[0]}"


def _split(rest: str) -> tuple[str, str]:
    """Split an address without its scheme into ``user:password`` and the rest."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    # If this is not host and port, an unescaped / ? or # in a password cut it short: the password ends at the last @.
    end = len(authority) if "@" in authority or _HOST_AND_PORT.fullmatch(authority) else len(rest)
    user, _, host = rest[:end].rpartition("@")
    return user, host + rest[end:]


@functools.lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    # The longest first: one secret may contain another.
    ordered = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join([*map(_as_escaped, ordered), *map(_in_base64, ordered)]))


def _as_escaped(secret: str) -> str:
    """A pattern for a secret with any of its characters escaped once, in any of the usual ways."""
    # A text that was put on one line has single spaces for any white space.
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
    # Here too, the longest first.
    escaped = "|".join(map(re.escape, sorted(escapes - {character}, key=len, reverse=True)))
    # Otherwise unchanged, after backslashes, or doubled, as in SQL, CSV and luigi.cfg.
    return rf"\\*(?:(?i:{escaped})|{re.escape(character)}{'{1,2}' if character in _DOUBLED else ''})"


def _in_base64(secret: str) -> str:
    """A pattern for the base64 of a text that contains the secret. For a short secret it matches nothing."""
    parts = set()
    # Some libraries encode HTTP headers as Latin-1.
    contents = {secret.encode(errors="surrogatepass"), secret.encode("latin-1", errors="ignore")}
    for content, before in itertools.product(contents, range(3)):
        text = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        # The characters at both ends also depend on the neighbouring text.
        part = text[(0, 2, 3)[before] : len(text) - (1 if (before + len(content)) % 3 else 0)]
        parts |= {part, part.translate(str.maketrans("+/", "-_"))}
    long_enough = sorted(re.escape(part) for part in parts if len(part) >= _LEAST_BASE64)
    around = "[A-Za-z0-9+/_-]"
    return rf"{around}{{0,4}}(?:{'|'.join(long_enough)}){around}{{0,3}}(?:=|%3D)*" if long_enough else r"(?!)"
