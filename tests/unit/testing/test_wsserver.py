from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from consolekit.testing.wsserver import WsClosed, accept_of, frame, goodbye, next_data


class Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


async def fed(data: bytes) -> tuple[list[bytes], bytes, Exception]:
    """Every payload in what a client sent, what it was answered, and how it ended."""
    reader, sink, found = asyncio.StreamReader(), Sink(), []
    reader.feed_data(data)
    reader.feed_eof()
    writer: Any = sink
    try:
        while True:
            found.append(await next_data(reader, writer))
    except (WsClosed, asyncio.IncompleteReadError) as exc:
        return found, sink.data, exc


def sent(opcode: Opcode, data: bytes, **bits: bool) -> bytes:
    return Frame(opcode, data, **bits).serialize(mask=True)


def test_accept_of_the_rfcs_example() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_every_length(size: int) -> None:
    data = os.urandom(size)
    assert (await fed(sent(Opcode.BINARY, data)))[0] == [data]
    assert frame(data) == Frame(Opcode.BINARY, data).serialize(mask=False)


async def test_fragments_are_bytes_like_others() -> None:
    pieces = sent(Opcode.BINARY, b"a", fin=False) + sent(Opcode.CONT, b"b")
    assert (await fed(pieces))[0] == [b"a", b"b"]


async def test_pings_are_answered_and_pongs_are_not() -> None:
    found, answered, _ = await fed(
        sent(Opcode.PING, b"x") + sent(Opcode.PONG, b"y") + sent(Opcode.BINARY, b"z")
    )
    assert (found, answered) == ([b"z"], Frame(Opcode.PONG, b"x").serialize(mask=False))


async def test_the_closing_handshake() -> None:
    _, answered, end = await fed(sent(Opcode.CLOSE, b"\x03\xe9bye"))
    assert answered == Frame(Opcode.CLOSE, b"\x03\xe9").serialize(mask=False)
    assert isinstance(end, WsClosed)
    assert goodbye() == Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)


@pytest.mark.parametrize(
    "data",
    [
        Frame(Opcode.BINARY, b"a").serialize(mask=False),
        b"\xc2\x81\0\0\0\0a",
        sent(Opcode.TEXT, b"a"),
        b"\x82\xff" + (1 << 40).to_bytes(8, "big"),
    ],
    ids=["no mask", "a reserved bit", "text", "too long"],
)
async def test_what_no_client_of_bytes_sends(data: bytes) -> None:
    found, _, end = await fed(data)
    assert found == []
    assert isinstance(end, WsClosed)
