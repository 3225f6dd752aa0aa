"""Test support: websocket frames as a browser writes and reads them, independent of our codec.

Importable as ``wire``. RFC 6455, 5.2, plainly; can write every wrong frame too.
"""

from __future__ import annotations

import attrs

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x11\x22\x33\x44"


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def header(
    opcode: int, length: int, *, fin: bool = True, rsv: int = 0, mask: bytes = MASK, form: int = 0
) -> bytes:
    """A header; ``form`` 7, 16 or 64 forces a form of the length, ``mask`` b"" leaves the mask out."""
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    masked_bit = 0x80 if mask else 0
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        return first + bytes([masked_bit | length]) + mask
    short, size = (126, 2) if form == 16 else (127, 8)
    return first + bytes([masked_bit | short]) + length.to_bytes(size, "big") + mask


def frame(payload: bytes = b"", opcode: int = BINARY, *, fin: bool = True, mask: bytes = MASK) -> bytes:
    """A whole frame of a browser."""
    return header(opcode, len(payload), fin=fin, mask=mask) + (masked(payload, mask) if mask else payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(b"" if code is None else code.to_bytes(2, "big") + reason, CLOSE)


@attrs.frozen
class Frame:
    """A frame that a server sent."""

    opcode: int
    payload: bytes
    fin: bool = True


def parse(data: bytes, *, of_client: bool = False) -> tuple[list[Frame], bytes]:
    """The whole frames in what a server (or a client) sent, and the rest."""
    found = []
    while len(data) >= 2:
        assert not data[0] & 0x70, "a reserved bit"
        assert bool(data[1] & 0x80) is of_client, "a server must not mask, a client must"
        length, at = data[1] & 0x7F, 2
        if length > 125:
            size = 2 if length == 126 else 8
            if len(data) < 2 + size:
                break
            length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
        mask = data[at : at + 4] if of_client else b""
        at += len(mask)
        if len(data) < at + length:
            break
        payload = data[at : at + length]
        found.append(Frame(data[0] & 15, masked(payload, mask) if mask else payload, bool(data[0] & 0x80)))
        data = data[at + length :]
    return found, data


def payload_of(frames: list[Frame]) -> bytes:
    return b"".join(one.payload for one in frames if one.opcode == BINARY)


def close_code(frames: list[Frame]) -> int | None:
    """The code of the one close frame, which must be the last; None without a code."""
    assert [one.opcode for one in frames].count(CLOSE) == 1, frames
    assert frames[-1].opcode == CLOSE
    return int.from_bytes(frames[-1].payload[:2], "big") or None
