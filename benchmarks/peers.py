"""The proxies that are compared: how each is started, and what a viewer needs to get through it.

Each is one process on one CPU, configured as its own documentation says, logging as it does by itself.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import attrs

from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.core.types import Caller

PLUGIN = Path(__file__).parent / "plugin"
_CALLER = Caller(name="bench")
_PLENTY = 100_000


@attrs.frozen(kw_only=True)
class Place:
    """Where one proxy runs.

    Attributes:
        directory: Its own, for configuration, store and log.
        port: Where viewers find it.
        targets: Ports of the console servers by kind: ``raw``, ``rfb``, ``websocket``.
        cert: Certificate and key in one PEM file; None for no TLS.
    """

    directory: Path
    port: int
    targets: dict[str, int]
    cert: Path | None = None

    @property
    def authority(self) -> str:
        return f"{'wss' if self.cert else 'ws'}://127.0.0.1:{self.port}"

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path


class Peer(ABC):
    """One proxy.

    Attributes:
        name: In options, results and tables.
        consoles: Which console servers it can reach.
        most_sessions: More are not tried.
    """

    name: ClassVar[str]
    consoles: ClassVar[tuple[str, ...]] = ("raw", "rfb")
    most_sessions: ClassVar[int] = _PLENTY

    @abstractmethod
    def version(self) -> str:
        """Its version; empty if it is not installed."""

    @abstractmethod
    def command(self, place: Place) -> list[str]:
        """Write what it needs, say how it is started."""

    @abstractmethod
    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        """Options of ``viewers`` for so many connections to a console."""


class Consolekit(Peer):
    """``consolekit proxy``; links come from a kit on the same store, as from ``consolekit api``."""

    name = "consolekit"

    def version(self) -> str:
        return importlib.metadata.version("consolekit")

    def command(self, place: Place) -> list[str]:
        tls = f'cert = "{place.cert}"' if place.cert else ""
        config = f"""
[proxy]
listen = "127.0.0.1:{place.port}"
{tls}
[admin]
listen = ""
[tokens]
path = "{place.directory}/tokens.db"
[limits]  # all viewers come from one address, for one subject, to one server
sessions = {_PLENTY}
per_server = {_PLENTY}
per_subject = {_PLENTY}
per_address = {_PLENTY}
[providers.raw]
use = "bench"
port = {place.targets["raw"]}
[providers.rfb]
use = "vnc"
[providers.rfb.servers.rfb]
address = "127.0.0.1:{place.targets["rfb"]}"
"""
        path = place.write("consolekit.toml", config)
        return [sys.executable, "-c", "from consolekit.cli.main import main; main()",
                "proxy", "--config", str(path)]  # fmt: skip

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        tokens = asyncio.run(_make_tokens(place.directory / "consolekit.toml", console, connections))
        path = place.write("tokens", "".join(f"{token}\n" for token in tokens))
        return ["--url", f"{place.authority}/ws", "--tokens", str(path)]


async def _make_tokens(config: Path, console: str, count: int) -> list[str]:
    kit = build_kit(load(config, env={}))
    wish = {"protocol": "vnc", "type": "novnc", "ttl_seconds": 600}
    try:
        links = [await kit.create(console, wish, caller=_CALLER) for _ in range(count)]
        return [link.token.reveal() for link in links]
    finally:
        await kit.aclose()


class Websockify(Peer):
    """websockify with its TokenFile plug-in: tokens that stay valid, no check of the origin."""

    name = "websockify"
    most_sessions = 300  # a process for each

    def version(self) -> str:
        found = importlib.util.find_spec("websockify")
        return importlib.metadata.version("websockify") if found else ""

    def command(self, place: Place) -> list[str]:
        lines = [f"{console}: 127.0.0.1:{place.targets[console]}\n" for console in self.consoles]
        source = place.write("websockify-tokens", "".join(lines))
        tls = ["--cert", str(place.cert), "--ssl-only"] if place.cert else []
        return [sys.executable, "-m", "websockify", *tls, "--token-plugin", "TokenFile",
                "--token-source", str(source), f"127.0.0.1:{place.port}"]  # fmt: skip

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        return ["--url", f"{place.authority}/websockify?token={console}"]


class Haproxy(Peer):
    """HAProxy passing websockets through to a server that speaks websocket itself; it knows no tokens."""

    name = "haproxy"
    consoles = ("raw",)

    def version(self) -> str:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            return ""
        answer = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
        return answer.stdout.split()[2]

    def command(self, place: Place) -> list[str]:
        tls = f"ssl crt {place.cert}" if place.cert else ""
        config = f"""
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend viewers
  bind 127.0.0.1:{place.port} backlog 4096 {tls}
  default_backend consoles
backend consoles
  server console 127.0.0.1:{place.targets["websocket"]}
"""
        program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        return [str(program), "-db", "-f", str(place.write("haproxy.cfg", config))]

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        return ["--url", f"{place.authority}/websockify"]


PEERS: dict[str, Peer] = {peer.name: peer for peer in (Consolekit(), Websockify(), Haproxy())}
