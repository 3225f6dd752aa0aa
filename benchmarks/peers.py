"""What is compared: how each proxy is started, and what a viewer needs to get through it.

Each is one process on one CPU, configured as its own documentation says, logging as it does by itself. Here:
those that know tokens. What only passes bytes on is in ``passers.py``.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import attrs

from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Caller
from consolekit.kit import ConsoleKit

PLUGIN = Path(__file__).parent / "plugin"
_CALLER = Caller(name="bench")
_PLENTY = 100_000
_TRIES = 5


@attrs.frozen
class Place:
    """Where one proxy runs.

    Attributes:
        directory: Its own, for configuration, store and log.
        port: Where viewers find it.
        targets: Ports of the console servers by kind: ``raw``, ``rfb``, ``websocket``, ``secure``.
        cert: Certificate and key in one PEM file; None for no TLS.
        trusted: PEM file of the certificate that the server ``secure`` shows.
    """

    directory: Path
    port: int
    targets: dict[str, int]
    cert: Path | None = attrs.field(kw_only=True)
    trusted: Path = attrs.field(kw_only=True)

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

    def port(self, place: Place) -> int:
        """Where somebody listens once it has started."""
        return place.port


class Consolekit(Peer):
    """``consolekit proxy``; links come from a kit on the same store, as from ``consolekit api``."""

    name = "consolekit"
    consoles = ("raw", "rfb", "websocket", "secure")

    def version(self) -> str:
        uvloop = importlib.util.find_spec("uvloop")
        loop = f" on uvloop {importlib.metadata.version('uvloop')}" if uvloop else ""
        return importlib.metadata.version("consolekit") + loop

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
raw = {place.targets["raw"]}
websocket = {place.targets["websocket"]}
secure = {place.targets["secure"]}
ca = "{place.trusted}"
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
        return [await _make_token(kit, console, wish) for _ in range(count)]
    finally:
        await kit.aclose()


async def _make_token(kit: ConsoleKit, console: str, wish: dict[str, object]) -> str:
    """Patiently: with ``--realtime`` the proxies go before this process, and its store has a deadline."""
    for _ in range(_TRIES):
        try:
            return (await kit.create(console, wish, caller=_CALLER)).token.reveal()
        except StoreUnavailable:
            continue
    return (await kit.create(console, wish, caller=_CALLER)).token.reveal()


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
