"""ChannelStream under a real listener: its limits, its refusals, and how it lets go of the socket."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trustme
from hostile import until, wire
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from consolekit.net.channels import SocketChannel, receive, send_all
from consolekit.net.listener import Listener, ListenerSettings
from consolekit.net.stream import ChannelStream

BIG = hashlib.sha256(b"big").digest() * 200_000  # beyond what two systems buffer


class Hello(RequestHandler):
    def get(self) -> None:
        stream = self.request.connection.stream
        nodelay = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.write(f"nodelay {nodelay}")


class Big(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Length", len(BIG))
        self.write(BIG)


class Takes(RequestHandler):
    """Takes the socket over and echoes on it, from the bytes behind the request on."""

    async def get(self) -> None:
        await self.settings.get("before_release", asyncio.sleep)(0)
        stream = cast("ChannelStream", self.detach())
        channel, received = stream.release()
        task = asyncio.get_running_loop().create_task(echo(channel, received))
        self.settings["tasks"].add(task)
        assert stream.closed()


async def echo(channel, received: bytes) -> None:
    while received:
        await send_all(channel, received)
        received = await receive(channel, 65536)
    channel.close()


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None, **settings: float) -> AsyncIterator[Listener]:
    tasks: set[asyncio.Task[None]] = set()
    application = Application(
        [("/", Hello), ("/big", Big), ("/takes", Takes)], tasks=tasks, log_function=lambda handler: None
    )
    listener = Listener("127.0.0.1", 0, tls=tls, settings=ListenerSettings(**settings))
    listener.bind()
    listener.start(application)
    try:
        yield listener
    finally:
        await listener.aclose()
        await asyncio.gather(*tasks)
        assert listener.pending == 0


def ask(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_small_answers_always_go_at_once_between_requests_too():
    async with listening() as listener, wire(listener) as connection:
        for _ in range(3):
            await connection.send(ask("/"))
            assert (await connection.answer()).body == b"nodelay 1"


@pytest.mark.parametrize("size", [1, 5, 70_000, 500_000])
async def test_bytes_behind_the_request_survive_the_release(size):
    data = bytes(range(256)) * (size // 256 + 1)
    async with listening() as listener, wire(listener) as connection:
        sending = asyncio.get_running_loop().create_task(connection.send(ask("/takes") + data[:size]))
        while len(connection.received) < size:
            assert await connection.more()
        await sending
        assert connection.received == data[:size]
        assert listener.pending == 0  # it is not the listener's any more


@pytest.mark.parametrize("size", [5, 20_000, 300_000])
async def test_bytes_behind_the_request_survive_the_release_inside_tls(contexts, size):
    server, client = contexts
    data = bytes(range(256)) * (size // 256 + 1)
    async with listening(tls=server) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=client)
        writer.write(ask("/takes") + data[:size])
        assert await reader.readexactly(size) == data[:size]
        writer.write(b"more")
        assert await reader.readexactly(4) == b"more"
        writer.transport.abort()


async def test_a_peer_that_is_gone_cannot_be_released():
    ours, theirs = socket.socketpair()
    gone: list[str] = []
    stream = ChannelStream(SocketChannel(ours), ours, seconds=1.0, on_gone=lambda: gone.append("gone"))
    theirs.close()
    with pytest.raises(StreamClosedError):
        await stream.read_bytes(1)
    with pytest.raises(StreamClosedError):
        stream.release()
    stream.close()
    assert gone == ["gone"]
    assert ours.fileno() == -1


async def test_release_tells_once_and_leaves_the_socket_open():
    ours, theirs = socket.socketpair()
    gone: list[str] = []
    stream = ChannelStream(SocketChannel(ours), ours, seconds=1.0, on_gone=lambda: gone.append("gone"))
    theirs.send(b"unread")
    channel, received = stream.release()
    assert (gone, received) == (["gone"], b"")
    assert stream.read_from_fd(bytearray(10)) is None
    assert await receive(channel, 10) == b"unread"
    channel.close()
    theirs.close()


async def test_a_large_answer_is_whole_for_a_slow_reader_inside_tls(contexts):
    """The last record must go although nobody writes any more: the connection stays open after it."""
    server, client = contexts
    async with listening(tls=server, request_seconds=20.0) as listener:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", listener.port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=client, server_hostname="127.0.0.1", limit=4096
        )
        writer.write(ask("/big"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(BIG)) == BIG
        writer.write(ask("/"))
        assert b"nodelay 1" in await reader.readuntil(b"nodelay 1")
        writer.transport.abort()


async def test_a_peer_that_reads_nothing_is_closed_and_one_that_reads_a_little_is_not():
    async with (
        listening(request_seconds=0.4) as listener,
        wire(listener, receive_buffer=4096) as slow,
        wire(listener, receive_buffer=4096) as stuck,
    ):
        await stuck.send(ask("/big"))
        await slow.send(ask("/big"))
        reading = True
        while listener.pending == 2 and reading:
            async with asyncio.timeout(5):
                reading = await slow.more()
            await asyncio.sleep(0.01)
        assert listener.pending == 1
        assert (await slow.answer()).body == BIG
        with pytest.raises(AssertionError, match="closed"):
            await stuck.answer()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000, b"431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\nHost: x\n\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: \r y\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400 Bad Request"),
        (b"\x00", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", b"400 Bad Request"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100,
            b"400 Bad Request",
        ),
    ],
    ids=["header", "LF", "CR", "TLS", "NUL", "length", "chunk"],
)
async def test_refusals_are_whole_answers_that_can_be_read_to_their_end(data, expected):
    async with listening() as listener, wire(listener) as connection:
        await connection.send(data)
        said = await connection.end()
        assert said.startswith(b"HTTP/1.1 " + expected + b"\r\nContent-Length: 0\r\nConnection: close\r\n")
        assert b"Cache-Control: no-store\r\n" in said
        assert said.endswith(b"\r\n\r\n")
        connection.close()
        await until(lambda: not listener.pending, "the close")


async def test_empty_lines_before_a_request_are_ignored():
    async with listening() as listener, wire(listener) as connection:
        await connection.send(ask("/"))
        assert (await connection.answer()).status == 200
        await connection.send(b"\r\n" + ask("/"))  # RFC 9112, 2.2: as some clients end a body
        assert (await connection.answer()).status == 200


class Holding(SocketChannel):
    """Takes everything at once and holds all but a little of it until it is asked to flush, as TLS may."""

    __slots__ = ("held", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.held, self.unsent = b"", False
        self.send = self.hold

    def hold(self, view: memoryview, /) -> int:
        self.held, self.unsent = bytes(view), True
        return len(view)

    def flush(self) -> bool:
        self.held = self.held[self.socket.send(self.held[:100]) :]
        self.unsent = bool(self.held)
        return not self.unsent


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_what_a_channel_still_holds_counts_as_unwritten(size):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    stream = ChannelStream(Holding(ours), ours, seconds=5.0, on_gone=lambda: None)
    for _ in range(2):
        await stream.write(bytes(size))
        assert theirs.recv(2000) == bytes(size)
    stream.close()
    theirs.close()
