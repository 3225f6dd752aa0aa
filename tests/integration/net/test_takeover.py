"""net.takeover: connections of a tornado HTTP server that is not ours, plain and TLS."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trustme
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from consolekit.net.channels import Channel, SocketChannel, receive, send_all
from consolekit.net.takeover import take_over
from consolekit.net.wrapped import WrappedTlsChannel

BIG = hashlib.sha256(b"big").digest() * 100_000  # beyond what two systems buffer
REQUEST = b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n"


@attrs.define
class Foreign:
    """Somebody else's server, and what was taken over from it."""

    port: int
    tls: ssl.SSLContext | None
    wait: asyncio.Event
    taken: asyncio.Queue[tuple[Channel, bytes] | StreamClosedError] = attrs.field(factory=asyncio.Queue)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)


class Takes(RequestHandler):
    """Takes the connection over when it may."""

    async def get(self) -> None:
        site: Foreign = self.settings["site"]
        await site.wait.wait()
        stream = self.detach()
        try:
            site.taken.put_nowait(take_over(stream))
        except StreamClosedError as exc:
            site.taken.put_nowait(exc)
        assert stream.closed()


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")


@pytest.fixture(params=["plain", "tls"])
async def foreign(request: pytest.FixtureRequest) -> AsyncIterator[Foreign]:
    async with serving(tls=request.param == "tls") as site:
        yield site


@asynccontextmanager
async def serving(*, tls: bool) -> AsyncIterator[Foreign]:
    server_tls = client_tls = None
    if tls:
        ca = trustme.CA()
        server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(server_tls)
        client_tls = ssl.create_default_context()
        ca.configure_trust(client_tls)
    (sock,) = bind_sockets(0, "127.0.0.1")
    site = Foreign(port=sock.getsockname()[1], tls=client_tls, wait=asyncio.Event())
    site.wait.set()
    server = HTTPServer(Application([("/take", Takes), ("/hello", Hello)], site=site), ssl_options=server_tls)
    server.add_sockets([sock])
    try:
        yield site
    finally:
        server.stop()
        await server.close_all_connections()


async def taken(site: Foreign) -> tuple[Channel, bytes]:
    found = await asyncio.wait_for(site.taken.get(), 10)
    assert isinstance(found, tuple)
    return found


async def test_bytes_behind_the_request_come_along(foreign: Foreign) -> None:
    reader, writer = await foreign.connect()
    writer.write(REQUEST + b"first")
    channel, received = await taken(foreign)
    while len(received) < 5:
        received += await receive(channel, 100)
    assert received == b"first"
    assert isinstance(channel, WrappedTlsChannel if foreign.tls else SocketChannel)
    await send_all(channel, b"answer")
    assert await reader.readexactly(6) == b"answer"
    writer.write(b"second")
    assert await receive(channel, 100) == b"second"
    channel.close()
    assert await reader.read() == b""
    writer.close()


async def test_what_came_while_the_handler_waited_comes_along(foreign: Foreign) -> None:
    foreign.wait.clear()
    reader, writer = await foreign.connect()
    writer.write(REQUEST + b"a" * 1000)
    await writer.drain()
    foreign.wait.set()
    channel, received = await taken(foreign)
    while len(received) < 1000:
        received += await receive(channel, 4096)
    assert received == b"a" * 1000
    channel.close()
    assert await reader.read() == b""
    writer.close()


async def test_much_goes_both_ways_and_waits_for_who_reads(foreign: Foreign) -> None:
    reader, writer = await foreign.connect()
    writer.write(REQUEST)
    channel, received = await taken(foreign)

    async def echo() -> None:
        sent = len(received)
        await send_all(channel, received)
        while sent < len(BIG):
            piece = await receive(channel, 50_000)
            await send_all(channel, piece)
            sent += len(piece)
        assert not channel.unsent

    async with asyncio.TaskGroup() as group:
        group.create_task(echo())
        writer.write(BIG)
        assert await reader.readexactly(len(BIG)) == BIG
    channel.shutdown_write()
    assert await reader.read() == b""
    writer.close()
    channel.close()


async def test_a_peer_that_takes_nothing_stops_the_sender(foreign: Foreign) -> None:
    _, writer = await foreign.connect()
    writer.transport.pause_reading()
    writer.write(REQUEST)
    channel, _ = await taken(foreign)
    sent = 0
    try:
        while sent < 64 * len(BIG):
            sent += channel.send(memoryview(BIG))
    except BlockingIOError:
        pass
    assert 0 < sent < 64 * len(BIG)
    assert channel.unsent == (foreign.tls is not None)
    assert not channel.hung_up()
    channel.close()
    writer.transport.abort()


async def test_the_peer_s_end_is_met(foreign: Foreign) -> None:
    _, writer = await foreign.connect()
    writer.write(REQUEST)
    channel, _ = await taken(foreign)
    writer.close()
    assert await receive(channel, 100) == b""
    if foreign.tls is None:  # in TLS it has said goodbye, and waits for ours
        assert channel.hung_up()
    channel.close()
    channel.close()
    assert channel.fileno() == -1


class Closed:
    """A stream that has found out already."""

    def closed(self) -> bool:
        return True


def test_who_is_gone_cannot_be_taken() -> None:
    with pytest.raises(StreamClosedError):
        take_over(Closed())  # type: ignore[arg-type]  # all that is asked of it


async def test_the_server_goes_on(foreign: Foreign) -> None:
    _, first = await foreign.connect()
    first.write(REQUEST)
    channel, _ = await taken(foreign)
    reader, second = await foreign.connect()
    second.write(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"hello")
    second.close()
    channel.close()
    first.close()


async def test_a_connection_taken_over_outlives_the_server() -> None:
    async with serving(tls=False) as site:
        reader, writer = await site.connect()
        writer.write(REQUEST)
        channel, _ = await taken(site)
    await send_all(channel, b"still here")
    assert await reader.readexactly(10) == b"still here"
    channel.close()
    writer.close()
