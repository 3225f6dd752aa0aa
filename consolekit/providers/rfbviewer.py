"""Providers, RFB: the viewer's half of the handshake, for all whose console is RFB (RFC 6143, 7.1).

Pure: no asyncio, socket, ssl, time, logging. Knows no server's login; a provider calls this when its own
conversation with the server is over.
"""

from __future__ import annotations

import re
import struct

from consolekit.core.errors import HandshakeError, NoCommonSecurity
from consolekit.core.handshake import CLIENT, SERVER, Peer, Script, Steps, read, send

NONE = 1
"""The security type that asks for nothing (RFC 6143, 7.2.1)."""

_BANNER = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
_OFFERED = 8


def welcome_viewer() -> Script:
    """Play an RFB 3.8 server whose only security type is None; ends before ClientInit.

    Raises:
        HandshakeError: the viewer is none, or chooses what was not offered.
    """
    yield from send(CLIENT, b"RFB 003.%03d\n" % _OFFERED)
    minor = yield from read_version(CLIENT)
    if minor == 3:
        yield from send(CLIENT, struct.pack(">I", NONE))
        return
    yield from send(CLIENT, bytes([1, NONE]))
    (chosen,) = yield from read(CLIENT, 1)
    if chosen != NONE:
        raise HandshakeError(f"the viewer chose security type {chosen}, which was not offered")
    if minor >= 8:
        yield from send(CLIENT, struct.pack(">I", 0))


def enter_freely() -> Script:
    """Play a viewer that knows no security type but None; ends before ClientInit.

    Raises:
        NoCommonSecurity: the server wants another.
        HandshakeError: it breaks the protocol, or refuses.
    """
    minor = yield from read_version(SERVER)
    yield from send(SERVER, b"RFB 003.%03d\n" % minor)
    if minor == 3:
        offered = (yield from read(SERVER, 4)).lstrip(b"\0")
    else:
        (count,) = yield from read(SERVER, 1)
        offered = yield from read(SERVER, count)
    if NONE not in offered:
        raise NoCommonSecurity("the server does not offer security type None behind its ticket")
    if minor == 3:
        return
    yield from send(SERVER, bytes([NONE]))
    if minor >= 8 and any((yield from read(SERVER, 4))):
        raise HandshakeError("the server refuses security type None, which it offered")


def read_version(peer: Peer) -> Steps[int]:
    """Read ProtocolVersion; gives the minor version to speak: 3, 7 or 8.

    What announces more than 3.8 within 3.x (003.889 is Apple's) speaks 3.8; what announces an
    unknown lesser one is to be taken for 3.3 (RFC 6143, 7.1.1).

    Raises:
        HandshakeError: it is no RFB, or none of version 3.
    """
    banner = yield from read(peer, 12)
    match = _BANNER.fullmatch(banner)
    if match is None:
        raise HandshakeError(f"{peer.value} does not speak RFB: it begins {printable(banner)!r}")
    major, minor = int(match[1]), int(match[2])
    if major != 3:
        raise HandshakeError(f"{peer.value} speaks RFB {major}.{minor}; only 3.x is known here")
    return 8 if minor >= 8 else 7 if minor == 7 else 3


def printable(data: bytes) -> str:
    """Bytes of a stranger as a text for one line of a log."""
    text = data.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text).strip()
