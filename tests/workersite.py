"""Test support: ``consolekit serve`` with workers, and consoles whose server says back what it hears."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socketserver
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
from served import SETTINGS, Served, serving
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect

PATIENCE = 30.0


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@contextlib.contextmanager
def echoing() -> Iterator[str]:
    """A server that says back what it hears; its address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@attrs.define
class Site:
    """A running ``consolekit serve`` with workers.

    Attributes:
        served: What was started.
        config: Its file.
        stack: Whoever is put here goes before the site does.
        parent: Process of the parent; another one after an upgrade.
    """

    served: Served
    config: Path
    stack: contextlib.ExitStack
    parent: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.parent = self.served.process.pid

    def console(self, server: str = "a") -> ClientConnection:
        """An open console; closed with the site at the latest."""
        url = str(self.served.link(server, "serial/serial")["url"])
        return self.stack.enter_context(
            connect(url, subprotocols=[Subprotocol("binary")], open_timeout=PATIENCE)
        )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.served.urls["admin"] + path, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def readiness(self) -> tuple[int, set[str]]:
        """Status, and the workers that take new consoles."""
        status, text = self.get("/readyz")
        return status, set(json.loads(text)["checks"])

    def figure(self, sample: str) -> float:
        """One sample of the one view."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)

    def workers(self, parent: int = 0) -> list[int]:
        """The processes that serve."""
        parent = parent or self.parent
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def reload(self) -> None:
        """SIGHUP; back when it is decided what it led to."""
        self._ordered(signal.SIGHUP, r"new workers serve|did not come up")

    def upgrade(self) -> int:
        """SIGUSR1; back when it is decided what it led to. Another parent's process id, if there is one."""
        found = self._ordered(signal.SIGUSR1, r"process (\d+) serves|does not serve")
        self.parent = int(found[1] or self.parent)
        return int(found[1] or 0)

    def _ordered(self, number: signal.Signals, outcome: str) -> re.Match[str]:
        said = self.served.log.stat().st_size
        os.kill(self.parent, number)
        self.until(lambda: re.search(outcome, self._log_from(said)))
        found = re.search(outcome, self._log_from(said))
        assert found is not None
        return found

    def kill(self) -> float:
        """SIGKILL to a worker; the seconds until all are ready again."""
        known, begun = self.readiness()[1], time.monotonic()
        os.kill(self.workers()[0], signal.SIGKILL)
        self.until(lambda: self.readiness()[0] == 200 and self.readiness()[1] - known)
        return time.monotonic() - begun

    def end(self) -> None:
        """Have the parent of now end; nothing where it is the first, whom its starter ends."""
        if self.parent != self.served.process.pid:
            os.kill(self.parent, signal.SIGTERM)
            self.until(lambda: gone(self.parent))
            self.served.process.wait(PATIENCE)  # with its last console

    def _log_from(self, size: int) -> str:
        return self.served.log.read_bytes()[size:].decode()

    def until(self, true: object) -> None:
        """Wait for something."""
        deadline = time.monotonic() + PATIENCE
        while not true():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.served.log.read_text()
            time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended, whoever has yet to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def said_back(console: ClientConnection, text: bytes) -> bool:
    """Whether the console says back what it hears."""
    console.send(text)
    heard = b""
    while len(heard) < len(text):
        piece = console.recv(timeout=PATIENCE)
        heard += piece if isinstance(piece, bytes) else piece.encode()
    return heard == text


def providers(*addresses: tuple[str, str]) -> str:
    """The ``[providers]`` part for servers by name and address."""
    table = "\n".join(f'{name} = {{ address = "{address}" }}' for name, address in addresses)
    return f'[providers.lab]\nuse = "serial"\n[providers.lab.servers]\n{table}\n'


def settings(*, workers: int = 2, drain_seconds: int = 0) -> str:
    """Everything but the providers."""
    text = SETTINGS.replace("workers = 0", f"workers = {workers}")
    return text.replace("drain_seconds = 0", f"drain_seconds = {drain_seconds}")


@contextlib.contextmanager
def working(directory: Path, *, workers: int = 2, drain_seconds: int = 0) -> Iterator[Site]:
    """A site whose server ``a`` says back what it hears."""
    text = settings(workers=workers, drain_seconds=drain_seconds)
    with echoing() as address, serving(directory, providers(("a", address)), settings=text) as served:
        site = Site(served, directory / "consolekit.toml", contextlib.ExitStack())
        site.until(lambda: site.readiness()[0] == 200)
        try:
            with site.stack:
                yield site
        finally:
            site.end()
