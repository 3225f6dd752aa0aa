"""The demo server on real sockets: several viewers, and viewers that go or stand still."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from consolekit.testing.rfbscene import HEIGHT, WIDTH
from consolekit.testing.rfbserver import RfbServer

FULL = struct.pack(">BB4H", 3, 0, 0, 0, WIDTH, HEIGHT)
NEXT = struct.pack(">BB4H", 3, 1, 0, 0, WIDTH, HEIGHT)


class Viewer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def log_in(self) -> None:
        self.writer.write(b"RFB 003.008\n\x01\x01")
        init = (await self.reader.readexactly(12 + 2 + 4 + 24))[-24:]
        await self.reader.readexactly(struct.unpack(">I", init[20:])[0])

    async def update(self) -> int:
        """Read one update; gives how many pixels it brought."""
        kind, count = struct.unpack(">BxH", await self.reader.readexactly(4))
        assert kind == 0
        pixels = 0
        for _ in range(count):
            header = await self.reader.readexactly(12)
            width, height = struct.unpack(">4xHH4x", header)
            await self.reader.readexactly(width * height * 4)
            pixels += width * height
        return pixels


@asynccontextmanager
async def viewer(server: RfbServer) -> AsyncIterator[Viewer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Viewer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):  # the server may have cut it
            await writer.wait_closed()


async def gone(server: RfbServer) -> None:
    if server._viewers:
        await asyncio.wait(list(server._viewers))
    assert server.viewers == 0


async def test_two_viewers_share_the_screen() -> None:
    async with RfbServer() as server, viewer(server) as one, viewer(server) as two:
        await one.log_in()
        await two.log_in()
        one.writer.write(FULL)
        two.writer.write(FULL)
        assert await one.update() == WIDTH * HEIGHT
        assert await two.update() == WIDTH * HEIGHT
        one.writer.write(struct.pack(">BBHI", 4, 1, 0, ord("a")))
        two.writer.write(NEXT)
        while server.scene.typed != "a":
            assert 0 < await two.update() < WIDTH * HEIGHT
            two.writer.write(NEXT)


async def test_the_picture_moves_by_itself() -> None:
    async with RfbServer() as server, viewer(server) as one:
        await one.log_in()
        one.writer.write(FULL)
        await one.update()
        for _ in range(3):
            one.writer.write(NEXT)
            assert 0 < await one.update() < WIDTH * HEIGHT / 4


async def test_viewers_come_and_go() -> None:
    async with RfbServer() as server:
        for _ in range(3):
            async with viewer(server) as one:
                await one.log_in()
                one.writer.write(FULL)
                await one.update()
                assert server.viewers == 1
            await gone(server)


async def test_what_is_no_viewer_is_dropped() -> None:
    async with RfbServer() as server, viewer(server) as one:
        one.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await one.reader.read() == b"RFB 003.008\n"
        await gone(server)


async def test_closing_does_not_wait_for_a_viewer_that_reads_nothing() -> None:
    server = RfbServer()
    await server.start()
    async with viewer(server) as one:
        await one.log_in()
        one.writer.write(FULL * 64)
        await server.aclose()
        assert server.viewers == 0


async def test_a_closed_server_may_start_again() -> None:
    server = RfbServer()
    for _ in range(2):
        async with server, viewer(server) as one:
            await one.log_in()
