"""Test support: a real redis-server of our own, on a unix socket and a port; it can be killed and frozen."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parts import require

from consolekit.auth.redissettings import RedisSettings
from consolekit.auth.redisstore import RedisTokenStore
from consolekit.core.types import Clock

PATIENCE = 20.0


class RedisServer:
    """A redis-server in a directory of its own.

    Args:
        options: Its options, as in redis.conf but with ``_``; what it keeps on disk, and who may log in.
    """

    def __init__(self, **options: str) -> None:
        self._program = require("redis-server", "redis-server")
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))  # short: a socket's path has 107 bytes
        self.socket = self.directory / "s"
        self.log = self.directory / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._options = {
            "port": f"{self.port}",
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self.directory),
            "logfile": str(self.log),
            "save": "",
            "enable-debug-command": "yes",
        } | {name.replace("_", "-"): value for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, **options: str) -> None:
        """Start it, again; comes back when it answers. Options as at the beginning."""
        self._options |= {name.replace("_", "-"): value for name, value in options.items()}
        lines = [f'{name} "{value}"' for name, value in self._options.items()]
        (self.directory / "conf").write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen([self._program, str(self.directory / "conf")])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.say("PING")
                return
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def say(self, *words: str) -> bytes:
        """One command over the socket, by hand; what came back of its answer at first."""
        with socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(PATIENCE)
            talk.connect(str(self.socket))
            talk.sendall(_packed(*words))
            return talk.recv(65536)

    @contextmanager
    def monitored(self) -> Iterator[list[bytes]]:
        """Everything that it is told meanwhile: what MONITOR says, in one piece at the end."""
        heard: list[bytes] = []
        with socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(PATIENCE)
            talk.connect(str(self.socket))
            talk.sendall(_packed("MONITOR"))
            yield heard
            self.say("ECHO", "the end of it")
            while b"the end of it" not in b"".join(heard[-2:]):
                heard.append(talk.recv(65536))

    def kill(self) -> None:
        """End it at once, with all that it had in memory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there, its sockets are open, and it does nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and remove what it wrote."""
        self.kill()
        shutil.rmtree(self.directory)

    def store(self, clock: Clock, *, prefix: str = "consolekit") -> RedisTokenStore:
        """A store on it, over its unix socket."""
        return RedisTokenStore(RedisSettings(path=str(self.socket), prefix=prefix), clock=clock)


@functools.cache
def shared_server() -> RedisServer:
    """The one Redis of this test process, for tests that do it no harm."""
    server = RedisServer()
    atexit.register(server.close)
    return server


def fresh_options() -> dict[str, str]:
    """The options of an empty store on it."""
    return {"url": f"unix://{shared_server().socket}", "prefix": secrets.token_hex(4)}


def _packed(*words: str) -> bytes:
    parts = (b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
    return b"*%d\r\n" % len(words) + b"".join(parts)
