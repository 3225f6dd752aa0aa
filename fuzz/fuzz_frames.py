"""Fuzz target: any bytes as a viewer's frames (RFC 6455): however they are cut, they come to the same end."""

from __future__ import annotations

import wire

from consolekit.proxy.frames import Decoder
from consolekit.proxy.tracker import Tracker

_MASK = b"\1\2\3\4"
_LONGEST = 1000  # of a message here, so that the rule about it is met

SEEDS = [
    b"\1" + wire.frame(b"hello", mask=_MASK),
    b"\7" + wire.frame(b"x" * 300, fin=False, mask=_MASK) + wire.frame(b"y" * 30, 0, mask=_MASK),
    b"\2" + wire.frame(b"ping", wire.PING, mask=_MASK) + wire.frame(b"\x03\xe8bye", 8, mask=_MASK),
    b"\3" + wire.frame(b"x" * 1001, mask=_MASK),
    b"\0\x82\xff\0\0\0\0\0\1\0\0" + _MASK,
]


def _decoded(data: bytes, size: int) -> tuple[bytes, Decoder]:
    decoder, payload = Decoder(_LONGEST), b""
    for at in range(0, len(data), size):
        piece = bytearray(data[at : at + size])
        payload += bytes(piece[: decoder.feed(memoryview(piece), len(piece))])
    return payload, decoder


def one_input(data: bytes) -> None:
    """The size of a piece, then the frames."""
    size, data = (data[0] + 1 if data else 1), data[1:]
    whole, one = _decoded(data, max(len(data), 1))
    cut, other = _decoded(data, size)
    assert whole == cut
    assert len(whole) <= len(data)
    assert (one.pong, str(one.outcome)) == (other.pong, str(other.outcome))
    tracker, passed = Tracker(_LONGEST, masked=True), b""
    for at in range(0, len(data), size):
        passed += bytes(tracker.feed(memoryview(data[at : at + size])))
    assert data.startswith(passed)
    assert str(tracker.outcome) == str(one.outcome)
