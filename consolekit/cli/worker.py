"""CLI: one worker process, as its parent sees it: started on the parent's sockets, heard, told, ended.

A worker is the same command on inherited sockets (``net.inherited``), and says how it is as a service says it
to systemd (``cli.notify``). It holds the reading end of a pipe: when its parent is gone, it ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from consolekit.cli.spawn import starting
from consolekit.core.errors import ConsoleUnavailable

PARENT = "_CONSOLEKIT_PARENT_FD"  # not CONSOLEKIT_...: it is no setting
_SILENCE_SECONDS = 30.0
_FIGURES_SECONDS = 2.0
_FIGURES_LIMIT = 4 * 1024 * 1024


class Worker:
    """A process that serves.

    Args:
        number: What logs call it.
        arguments: The command line, without the program's name.
        sockets: By name, the listening sockets that all workers share.
        folder: Where its own two sockets lie; private to the parent.
    """

    def __init__(
        self,
        number: int,
        arguments: Sequence[str],
        sockets: Mapping[str, Sequence[socket.socket]],
        folder: Path,
    ) -> None:
        self.number = number
        self.ready: asyncio.Event = asyncio.Event()
        self.leaving = False
        self.figures: str = ""
        self.heard_at: float = 0.0
        self._arguments, self._shared = arguments, sockets
        self._admin, self._notify = folder / f"{number}.admin", folder / f"{number}.notify"
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline = -1
        self._hearing: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Its process; only once it is started."""
        assert self._process is not None  # noqa: S101 - start() came before
        return self._process.pid

    async def start(self) -> None:
        """Start the process; ``ready`` is set when it serves.

        Raises:
            OSError: there is no memory, descriptor or place for it; nothing is left of it.
        """
        try:
            await self._start()
        except OSError:
            self._clear()
            raise

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self.heard_at = loop.time()
        self._hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hearing.bind(str(self._notify))
        self._hearing.setblocking(False)
        loop.add_reader(self._hearing, self._hear)
        reading, self._lifeline = os.pipe()
        with socket.socket(socket.AF_UNIX) as admin:
            admin.bind(str(self._admin))
            admin.listen()
            shared = [(name, sock) for name, socks in self._shared.items() for sock in socks]
            try:
                self._process = await self._spawn([*shared, ("admin", admin)], reading)
            finally:
                os.close(reading)

    async def _spawn(
        self, sockets: Sequence[tuple[str, socket.socket]], reading: int
    ) -> asyncio.subprocess.Process:
        environment = {"NOTIFY_SOCKET": str(self._notify), "WATCHDOG_USEC": f"{int(_SILENCE_SECONDS * 1e6)}"}
        command, how = starting(self._arguments, sockets, link=(PARENT, reading), environment=environment)
        return await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, **how)

    def _hear(self) -> None:
        assert self._hearing is not None  # noqa: S101 - it is what was read from
        try:
            states = self._hearing.recv(4096).decode("utf-8", "replace").split("\n")
        except BlockingIOError:
            return
        self.heard_at = asyncio.get_running_loop().time()
        if "READY=1" in states:
            self.ready.set()

    def silent(self, now: float) -> bool:
        """Whether it serves and its event loop has not turned for too long."""
        return self.ready.is_set() and now - self.heard_at > _SILENCE_SECONDS

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if it is still there."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        assert self._process is not None  # noqa: S101 - start() came before
        code = await self._process.wait()
        self._clear()
        return code

    def _clear(self) -> None:
        if self._hearing is not None:
            asyncio.get_running_loop().remove_reader(self._hearing)
            self._hearing.close()
            self._hearing = None
            if self._lifeline >= 0:
                os.close(self._lifeline)
            for path in (self._admin, self._notify):
                path.unlink(missing_ok=True)

    async def ask(self, path: str) -> tuple[int, str]:
        """What it answers on its admin listener; status and body.

        Raises:
            ConsoleUnavailable: it does not, in time.
        """
        try:
            async with asyncio.timeout(_FIGURES_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._admin), limit=_FIGURES_LIMIT)
                try:
                    writer.write(f"GET {path} HTTP/1.0\r\nHost: worker\r\n\r\n".encode())
                    head, _, body = (await reader.read(-1)).decode().partition("\r\n\r\n")
                finally:
                    writer.close()
            status = int(head.split(" ", 2)[1])
        except (OSError, TimeoutError, ValueError, IndexError) as exc:
            raise ConsoleUnavailable(f"worker {self.number} does not answer: {type(exc).__name__}") from exc
        if path == "/metrics":
            self.figures = body
        return status, body
