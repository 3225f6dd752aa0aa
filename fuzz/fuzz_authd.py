"""Fuzz target: any bytes from a host's authentication daemon, port 902. Only HandshakeError escapes."""

from __future__ import annotations

import authdtalk
from pieces import SERVER_FIRST, drive, joined

from consolekit.core.handshake import Handshake
from consolekit.providers.webmks.authd import authd_script

_VIEWER = joined(authdtalk.viewer())
_SCREEN = authdtalk.SERVER_INIT

SEEDS = [
    bytes([SERVER_FIRST, size]) + joined(authdtalk.until_screen(digest)) + screen
    for digest in (authdtalk.SHA1, authdtalk.SHA256)
    for screen in (_SCREEN, joined(authdtalk.greeting()) + _SCREEN)
    for size in (0, 1)
]


def one_input(data: bytes) -> None:
    """Who comes first, in pieces of which size; then what the host says. No error tells the ticket."""
    if len(data) < 2:
        return
    told = drive(
        Handshake(authd_script(authdtalk.LOGIN)), data[2:], viewer=_VIEWER, first=data[0], size=data[1]
    )
    assert authdtalk.TICKET not in told
