"""Fuzz target: any bytes from a VNC server, in any pieces, at every login. HandshakeError only."""

from __future__ import annotations

import transcripts
from pieces import SERVER_FIRST, drive, joined

from consolekit.core.handshake import Handshake
from consolekit.providers.vnc.rfb import vnc_script

_LOGINS = sorted(transcripts.LOGINS)
_VIEWER = joined(transcripts.viewer())

SEEDS = [
    bytes([place, SERVER_FIRST, size]) + joined(transcripts.LOGINS[name][1])
    for place, name in enumerate(_LOGINS)
    for size in (0, 1)
]


def one_input(data: bytes) -> None:
    """Which login, who comes first, in pieces of which size; then what the server says."""
    if len(data) < 3:
        return
    policy, _ = transcripts.LOGINS[_LOGINS[data[0] % len(_LOGINS)]]
    drive(Handshake(vnc_script(policy)), data[3:], viewer=_VIEWER, first=data[1], size=data[2])
