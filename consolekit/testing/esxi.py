"""Testing: an ESXi host's console door as ``webmks`` tickets lead to it: ``wss://host/ticket/<ticket>``.

In front of any RFB server, plain or behind a websocket (QEMU's). Refuses what the real one refuses: a
connection without TLS, another path, a ticket twice, another subprotocol, one viewer too many. Knows asyncio
streams; knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import http
import re
import ssl
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from consolekit.testing.tickets import Tickets
from consolekit.testing.wsserver import WsClosed, accept_of, frame, goodbye, next_data

_TARGET = re.compile(r"/ticket/([A-Za-z0-9-]{16,64})")
_LONGEST_HEAD = 16 * 1024
_HEAD_SECONDS = 10.0
_PIECE = 64 * 1024
_GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, WsClosed)


class EsxiFront:
    """A TLS listener that takes each ticket once and shows the screen behind it.

    Args:
        screen: Host and port of an RFB server, or of a websocket that speaks RFB.
        tls: The server's context, with its certificate.
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        tickets: The good ones; default: none yet, see ``Tickets.add``.
        limit: How many viewers there may be at a time; a virtual machine's own limit is 40.
        websocket: True if the screen is behind a websocket at the path ``/``, as QEMU's is.

    Attributes:
        tickets: The tickets.
        requests: The target of every request that came, good or not; empty where a client looked at the
            certificate and went away.
        open: How many viewers there are.
        most_open: The most there were at a time.

    Usage::

        async with RfbServer() as screen, EsxiFront(("127.0.0.1", screen.port), context) as esxi:
            esxi.tickets.add("cst52e5f0a1b2c3d4")
            print(esxi.url_of("cst52e5f0a1b2c3d4"))
    """

    most_open: int
    open: int

    def __init__(
        self,
        screen: tuple[str, int],
        tls: ssl.SSLContext,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tickets: Tickets | None = None,
        limit: int = 40,
        websocket: bool = False,
    ) -> None:
        self._screen, self._tls, self._host, self._port = screen, tls, host, port
        self._limit, self._websocket = limit, websocket
        self.tickets: Tickets = tickets or Tickets()
        self.requests: list[str] = []
        self.open = self.most_open = 0
        self._listener: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._changed = asyncio.Event()
        self._leaves = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def url_of(self, ticket: str, host: str = "localhost") -> str:
        """What vSphere calls the ticket's URL."""
        return f"wss://{host}:{self._port}/ticket/{ticket}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        self._listener = await asyncio.start_server(
            self._accept, self._host, self._port, ssl=self._tls, limit=_LONGEST_HEAD
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening, drop every viewer."""
        if self._listener is None:
            return
        self._listener.close()
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()
        self._listener = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def drop_viewers(self) -> None:
        """Break every connection, as a host that fails does."""
        for writer in self._tasks.values():
            writer.transport.abort()

    def send_away(self) -> None:
        """End every viewer's websocket in order (1000), as a host does when the machine leaves it.

        Raises:
            ValueError: the screen is behind a websocket, whose frames are its own.
        """
        if self._websocket:
            raise ValueError("what is behind a websocket ends it itself")
        leaves, self._leaves = self._leaves, asyncio.Event()
        leaves.set()

    async def until_open(self, count: int) -> None:
        """Wait until there are exactly so many viewers."""
        while self.open != count:
            self._changed.clear()
            await self._changed.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a plain callback: asyncio would keep a coroutine's task out of our reach at aclose
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            target, headers = _parsed(head)
            self.requests.append(target)
            status = self._judge(target, headers)
            if status:
                await _refuse(writer, status)
            else:
                await self._show(reader, writer, headers)
        except _GONE:
            pass  # how viewers end
        finally:
            writer.transport.abort()

    def _judge(self, target: str, headers: dict[str, str]) -> int:
        """The status of a refusal, or 0; takes the ticket."""
        found = _TARGET.fullmatch(target)
        if found is None:
            return 404
        if headers.get("upgrade", "").lower() != "websocket" or "sec-websocket-key" not in headers:
            return 400
        if headers.get("sec-websocket-version") != "13":
            return 426
        offered = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
        if "binary" not in offered:
            return 400
        if not self.tickets.take(found[1]):
            return 403
        return 503 if self.open >= self._limit else 0

    async def _show(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]
    ) -> None:
        self._count(1)
        try:
            from_screen, to_screen = await asyncio.open_connection(*self._screen)
            try:
                if self._websocket:
                    to_screen.write(_request(headers))
                    await _either(_pass(reader, to_screen), _pass(from_screen, writer))
                else:
                    writer.write(_welcome(headers))
                    await _either(
                        _to_screen(reader, writer, to_screen),
                        _to_viewer(from_screen, writer),
                        _until(self._leaves, writer),
                    )
            finally:
                to_screen.transport.abort()
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        self.open += step
        self.most_open = max(self.most_open, self.open)
        self._changed.set()


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """Target and headers of a request; what is none has the target ``""``, which is not there."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    return (target if (method, version) == ("GET", "HTTP/1.1") else ""), headers


async def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    phrase = http.HTTPStatus(status).phrase
    writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def _welcome(headers: dict[str, str]) -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(headers['sec-websocket-key'])}\r\n"
        "Sec-WebSocket-Protocol: binary\r\n\r\n"
    ).encode()


def _request(headers: dict[str, str]) -> bytes:
    return (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {headers['sec-websocket-key']}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: binary\r\n\r\n"
    ).encode()


async def _either(*ways: Coroutine[Any, Any, None]) -> None:
    """Until one of these ways ends; its failure is the connection's."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()


async def _to_screen(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, screen: asyncio.StreamWriter
) -> None:
    while True:
        try:
            screen.write(await next_data(reader, writer))
        except WsClosed:
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        await screen.drain()


async def _to_viewer(screen: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await screen.read(_PIECE):
        writer.write(frame(data))
        await writer.drain()
    await _leave(writer)


async def _until(leaves: asyncio.Event, writer: asyncio.StreamWriter) -> None:
    await leaves.wait()
    await _leave(writer)


async def _leave(writer: asyncio.StreamWriter) -> None:
    writer.write(goodbye())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
