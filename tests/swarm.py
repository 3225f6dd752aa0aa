"""Test support: many viewers in one process, cheaply: websocket by hand, no task for a message.

Importable as ``swarm``. A mask of zeros is a mask (RFC 6455, 5.3), so payloads go out as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from consolekit import ConsoleKit
from consolekit.core.types import Caller

_CALLER = Caller(name="swarm")
_CLOSE, _PING, _PONG = 8, 9, 10


class Refused(Exception):
    """No websocket: the HTTP status, 0 where the connection ended without one."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def header(size: int, opcode: int = 2, *, fin: bool = True) -> bytes:
    """The header of a viewer's frame, its mask of zeros included."""
    first = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return first + bytes([0x80 | size]) + bytes(4)
    if size < 65536:
        return first + b"\xfe" + size.to_bytes(2, "big") + bytes(4)
    return first + b"\xff" + size.to_bytes(8, "big") + bytes(4)


class Console(asyncio.Protocol):
    """One viewer.

    Attributes:
        code: Of the close frame that came; 0 where none did.
        ended: Set when the connection has ended, whoever ended it.
        heard: Bytes of payload that have come.
        on_payload: Gets each piece of them.
    """

    def __init__(self, request: bytes, on_payload: Callable[[bytes], None]) -> None:
        self.code, self.heard = 0, 0
        self.on_payload = on_payload
        self.ended = asyncio.Event()
        self._request, self._data = request, b""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._headers = True
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._headers:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            self._headers, self._data = False, rest
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                self._fail(Refused(status))
                self.transport.abort()
                return
            if not self._opened.done():
                self._opened.set_result(None)
        self._take_frames()

    def _take_frames(self) -> None:
        data, at = self._data, 0
        while len(data) - at >= 2:
            length, start = data[at + 1], at + 2
            if length > 125:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(data[start : start + size], "big"), start + size
            if len(data) < start + length:
                break
            self._take(data[at] & 15, data[start : start + length])
            at = start + length
        self._data = data[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self.transport.write(header(len(payload), _CLOSE) + payload)
        elif opcode == _PING:
            self.transport.write(header(len(payload), _PONG) + payload)
        elif opcode != _PONG:
            self.heard += len(payload)
            self.on_payload(payload)
            self._more.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Refused(0))
        self.ended.set()
        self._more.set()
        self._writable.set()

    def _fail(self, why: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(why)

    async def opened(self) -> None:
        """Wait for the 101.

        Raises:
            Refused: another status came, or none.
        """
        await self._opened

    def send(self, payload: bytes) -> None:
        """Send one message."""
        self.transport.write(header(len(payload)) + payload)

    async def sent(self) -> None:
        """Wait until the system takes more."""
        await self._writable.wait()

    async def hears(self, size: int) -> bool:
        """Wait until so many bytes have come in all; False if the connection has ended before."""
        while self.heard < size and not self.ended.is_set():
            self._more.clear()
            await self._more.wait()
        return self.heard >= size

    async def close(self) -> None:
        """Say goodbye, and wait until the proxy has said it too."""
        self.transport.write(header(2, _CLOSE) + b"\x03\xe8")
        await self.ended.wait()

    def abort(self) -> None:
        """Be gone without a word."""
        self.transport.abort()


class Door:
    """Where the consoles are.

    Args:
        url: ``http://127.0.0.1:PORT`` of the proxy.
        patience: Seconds until an opening console is given up.

    Attributes:
        host: Its host.
        port: Its port.
    """

    def __init__(self, url: str, patience: float = 30.0) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._patience = patience

    async def open(self, token: str, on_payload: Callable[[bytes], None] = lambda _: None) -> Console:
        """A console that is open.

        Raises:
            Refused: the proxy does not want it.
            OSError: nobody was there.
            TimeoutError: it did not open in time.
        """
        request = (
            f"GET /ws HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Protocol: binary, consolekit.token.{token}\r\n\r\n"
        ).encode()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience):
            _, console = await loop.create_connection(
                lambda: Console(request, on_payload), self.host, self.port
            )
            try:
                await console.opened()
            except BaseException:
                console.abort()
                raise
        return console


async def tokens(kit: ConsoleKit, count: int, server: str = "a", *, seconds: int = 600) -> list[str]:
    """So many one-time tokens for a serial console, good for so long."""
    wish = {"protocol": "serial", "type": "serial", "ttl_seconds": seconds}
    return [(await kit.create(server, wish, caller=_CALLER)).token.reveal() for _ in range(count)]


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """A console server on this loop that says back what it hears; its address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Echo, "127.0.0.1", 0, backlog=1024)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
