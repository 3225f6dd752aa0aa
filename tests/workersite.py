"""Test support: ``consolekit serve`` with workers, and consoles whose server says back what it hears."""

from __future__ import annotations

import contextlib
import json
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
    """A running ``consolekit serve`` with workers."""

    served: Served
    config: Path
    stack: contextlib.ExitStack

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

    def workers(self) -> list[int]:
        """The processes that serve."""
        parent = self.served.process.pid
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def reload(self) -> None:
        """SIGHUP; back when it is decided what it led to."""
        said = self.served.log.stat().st_size
        self.served.process.send_signal(signal.SIGHUP)
        self.until(
            lambda: any(word in self._log_from(said) for word in ("new workers serve", "did not come up"))
        )

    def _log_from(self, size: int) -> str:
        return self.served.log.read_bytes()[size:].decode()

    def until(self, true: object) -> None:
        """Wait for something."""
        deadline = time.monotonic() + PATIENCE
        while not true():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.served.log.read_text()
            time.sleep(0.02)


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
        with site.stack:
            yield site
