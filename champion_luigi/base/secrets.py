"""Secrets in texts: replaced by stars in every form that programs write, and removed from addresses.

A password can come back in another form: percent-encoded in a URL, escaped in JSON, HTML, SQL or a repr, or in base64
together with the user name, as HTTP sends it. Secrets are hidden before a text is cut, because part of a secret would
not be recognised.
"""

from __future__ import annotations

import base64
import functools
import itertools
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
_HTML_NAMES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_DOUBLED = "'\"%$"
_CONTROLS = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
# A shorter fragment of base64 could come from any text.
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


def in_address(address: str) -> set[str]:
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
    return {form for each in found for form in (each, unquote(each))} - {""}


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
    return re.compile(
        "|".join([_as_escaped(secret) for secret in ordered] + [_in_base64(secret) for secret in ordered])
    )


def _as_escaped(secret: str) -> str:
    """A pattern for the secret with any of its characters escaped in the usual ways, once or several times."""
    parts = []
    for blanks, character in re.findall(r"(\s+)|(\S)", secret):
        # A text joined to one line has a single space in place of any blanks.
        parts.append(f"(?:{'|'.join(map(_character, sorted({*blanks, ' '})))})+" if blanks else _character(character))
    return "".join(parts)


def _character(character: str, *, is_misread: bool = False) -> str:
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    encoded = character.encode(errors="surrogatepass")
    units = character.encode("utf-16-be", errors="surrogatepass")
    pairs = [units[start : start + 2].hex() for start in range(0, len(units), 2)]
    forms = [
        # In a URL, or in a URL within a URL.
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in encoded),
        # In JSON, in Python strings, and in Python bytes.
        "".join(rf"\\+u(?i:{pair})" for pair in pairs),
        rf"\\+(?i:U{code:08x})",
        "".join(rf"\\+x(?i:{byte:02x})" for byte in encoded),
        # In HTML and XML.
        rf"&(?:amp;)*\#0*{code};",
        rf"&(?:amp;)*\#[xX]0*(?i:{code:x});",
    ]
    if code < 0x100:
        forms.append(rf"\\+x(?i:{code:02x})")
    if not character.isascii() and not is_misread:
        # UTF-8 read as Latin-1, as with HTTP headers; Latin-1 read as UTF-8; and both in turn.
        misread, replaced = (
            "".join(_character(each, is_misread=True) for each in content.decode("latin-1"))
            for content in (encoded, "\ufffd".encode())
        )
        forms += [misread, rf"(?:\ufffd|\\+u(?i:fffd)|\?|{replaced}){{1,4}}"]
    if character in _HTML_NAMES:
        forms.append(rf"&(?:amp;)*{_HTML_NAMES[character]};")
    if character in _CONTROLS:
        forms.append(rf"\\+{_CONTROLS[character]}")
    if character == "'":
        # In shell quotes.
        forms += [r"'\\+''", "'\"'\"'"]
    if character.isspace():
        return rf"(?:{'|'.join(forms)}|\\*\s|\+)"
    if character == "\\":
        return rf"(?:{'|'.join(forms)}|\\+)"
    # Escaped forms first, as some begin with the character itself; then the plain character, after backslashes, or
    # doubled, as in SQL, CSV and luigi.cfg.
    return rf"(?:{'|'.join(forms)}|\\*{re.escape(character)}{'{1,2}' if character in _DOUBLED else ''})"


def _in_base64(secret: str) -> str:
    """A pattern for the base64 of any text that contains the secret; it matches nothing if the secret is short."""
    # Some libraries encode HTTP credentials as Latin-1.
    contents = {secret.encode(errors="surrogatepass"), secret.encode("latin-1", errors="ignore")}
    parts = set()
    for content, before in itertools.product(contents, range(3)):
        text = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        # The letters at both ends also depend on the neighbouring bytes.
        begin = (0, 2, 3)[before]
        end = len(text) - (1 if (before + len(content)) % 3 else 0)
        parts |= {text[begin:end], text[begin:end].translate(str.maketrans("+/", "-_"))}
    long_enough = sorted(re.escape(part) for part in parts if len(part) >= _LEAST_BASE64)
    around = "[A-Za-z0-9+/_-]"
    return rf"{around}{{0,4}}(?:{'|'.join(long_enough)}){around}{{0,3}}(?:=|%3D)*" if long_enough else r"(?!)"
