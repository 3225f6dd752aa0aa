"""Fuzz support: a handshake script is given what a server says, in pieces, and a viewer's good half."""

from __future__ import annotations

from collections.abc import Iterator

from consolekit.core.errors import HandshakeError
from consolekit.core.handshake import CLIENT, SERVER, Handshake, StartTls
from consolekit.testing.handshakes import Arrives, Event

SERVER_FIRST = 0


def joined(events: list[Event]) -> bytes:
    """What arrives in a conversation, from whomever."""
    return b"".join(event.data for event in events if isinstance(event, Arrives))


def drive(handshake: Handshake, server: bytes, *, viewer: bytes, first: int, size: int) -> str:
    """Carry a handshake as far as it goes; the text of the HandshakeError that ended it, or nothing.

    Args:
        handshake: The script's.
        server: What the server says.
        viewer: What the viewer says.
        first: 0: each speaks when asked; else the viewer has said everything before.
        size: The most bytes of a piece; 0: exactly what is asked for.
    """
    streams = {SERVER: server, CLIENT: b"" if first else viewer}
    try:
        if first:
            handshake.receive(CLIENT, viewer)
        for _ in _steps(handshake):
            peer = handshake.waiting_for
            if peer is None:
                break
            count = size or handshake.wants()
            piece, streams[peer] = streams[peer][:count], streams[peer][count:]
            if piece:
                handshake.receive(peer, piece)
            else:
                handshake.receive_eof(peer)
    except HandshakeError as exc:
        assert not handshake.done
        return f"{exc} {exc.public_detail}"
    assert handshake.done
    return ""


def _steps(handshake: Handshake) -> Iterator[None]:
    while not handshake.done:
        for action in handshake.take_actions():
            if isinstance(action, StartTls):
                handshake.tls_started()
        yield
