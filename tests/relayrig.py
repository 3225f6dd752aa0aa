"""Test support: one relay between two loopback sockets whose other ends are the test's.

Importable as ``relayrig``. Time is a manual clock; nothing ticks unless the test says so.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trustme
import wire

from consolekit.net.channels import Channel, SocketChannel, receive, send_all, start_tls
from consolekit.proxy.closecodes import AS_SAID
from consolekit.proxy.frames import Decoder
from consolekit.proxy.pump import Pump
from consolekit.proxy.relay import Relay, RelayEnd, RelaySettings, SiftedRelay
from consolekit.proxy.sieve import Sift
from consolekit.proxy.tunnel import Tunnel
from consolekit.proxy.wheel import TimerWheel
from consolekit.testing.clock import ManualClock

LIMIT = 10.0  # seconds that a test waits for what must come; never how long it takes


def tcp_pair(buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of a loopback connection; ``buffer`` makes the system's buffers small."""
    with socket.socket() as listening:
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        ours = socket.socket()
        if buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ours.connect(listening.getsockname())
        theirs, _ = listening.accept()
        if buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    for sock in (ours, theirs):
        sock.setblocking(False)
    return ours, theirs


def unix_pair(buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    return ours, theirs


class Authority:
    """A CA, a certificate for ``host`` of it, and contexts for both ends."""

    def __init__(self, host: str = "localhost") -> None:
        self.ca = trustme.CA()
        self.certificate = self.ca.issue_cert(host)

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


async def tls_ends(
    near: socket.socket, far: socket.socket, authority: Authority, *, near_serves: bool
) -> tuple[Channel, Channel]:
    """TLS over a pair: the relay's end and the test's."""
    serving, asking = (near, far) if near_serves else (far, near)
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        one = group.create_task(start_tls(serving, authority.server(), server_side=True))
        two = group.create_task(start_tls(asking, authority.client(), server_hostname="localhost"))
    server, client = one.result(), two.result()
    return (server, client) if near_serves else (client, server)


@attrs.define
class Rig:
    """A running relay.

    Attributes:
        viewer: The test's end of the websocket, as raw frames.
        server: The test's end of the byte stream, or of the server's websocket.
        ends: What ``on_end`` was called with; once, at most.
    """

    relay: Pump
    viewer: Channel
    server: Channel
    near: tuple[Channel, Channel]
    clock: ManualClock
    wheel: TimerWheel
    ends: list[RelayEnd]
    over: asyncio.Event

    async def ended(self) -> RelayEnd:
        """Wait for the end; both of the relay's sockets are closed then."""
        async with asyncio.timeout(LIMIT):
            await self.over.wait()
        assert [channel.fileno() for channel in self.near] == [-1, -1]
        assert len(self.wheel) == 0
        assert len(self.ends) == 1
        return self.ends[0]

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let the clock run, with a tick every ``step`` seconds."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            if not self.ends:
                self.relay.on_tick(self.clock.monotonic())

    async def frames(self, count: int) -> list[wire.Frame]:
        """Wait for frames at the viewer."""
        found, rest = [], b""
        async with asyncio.timeout(LIMIT):
            while len(found) < count:
                data = await receive(self.viewer, 65536)
                assert data, f"the stream ended after {found}"
                more, rest = wire.parse(rest + data)
                found += more
        assert not rest
        return found

    async def frames_until_end(self) -> list[wire.Frame]:
        """Everything the viewer gets until the stream ends."""
        frames, rest = wire.parse(await read_to_end(self.viewer))
        assert not rest
        return frames

    async def frames_to_server(self, count: int) -> list[wire.Frame]:
        """Wait for frames at the server's websocket."""
        found: list[wire.Frame] = []
        rest = b""
        async with asyncio.timeout(LIMIT):
            while len(found) < count:
                data = await receive(self.server, 65536)
                assert data, f"the stream ended after {found}"
                more, rest = wire.parse(rest + data, of_client=True)
                found += more
        assert not rest
        return found

    async def frames_to_server_until_end(self) -> list[wire.Frame]:
        """Everything the server's websocket gets until the stream ends."""
        frames, rest = wire.parse(await read_to_end(self.server), of_client=True)
        assert not rest
        return frames

    async def to_server(self, count: int) -> bytes:
        """Wait for bytes at the server."""
        data = b""
        async with asyncio.timeout(LIMIT):
            while len(data) < count:
                piece = await receive(self.server, count - len(data))
                assert piece, f"the stream ended after {data!r}"
                data += piece
        return data


async def until(done: Callable[[], object]) -> None:
    """Wait for what nothing announces."""
    async with asyncio.timeout(LIMIT):
        while not done():
            await asyncio.sleep(0.002)


async def read_to_end(channel: Channel) -> bytes:
    pieces = []
    async with asyncio.timeout(LIMIT):
        while piece := await receive(channel, 1 << 20):
            pieces.append(piece)
    return b"".join(pieces)


async def send(channel: Channel, data: bytes) -> None:
    async with asyncio.timeout(LIMIT):
        await send_all(channel, data)


async def fill(channel: Channel, data: bytes, most: int = 64 << 20) -> int:
    """Send the same bytes again and again until they are not taken any more; how many were.

    "Not any more" is judged by the loop: nothing went while everything else had its turn many times.
    """
    total, idle = 0, 0
    view = memoryview(data)
    at = 0
    while idle < 200 and total < most:
        try:
            sent = channel.send(view[at:])
            at, total, idle = (at + sent) % len(data), total + sent, 0
        except BlockingIOError:
            idle += 1
        await asyncio.sleep(0.001 if idle > 100 else 0)
    return total


def reset(sock_or_channel: Any) -> None:
    """Close with RST."""
    sock = getattr(sock_or_channel, "socket", sock_or_channel)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@asynccontextmanager
async def running(
    *,
    tls_client: Authority | None = None,
    tls_server: Authority | None = None,
    buffer: int = 0,
    pair: Any = tcp_pair,
    tunnel: bool = False,
    sift: Sift | None = None,
    decoder: Decoder | None = None,
    client_payload: bytes = b"",
    server_bytes: bytes = b"",
    start: bool = True,
    parting: Mapping[str, str] = AS_SAID,
    **settings: Any,
) -> AsyncIterator[Rig]:
    viewer_sock, client_sock = pair(buffer)
    server_sock, target_sock = pair(buffer)
    viewer: Channel = SocketChannel(viewer_sock)
    client: Channel = SocketChannel(client_sock)
    server: Channel = SocketChannel(target_sock)
    near: Channel = SocketChannel(server_sock)
    if tls_client:
        client, viewer = await tls_ends(client_sock, viewer_sock, tls_client, near_serves=True)
    if tls_server:
        near, server = await tls_ends(server_sock, target_sock, tls_server, near_serves=False)
    clock, over = ManualClock(), asyncio.Event()
    ends: list[RelayEnd] = []

    def on_end(end: RelayEnd) -> None:
        ends.append(end)
        over.set()

    # an hour a tick: the wheel is really there, and only the test's ticks come
    wheel = TimerWheel(asyncio.get_running_loop(), clock, tick=3600.0 * 8)
    shared: dict[str, Any] = {"wheel": wheel, "settings": RelaySettings(**settings), "on_end": on_end}
    shared["parting"] = parting
    relay: Pump
    if tunnel:
        relay = Tunnel(client, near, unread=(client_payload, server_bytes), sift=sift, **shared)
    else:
        shared["decoder"] = decoder or Decoder()
        shared |= {"client_payload": client_payload, "server_bytes": server_bytes}
        relay = SiftedRelay(client, near, sift=sift, **shared) if sift else Relay(client, near, **shared)
    if start:
        relay.start()
    try:
        yield Rig(relay, viewer, server, (client, near), clock, wheel, ends, over)
    finally:
        relay.end(1001, "draining")
        viewer.close()
        server.close()
        async with asyncio.timeout(LIMIT):
            await over.wait()
