"""Auth: the lines of a token file. Pure text; knows no file system, no clock, no log.

The format is websockify's ``TokenFile``: ``token: host:port``, comments after ``#``, blank lines. It is
read more strictly than there: what cannot be meant opens nothing, and nothing is guessed of a line without
its end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import attrs

from consolekit.auth.lasting import is_sendable
from consolekit.core.address import Address

_BOM: Final = b"\xef\xbb\xbf"
_LINE: Final = re.compile(r"(?P<token>\S+?):[ \t]+(?P<place>\S+)")
_GUESSED: Final = 16
_LONGEST_HOST: Final = 110  # so that host and port fit a server's id and a subject


@attrs.frozen
class Entry:
    """One good line.

    Attributes:
        digest: SHA-256 of the token; the token itself is not kept.
        host: Where its console is.
        port: TCP port there.
        line: Number of the line, from 1.
        short: Whether the token is so short that it can be guessed.
    """

    digest: bytes
    host: str
    port: int
    line: int
    short: bool


@attrs.frozen
class Fault:
    """One line that opens nothing, and why; never what it says."""

    line: int
    why: str


def digest_of(token: str) -> bytes:
    """What a token is known by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def parse(data: bytes) -> tuple[list[Entry], list[Fault]]:
    """Read a token file.

    A last line without its end is taken for half-written: it opens nothing, however old it is. Else a
    port of which two digits are missing would open somebody else's console.

    Args:
        data: The whole content, or as much of it as is written.

    Returns:
        The good lines and the others, in order. A token that stands in several lines is among the
        entries as often as it stands there.
    """
    *lines, rest = data.removeprefix(_BOM).split(b"\n")
    entries: list[Entry] = []
    faults: list[Fault] = []
    for number, line in enumerate(lines, 1):
        read = _read(line, number)
        if isinstance(read, Entry):
            entries.append(read)
        elif read is not None:
            faults.append(read)
    if rest.strip():
        faults.append(Fault(len(lines) + 1, "has no line end, so it may be half-written; end it with one"))
    return entries, faults


def _read(line: bytes, number: int) -> Entry | Fault | None:
    """One line without its end; None where it says nothing."""
    stripped = line.removesuffix(b"\r").strip(b" \t")
    if not stripped or stripped.startswith(b"#"):
        return None
    try:
        found = _LINE.fullmatch(stripped.decode("ascii"))
    except UnicodeDecodeError:
        return Fault(number, "has characters outside ASCII")
    if found is None:
        return Fault(number, "is not written token: host:port")
    token, place = found["token"], found["place"]
    if not is_sendable(token):
        return Fault(
            number, "has a token with characters that no browser can send (RFC 9110, 5.6.2), or too long"
        )
    if place.startswith("unix_socket:"):
        return Fault(number, "names a unix socket; a token's console is a host and a port here")
    return _entry(token, place, number)


def _entry(token: str, place: str, number: int) -> Entry | Fault:
    if place.startswith("unix:"):
        return Fault(number, "names a unix socket; a token's console is a host and a port here")
    try:
        address = Address.parse(place)
    except ValueError as exc:
        return Fault(number, f"has an address that {exc}")
    if len(address.host) > _LONGEST_HOST:
        return Fault(number, f"has a host name of over {_LONGEST_HOST} characters")
    return Entry(digest_of(token), address.host, address.port, number, len(token) < _GUESSED)


def unambiguous(
    entries: Iterable[tuple[str, Entry]],
) -> tuple[dict[bytes, Entry], list[tuple[str, Fault]]]:
    """Leave out the tokens that stand more than once: which of the consoles they mean would be a guess.

    Args:
        entries: Each with the name of its file.

    Returns:
        The others by digest, and a fault for each line that was left out, with the name of its file.
    """
    firsts: dict[bytes, tuple[str, Entry]] = {}
    good: dict[bytes, Entry] = {}
    faults: list[tuple[str, Fault]] = []
    for name, entry in entries:
        if entry.digest not in firsts:
            firsts[entry.digest] = name, entry
            good[entry.digest] = entry
            continue
        where, first = firsts[entry.digest]
        why = "has a token that stands elsewhere too ({}), so that it opens neither".format
        if good.pop(entry.digest, None) is not None:
            faults.append((where, Fault(first.line, why(f"{name}:{entry.line}"))))
        faults.append((name, Fault(entry.line, why(f"{where}:{first.line}"))))
    return good, faults
