"""Testing: the server's side of a websocket that carries bytes (RFC 6455), over asyncio streams.

Shares no code with the gateway's codec, so that the two can test each other. Strict where a hypervisor is,
and no more: binary messages, no extensions.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_MOST = 1 << 20


class WsClosed(Exception):
    """The client has closed the websocket, or broke its protocol."""


def accept_of(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` of a key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def frame(data: bytes, opcode: int = _BINARY) -> bytes:
    """One whole, unmasked frame (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        return struct.pack(">BB", 0x80 | opcode, size) + data
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + data
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + data


def goodbye(code: int = 1000) -> bytes:
    """A close frame (RFC 6455, 5.5.1)."""
    return frame(struct.pack(">H", code), _CLOSE)


async def next_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The payload of the client's next data frame; pings and the closing handshake are answered.

    Raises:
        WsClosed: there is none.
        IncompleteReadError: the connection ended in the middle of a frame.
    """
    while True:
        opcode, data = await _next_frame(reader)
        if opcode in (0, _BINARY):
            return data
        if opcode == _PING:
            writer.write(frame(data, _PONG))
        elif opcode == _CLOSE:
            writer.write(frame(data[:2], _CLOSE))
            raise WsClosed("closed by the client")
        elif opcode != _PONG:
            writer.write(goodbye(1003))
            raise WsClosed(f"opcode {opcode}")


async def _next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
    if first & 0x70 or not second & 0x80 or size > _MOST:  # RFC 6455, 5.1: a client masks
        raise WsClosed("a frame with reserved bits, without a mask, or too long")
    mask = await reader.readexactly(4)
    return first & 0x0F, _unmasked(await reader.readexactly(size), mask)


def _unmasked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
