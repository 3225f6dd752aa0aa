"""Test support: a whole gateway on loopback, built as an integrator would, and clients for it.

Importable as ``gateway``. The proxy, listener, kit and stores are the real ones.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs
import websockets.asyncio.client
from prometheus_client import CollectorRegistry

from consolekit import Caller, ConsoleKit, ConsoleLink, Hooks, KitSettings, ProviderRegistry
from consolekit.auth.base import TokenStore
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import UnknownServer
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import Clock, ConsoleKey, ConsoleRequest, Endpoint, SystemClock, Transport
from consolekit.net.listener import Listener, ListenerSettings
from consolekit.proxy.app import Proxy, ProxySettings
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Timeouts
from consolekit.proxy.sessions import Limits

CALLER = Caller(name="tests")


class PipeProvider(ConsoleProvider):
    """Relays to given endpoints from the first byte; the pair is ``vnc/novnc`` so that links look usual."""

    keys = (ConsoleKey("vnc", "novnc"),)

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        self.endpoints = endpoints
        self.opened: list[str] = []
        self.closed: list[Endpoint] = []

    async def check(self, request: ConsoleRequest) -> None:
        if request.server_id not in self.endpoints:
            raise UnknownServer(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        await self.check(request)
        self.opened.append(request.server_id)
        return self.endpoints[request.server_id]

    async def close(self, endpoint: Endpoint) -> None:
        self.closed.append(endpoint)


@attrs.define
class Gateway:
    """A running gateway."""

    kit: ConsoleKit
    proxy: Proxy
    listener: Listener
    client_tls: ssl.SSLContext | None = None

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def url(self) -> str:
        return f"{'https' if self.client_tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/ws"

    async def link(self, server_id: str = "demo", **body: object) -> ConsoleLink:
        return await self.kit.create(server_id, {"protocol": "vnc", "type": "novnc", **body}, caller=CALLER)

    async def token(self, server_id: str = "demo") -> str:
        return (await self.link(server_id)).token.reveal()

    def open(self, token: str, *, resume: str = "", **options: object) -> websockets.asyncio.client.connect:
        """A websocket client as the page makes one; use as ``async with`` or ``await``."""
        offers = ["binary", f"consolekit.token.{token}"]
        if resume:
            offers.append(f"consolekit.resume.{resume}")
        given: dict[str, object] = {
            "subprotocols": offers,
            "origin": self.url,
            "compression": None,
            "max_size": None,
            "ssl": self.client_tls,
            "proxy": None,
        }
        return websockets.asyncio.client.connect(self.ws_url, **{**given, **options})

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, for what no client library would send."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client_tls)

    def handshake(self, token: str, **changes: str) -> bytes:
        """A good opening handshake, with lines replaced by name ("_" for "-"; empty: left out)."""
        lines = {
            "Host": f"127.0.0.1:{self.port}",
            "Origin": self.url,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": f"binary, consolekit.token.{token}",
        }
        lines |= {name.replace("_", "-"): value for name, value in changes.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return f"GET /ws HTTP/1.1\r\n{head}\r\n".encode("latin-1")

    async def until_no_sessions(self) -> None:
        """Wait for every session to be over."""
        async with asyncio.timeout(20):
            while len(self.proxy.sessions):
                await asyncio.sleep(0.005)


def resume_key() -> str:
    return secrets.token_urlsafe(32)


def registry_of(provider: ConsoleProvider) -> ProviderRegistry:
    registry = ProviderRegistry()
    registry.add("lab", provider)
    return registry


@asynccontextmanager
async def running(
    provider: ConsoleProvider | ProviderRegistry,
    *,
    clock: Clock | None = None,
    store: TokenStore | None = None,
    hooks: Hooks | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    relay: RelaySettings | None = None,
    listener_settings: ListenerSettings | None = None,
    kit_settings: KitSettings | None = None,
    grace_seconds: float = 30.0,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
    **proxy_options: object,
) -> AsyncIterator[Gateway]:
    """Run a gateway in front of a provider, or of all that a registry holds."""
    clock = clock or SystemClock()
    store = store or MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock, grace_seconds=grace_seconds)
    listener = Listener("127.0.0.1", 0, tls=server_tls, settings=listener_settings)
    listener.bind()
    own = f"127.0.0.1:{listener.port}"
    base = f"{'https' if server_tls else 'http'}://{own}"
    kit = ConsoleKit(
        registry=provider if isinstance(provider, ProviderRegistry) else registry_of(provider),
        store=store,
        issuer=tokens,
        validators=[tokens],
        hooks=hooks,
        clock=clock,
        settings=attrs.evolve(kit_settings or KitSettings(), base_url=base),
    )
    settings = ProxySettings(
        origins=frozenset({base}),
        hosts=frozenset({own}),
        limits=limits or Limits(),
        timeouts=timeouts or Timeouts(),
        relay=relay or RelaySettings(),
        **proxy_options,
    )
    proxy = Proxy(kit, settings, registry=CollectorRegistry())
    proxy.pending = lambda: listener.pending
    listener.on_refused = proxy.metrics.connection_refused
    try:
        await proxy.start()
        listener.start(proxy.application())
        yield Gateway(kit=kit, proxy=proxy, listener=listener, client_tls=client_tls)
    finally:
        listener.stop()
        await proxy.aclose()
        await listener.aclose()
        await kit.aclose()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def target(serve: Serve) -> AsyncIterator[Endpoint]:
    """A TCP server whose connections are served by ``serve``; gives its endpoint."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        except ConnectionError:
            with suppress(ConnectionError):  # else asyncio may tell of it, as of one that nobody fetched
                await writer.wait_closed()
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Endpoint(transport=Transport.TCP, host="127.0.0.1", port=port)
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
