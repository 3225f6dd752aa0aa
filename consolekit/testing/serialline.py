"""Testing: a machine's serial line behind a socket, as QEMU's ``-serial tcp:...,server=on,wait=off`` is.

Raw bytes both ways, no telnet. As there, one caller is connected at a time and the next waits unanswered;
what the machine prints while nobody listens is lost. Knows asyncio; knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PIECE: Final = 4096
_BACKLOG: Final = 1  # QEMU's own

Guest = Callable[[bytes], bytes]
"""What the machine prints when it reads these bytes."""


def login_prompt(typed: bytes) -> bytes:
    """The simplest guest: echoes what is typed, and asks for a login at every carriage return."""
    return typed.replace(b"\r", b"\r\nlab login: ")


class SerialLine:
    r"""A serial line, on a TCP port or a unix socket.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        path: Listen on this unix socket instead.
        guest: What the machine does with what is typed.

    Attributes:
        typed: All that the machine has read.
        calls: How many callers have been connected so far.

    Usage::

        async with SerialLine() as line:
            print(line.address)
            line.say(b"kernel: booting\r\n")
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        path: Path | None = None,
        guest: Guest = login_prompt,
    ) -> None:
        self._host, self._port, self._path, self._guest = host, port, path, guest
        self.typed: bytearray = bytearray()
        self.calls: int = 0
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._caller: asyncio.StreamWriter | None = None
        self._changed = asyncio.Condition()

    @property
    def address(self) -> str:
        """Where it listens: ``host:port``, ``[v6]:port`` or ``unix:/path``."""
        if self._path is not None:
            return f"unix:{self._path}"
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._port

    @property
    def connected(self) -> bool:
        """Whether somebody is connected now."""
        return self._caller is not None

    def say(self, data: bytes) -> bool:
        """Let the machine print something; False if nobody hears it, and it is lost."""
        if self._caller is None:
            return False
        self._caller.write(data)
        return True

    def hang_up(self) -> None:
        """End the caller's connection, as a machine that is switched off does."""
        if self._caller is not None:
            self._caller.close()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of this line, such as ``lambda: b"root" in line.typed``."""
        async with self._changed:
            await self._changed.wait_for(true)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        if self._path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._path))
            self._listener.listen(_BACKLOG)
        else:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            self._listener = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
            self._port = self._listener.getsockname()[1]
        self._listener.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._answer(self._listener))

    async def aclose(self) -> None:
        """Stop listening, drop the caller."""
        if self._task is None or self._listener is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
        self._task = self._listener = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _answer(self, listener: socket.socket) -> None:
        """One caller after the other: who is not accepted waits in the system's queue."""
        while True:
            link, _ = await asyncio.get_running_loop().sock_accept(listener)
            reader, self._caller = await asyncio.open_connection(sock=link)
            self.calls += 1
            try:
                await self._tell()
                await self._converse(reader, self._caller)
            finally:
                self._caller.transport.abort()
                self._caller = None
            await self._tell()

    async def _converse(self, reader: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while typed := await reader.read(_PIECE):
                self.typed += typed
                caller.write(self._guest(typed))
                await caller.drain()  # a caller that reads nothing holds the machine up, as a real line does
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
