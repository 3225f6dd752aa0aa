"""consolekit.tornado: consoles inside a Tornado application that is not ours, over plain HTTP and TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trustme
import websockets.asyncio.client
from consolesite import make_site
from gateway import CALLER, PipeProvider, echo, registry_of, target
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from websockets.exceptions import ConnectionClosed, InvalidStatus

from consolekit import ConsoleKit, KitSettings
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.types import SystemClock
from consolekit.proxy.sessions import Limits
from consolekit.tornado import Proxy, ProxySettings, url_specs


class Portal(RequestHandler):
    def get(self) -> None:
        self.write("the portal's own page")


@attrs.define
class Mounted:
    """A portal with consoles inside."""

    base: str
    kit: ConsoleKit
    proxy: Proxy
    tls: ssl.SSLContext | None

    async def get(self, path: str, **headers: str) -> HTTPResponse:
        url = self.base.removesuffix("/vm") + path
        return await AsyncHTTPClient().fetch(url, raise_error=False, ssl_options=self.tls, headers=headers)

    async def token(self) -> str:
        link = await self.kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
        assert link.url.reveal().startswith(f"{self.base}/console/#token=")
        return link.token.reveal()

    def open(self, token: str, **options: object) -> websockets.asyncio.client.connect:
        return websockets.asyncio.client.connect(
            f"ws{self.base.removeprefix('http')}/ws",
            subprotocols=["binary", f"consolekit.token.{token}"],
            origin=self.base.removesuffix("/vm"),
            ssl=self.tls,
            max_size=None,
            proxy=None,
            **options,
        )


@asynccontextmanager
async def mounted(*, tls: bool = False, limits: Limits | None = None) -> AsyncIterator[Mounted]:
    server_tls = client_tls = None
    if tls:
        ca, client_tls = trustme.CA(), ssl.create_default_context()
        server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(server_tls)
        ca.configure_trust(client_tls)
    (sock,) = bind_sockets(0, "127.0.0.1")
    base = f"http{'s' if tls else ''}://127.0.0.1:{sock.getsockname()[1]}/vm"
    clock = SystemClock()
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    async with target(echo) as endpoint:
        kit = ConsoleKit(
            registry=registry_of(PipeProvider({"demo": endpoint})),
            store=store,
            issuer=tokens,
            validators=[tokens],
            settings=KitSettings(base_url=base),
        )
        proxy = Proxy(kit, ProxySettings.of(kit, limits=limits or Limits()))
        application = Application([("/", Portal), *url_specs(proxy)])
        server = HTTPServer(application, ssl_options=server_tls)
        server.add_sockets([sock])
        await proxy.start()
        try:
            yield Mounted(base=base, kit=kit, proxy=proxy, tls=client_tls)
        finally:
            server.stop()
            await proxy.aclose()
            await server.close_all_connections()
            await kit.aclose()


@pytest.fixture(params=["plain", "tls"])
async def portal(request: pytest.FixtureRequest) -> AsyncIterator[Mounted]:
    async with mounted(tls=request.param == "tls") as running:
        yield running


async def test_pages_are_below_the_prefix_and_the_rest_is_the_portal_s(
    portal: Mounted,
) -> None:
    page = await portal.get("/vm/console/")
    assert page.code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert (await portal.get("/vm/console/assets/main.js")).code == 200
    assert (await portal.get("/")).body == b"the portal's own page"
    missing = await portal.get("/vm/nothing")
    assert (missing.code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    assert (await portal.get("/nothing")).headers["Content-Type"] == "text/html; charset=UTF-8"
    assert (await portal.get("/vm/console/", Host="evil.example.org")).code == 421
    assert (await portal.get("/", Host="evil.example.org")).code == 200


async def test_a_console_carries_bytes_both_ways(portal: Mounted) -> None:
    data = bytes(range(256)) * 8192
    async with portal.open(await portal.token()) as viewer:
        assert viewer.subprotocol == "binary"
        sending = asyncio.get_running_loop().create_task(viewer.send(data))
        got = b""
        while len(got) < len(data):
            piece = await viewer.recv()
            assert isinstance(piece, bytes)
            got += piece
        await sending
        assert got == data
        (session,) = await portal.kit.sessions(caller=CALLER)
        assert session.address == "127.0.0.1"
    await gone(portal)


async def gone(portal: Mounted) -> None:
    async with asyncio.timeout(20):
        while len(portal.proxy.sessions):
            await asyncio.sleep(0.005)


async def test_revoking_cuts_it_with_its_close_code(portal: Mounted) -> None:
    async with portal.open(await portal.token()) as viewer:
        await viewer.send(b"hello")
        assert await viewer.recv() == b"hello"
        (session,) = await portal.kit.sessions(caller=CALLER)
        await portal.kit.kill(session.id, caller=CALLER)
        with pytest.raises(ConnectionClosed) as caught:
            await viewer.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4000
    await gone(portal)


async def test_refusals_are_http(portal: Mounted) -> None:
    token = await portal.token()
    with pytest.raises(InvalidStatus) as caught:
        await portal.open("ckt_nobody").__aenter__()
    assert caught.value.response.status_code == 401
    async with portal.open(token):
        with pytest.raises(InvalidStatus) as caught:
            await portal.open(token).__aenter__()
        assert caught.value.response.status_code == 401


async def test_limits_hold() -> None:
    async with mounted(limits=Limits(per_server=1)) as portal:
        first, second = await portal.token(), await portal.token()
        async with portal.open(first):
            with pytest.raises(InvalidStatus) as caught:
                await portal.open(second).__aenter__()
            assert caught.value.response.status_code == 429


async def test_draining_tells_the_viewer() -> None:
    async with mounted() as portal, portal.open(await portal.token()) as viewer:
        await portal.proxy.aclose()
        with pytest.raises(ConnectionClosed) as caught:
            await viewer.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001


async def test_without_a_prefix_it_is_not_mounted() -> None:
    site = make_site(base_url="https://portal.example.org")
    with pytest.raises(ValueError, match="under a prefix"):
        url_specs(Proxy(site.kit, ProxySettings.of(site.kit)))
    await site.kit.aclose()
