"""Test support: clients and servers that no library would let us write, and a gateway that must survive them.

Importable as ``hostile``. Everything is on loopback and raw; nothing sleeps to wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
from gateway import Gateway, PipeProvider, Serve, running, target

from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import Endpoint
from consolekit.net.listener import ListenerSettings
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Timeouts

PATIENCE = 15.0
"""How long a test waits for anything before it fails; nothing should come near it."""

QUICK: dict[str, Any] = {
    "timeouts": Timeouts(connect=1.0, handshake=1.5),
    "relay": RelaySettings(stall_seconds=2.0, max_message=4 * 1024 * 1024),
    "listener_settings": ListenerSettings(request_seconds=1.0),
}

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK = bytes((0x37, 0xFA, 0x21, 0x3D))


# ---- what the process holds


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Bytes of memory this process occupies."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def until(happened: Callable[[], object], what: str) -> None:
    """Wait for something that nobody announces."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not happened():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None


@asynccontextmanager
async def house(provider: ConsoleProvider, **options: Any) -> AsyncIterator[Gateway]:
    """A gateway with short deadlines that, after the test's body, must hold nothing of what came.

    What the body has opened it has closed: then no session, no pending connection, no task and no
    descriptor is left, while the gateway still runs.
    """
    async with running(provider, **{**QUICK, **options}) as gateway:
        files, tasks = open_files(), asyncio.all_tasks()
        yield gateway
        await until(lambda: not len(gateway.proxy.sessions), "the end of every session")
        await until(lambda: not gateway.listener.pending, "the end of every connection")
        await until(lambda: asyncio.all_tasks() <= tasks, "the end of every task")
        await until(lambda: open_files() <= files, "the close of every descriptor")


@asynccontextmanager
async def console(serve: Serve, **options: Any) -> AsyncIterator[Gateway]:
    """A house whose server ``demo`` is served by ``serve``, from the first byte."""
    async with target(serve) as endpoint, house(PipeProvider({"demo": endpoint}), **options) as gateway:
        yield gateway


# ---- raw HTTP


@attrs.frozen
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


class Wire:
    """A raw connection to the gateway; what it has received so far is never lost to a reset."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of it, unless the gateway has hung up already."""
        try:
            await self._loop.sock_sendall(self.socket, data)
        except ConnectionError:
            pass

    async def more(self) -> bool:
        """Wait for more; False at the end, however it came."""
        try:
            data = await self._loop.sock_recv(self.socket, 65536)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)

    async def end(self) -> bytes:
        """Everything until the gateway closes."""
        async with asyncio.timeout(PATIENCE):
            while await self.more():
                pass
        return self.received

    async def answer(self) -> Answer:
        """The next whole answer."""
        async with asyncio.timeout(PATIENCE):
            while (found := _take_answer(self.received)) is None:
                if not await self.more():
                    raise AssertionError(f"closed without a whole answer: {self.received[:300]!r}")
        answer, self.received = found
        return answer

    def fin(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset, as a crash of the browser's machine looks when it comes back."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def _take_answer(data: bytes) -> tuple[Answer, bytes] | None:
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split()[1])
    length = 0 if status in (101, 204, 304) else int(headers["content-length"])
    if len(rest) < length:
        return None
    return Answer(status, headers, rest[:length]), rest[length:]


@asynccontextmanager
async def wire(gateway: Gateway, *, receive_buffer: int = 0) -> AsyncIterator[Wire]:
    """A raw TCP connection to the gateway."""
    sock = socket.socket()
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", gateway.port))
        yield Wire(sock)
    finally:
        sock.close()


def request(gateway: Gateway, target: str = "/console/", *lines: str, method: str = "GET") -> bytes:
    """A request with a Host and these further lines."""
    head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1")


async def ask(gateway: Gateway, data: bytes) -> Answer:
    """Send bytes, give the first answer."""
    async with wire(gateway) as connection:
        await connection.send(data)
        return await connection.answer()


async def ask_to_the_end(gateway: Gateway, data: bytes) -> bytes:
    """Send bytes, give everything until the gateway closes."""
    async with wire(gateway) as connection:
        await connection.send(data)
        return await connection.end()


def status(data: bytes) -> int:
    """The status of raw bytes that begin with an answer; 0 for nothing at all."""
    return int(data.split(b" ", 2)[1]) if data else 0


# ---- raw websocket


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: bytes | None = None,
) -> bytes:
    """A frame of a viewer; ``length`` replaces the second byte's low bits and the extended length."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes([size])
        else:
            length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    head = bytes([fin << 7 | rsv << 4 | opcode, length[0] | masked << 7]) + length[1:]
    if not masked:
        return head + payload
    return head + _MASK + bytes(byte ^ _MASK[index & 3] for index, byte in enumerate(payload))


class Viewer(Wire):
    """A websocket client that sends what it is told."""

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the gateway: opcode and payload; they are whole and never masked."""
        async with asyncio.timeout(PATIENCE):
            while (found := _take_frame(self.received)) is None:
                if not await self.more():
                    raise ConnectionResetError("closed without a frame")
        opcode, payload, self.received = found
        return opcode, payload

    async def bytes(self, size: int) -> bytes:
        """Payload of binary frames, until there are so many."""
        data = b""
        while len(data) < size:
            opcode, payload = await self.frame()
            assert opcode == BINARY, (opcode, payload)
            data += payload
        return data

    async def close_code(self) -> int:
        """The code of the close frame, skipping what comes before; 0 when none comes."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except ConnectionResetError:
            return 0


def _take_frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    if len(data) < 2:
        return None
    size, at = data[1], 2
    if size >= 126:
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        return None
    return data[0] & 15, data[at : at + size], data[at + size :]


@asynccontextmanager
async def viewer(
    gateway: Gateway, *, behind: bytes = b"", receive_buffer: int = 0, token: str = "", **changes: str
) -> AsyncIterator[Viewer]:
    """An open console whose client is raw; ``behind`` goes in one segment with the handshake."""
    async with wire(gateway, receive_buffer=receive_buffer) as connection:
        raw = Viewer(connection.socket)
        await raw.send(gateway.handshake(token or await gateway.token(), **changes) + behind)
        answer = await raw.answer()
        assert answer.status == 101, answer
        yield raw


# ---- servers


@contextmanager
def full_backlog() -> Iterator[Endpoint]:
    """An address that answers no connection attempt, as behind a filter that drops packets."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            yield Endpoint(host="127.0.0.1", port=port)
        finally:
            for filler in fillers:
                filler.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection of a scripted server with a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the gateway goes."""
    while await reader.read(65536):
        pass


def client_hello() -> bytes:
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
