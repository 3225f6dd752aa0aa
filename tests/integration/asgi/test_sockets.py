"""asgi.sockets: consoles under a real ASGI server, mounted in an application, and refusals by hand."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import websockets.asyncio.client
from asgiserver import serving, websocket
from gateway import CALLER, PipeProvider, echo, registry_of, target
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from websockets.exceptions import ConnectionClosed, InvalidStatus

from consolekit import ConsoleKit, Hooks, KitSettings, SessionInfo, hookimpl
from consolekit.asgi import AsgiConsoles, ProxySettings
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import ConsoleRequest, Endpoint, SystemClock, Transport
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.sessions import Limits
from consolekit.testing.wsserver import WsClosed, accept_of, frame, goodbye, next_data


class Audit:
    """Notes how sessions ended."""

    def __init__(self) -> None:
        self.ended: list[SessionInfo] = []

    @hookimpl
    def consolekit_session_closed(self, session: SessionInfo) -> None:
        self.ended.append(session)


@attrs.define
class Mounted:
    """A Starlette application with consoles inside."""

    base: str
    kit: ConsoleKit
    consoles: AsgiConsoles
    audit: Audit

    async def token(self) -> str:
        link = await self.kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
        return link.token.reveal()

    def open(self, token: str, **options: object) -> websockets.asyncio.client.connect:
        given = {"origin": self.base.removesuffix("/vm"), "compression": None, **options}
        return websockets.asyncio.client.connect(
            f"ws{self.base.removeprefix('http')}/ws",
            subprotocols=["binary", f"consolekit.token.{token}"],
            max_size=None,
            proxy=None,
            **given,
        )

    async def gone(self) -> None:
        async with asyncio.timeout(20):
            while len(self.consoles.engine.sessions):
                await asyncio.sleep(0.005)


def kit_of(provider: ConsoleProvider, base: str, audit: Audit) -> ConsoleKit:
    clock, hooks = SystemClock(), Hooks()
    hooks.register(audit)
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    return ConsoleKit(
        registry=registry_of(provider),
        store=store,
        issuer=tokens,
        validators=[tokens],
        hooks=hooks,
        settings=KitSettings(base_url=base),
    )


@asynccontextmanager
async def mounted(provider: ConsoleProvider | None = None, **settings: object) -> AsyncIterator[Mounted]:
    sock = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}/vm"
    audit = Audit()
    async with target(echo) as endpoint:
        kit = kit_of(provider or PipeProvider({"demo": endpoint}), base, audit)
        consoles = AsgiConsoles(kit, ProxySettings.of(kit, **settings))
        hello = Route("/", lambda _: PlainTextResponse("the portal's own page"))
        application = Starlette(routes=[hello, Mount("/vm", app=consoles)])
        await consoles.start()
        async with serving(application, sock):
            try:
                yield Mounted(base=base, kit=kit, consoles=consoles, audit=audit)
            finally:
                await consoles.aclose()
        await kit.aclose()


@pytest.fixture
async def portal() -> AsyncIterator[Mounted]:
    async with mounted() as running:
        yield running


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
    await portal.gone()
    (ended,) = portal.audit.ended
    assert (ended.reason, ended.bytes_in, ended.bytes_out) == ("viewer_closed", len(data), len(data))


async def test_revoking_cuts_it_with_its_close_code(portal: Mounted) -> None:
    async with portal.open(await portal.token()) as viewer:
        await viewer.send(b"hello")
        assert await viewer.recv() == b"hello"
        (session,) = await portal.kit.sessions(caller=CALLER)
        await portal.kit.kill(session.id, caller=CALLER)
        with pytest.raises(ConnectionClosed) as caught:
            await viewer.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4000, "revoked")
    await portal.gone()


async def test_a_viewer_that_vanishes_ends_its_session(portal: Mounted) -> None:
    viewer = await portal.open(await portal.token())
    await viewer.send(b"hello")
    assert await viewer.recv() == b"hello"
    viewer.transport.abort()
    await portal.gone()
    (ended,) = portal.audit.ended
    assert ended.reason in ("viewer_gone", "viewer_closed")  # uvicorn says 1005 of either


async def test_refusals_are_http_with_their_problem(portal: Mounted) -> None:
    token = await portal.token()
    for offered, origin, status, code in (
        ("ckt_nobody", portal.base.removesuffix("/vm"), 401, "token_refused"),
        (token, "https://evil.example.org", 403, "origin_refused"),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await portal.open(offered, origin=origin).__aenter__()
        response = caught.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"{}")["code"] == code
    async with portal.open(token):
        with pytest.raises(InvalidStatus) as caught:
            await portal.open(token).__aenter__()
        assert caught.value.response.status_code == 401


async def test_a_token_in_the_address_is_not_looked_at(portal: Mounted) -> None:
    """It would be in the server's log already."""
    address = f"ws{portal.base.removeprefix('http')}/ws?token={await portal.token()}"
    with pytest.raises(InvalidStatus) as caught:
        await websockets.asyncio.client.connect(address, proxy=None).__aenter__()
    assert caught.value.response.status_code == 401


async def test_limits_hold() -> None:
    async with mounted(limits=Limits(per_server=1)) as portal:
        first, second = await portal.token(), await portal.token()
        async with portal.open(first):
            with pytest.raises(InvalidStatus) as caught:
                await portal.open(second).__aenter__()
            assert caught.value.response.status_code == 429
            assert caught.value.response.headers["Retry-After"] == "5"


async def test_a_large_message_and_text_have_their_close_codes() -> None:
    async with mounted(relay=RelaySettings(max_message=1000)) as portal:
        for message, code in ((b"x" * 1001, 1009), ("text", 1003)):
            async with portal.open(await portal.token()) as viewer:
                await viewer.send(message)
                with pytest.raises(ConnectionClosed) as caught:
                    await viewer.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == code


async def test_idle_sessions_end_and_pings_of_the_relay_do_not_count() -> None:
    settings = RelaySettings(idle_seconds=2.0, ping_seconds=1.0)
    async with mounted(relay=settings) as portal, portal.open(await portal.token()) as viewer:
        with pytest.raises(ConnectionClosed) as caught:
            await viewer.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4002


async def test_draining_tells_the_viewer_and_takes_no_other() -> None:
    async with mounted() as portal, portal.open(await portal.token()) as viewer:
        late = await portal.token()
        await portal.consoles.engine.sessions.drain(0)
        with pytest.raises(ConnectionClosed) as caught:
            await viewer.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        with pytest.raises(InvalidStatus) as refused:
            await portal.open(late).__aenter__()
        assert refused.value.response.status_code == 503


async def speak_websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A console's server that speaks websocket itself, as WebMKS does; echoes, and leaves on ``bye``."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert key is not None
    answer = (
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_of(key[1].decode())}"
    )
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{answer}\r\n\r\n".encode())
    try:
        while (data := await next_data(reader, writer)) != b"bye":
            writer.write(frame(data))
        writer.write(goodbye())
        await reader.read()
    except WsClosed:
        pass


async def test_a_console_that_speaks_websocket_itself() -> None:
    """Its frames pass as they are: both sides here are somebody else's."""
    async with target(speak_websocket) as place:
        endpoint = attrs.evolve(place, transport=Transport.WS, path="/ticket")
        async with mounted(PipeProvider({"demo": endpoint})) as portal:
            async with portal.open(await portal.token()) as viewer:
                for data in (b"hello", bytes(range(256)) * 1000):
                    await viewer.send(data)
                    got = b""
                    while len(got) < len(data):
                        piece = await viewer.recv()
                        assert isinstance(piece, bytes)
                        got += piece
                    assert got == data
                await viewer.send(b"bye")
                with pytest.raises(ConnectionClosed) as caught:
                    await viewer.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1000
            await portal.gone()
            assert [ended.reason for ended in portal.audit.ended] == ["server_closed"]


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that sends for as long as somebody takes it."""
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def test_a_viewer_that_reads_nothing_stops_the_server_and_ends_as_stalled() -> None:
    async with target(flood) as endpoint:
        provider = PipeProvider({"demo": endpoint})
        async with mounted(provider, relay=RelaySettings(stall_seconds=1.0)) as portal:
            viewer = await portal.open(await portal.token(), max_queue=1)
            await portal.gone()
            (ended,) = portal.audit.ended
            assert ended.reason == "stalled"
            assert ended.bytes_out < 32 * 1024 * 1024  # what two systems and three programs keep
            viewer.transport.abort()
            await viewer.wait_closed()


class Slow(ConsoleProvider):
    """Opens nothing before it may."""

    keys = PipeProvider.keys

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def open(self, request: ConsoleRequest) -> Endpoint:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("never")


async def test_who_leaves_while_it_opens_leaves_nothing() -> None:
    audit, provider = Audit(), Slow()
    kit = kit_of(provider, "https://portal.example.org/vm", audit)
    consoles = AsgiConsoles(kit)
    await consoles.start()
    link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
    offers = ["binary", f"consolekit.token.{link.token.reveal()}"]
    for leaving in ("disconnect", "cancel"):
        connection = websocket("/vm/ws", *offers, host="portal.example.org")
        provider.asked.clear()
        running = asyncio.get_running_loop().create_task(
            consoles(connection.scope, connection.incoming.get, connection.send)
        )
        if leaving == "disconnect":
            await asyncio.wait_for(provider.asked.wait(), 10)
            connection.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})
            await running
            assert connection.sent.empty()
            assert [ended.reason for ended in audit.ended] == ["viewer_gone"]
            link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
            offers = ["binary", f"consolekit.token.{link.token.reveal()}"]
        else:
            await asyncio.wait_for(provider.asked.wait(), 10)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert len(consoles.engine.sessions) == 0
    await consoles.aclose()
    await kit.aclose()


async def test_a_server_that_cannot_send_a_status_closes() -> None:
    kit = kit_of(Slow(), "https://portal.example.org/vm", Audit())
    consoles = AsgiConsoles(kit)
    await consoles.start()
    connection = websocket("/vm/ws", "binary", "consolekit.token.ckt_nobody", host="portal.example.org")
    connection.scope["extensions"] = {}
    await consoles(connection.scope, connection.incoming.get, connection.send)
    assert connection.sent.get_nowait()["type"] == "websocket.close"
    await consoles.aclose()
    await kit.aclose()


@pytest.mark.parametrize("failure", [OSError("gone"), ValueError("a mistake of the server")])
async def test_a_viewer_that_cannot_be_accepted_is_gone(failure: Exception) -> None:
    audit = Audit()
    async with target(echo) as endpoint:
        kit = kit_of(PipeProvider({"demo": endpoint}), "https://portal.example.org/vm", audit)
        consoles = AsgiConsoles(kit)
        await consoles.start()
        link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
        offers = ["binary", f"consolekit.token.{link.token.reveal()}"]
        connection = websocket("/vm/ws", *offers, host="portal.example.org")
        connection.failure = failure
        running = consoles(connection.scope, connection.incoming.get, connection.send)
        if isinstance(failure, OSError):
            await running
        else:
            with pytest.raises(ValueError, match="a mistake"):
                await running
        await consoles.aclose(drain_seconds=10)
        await kit.aclose()
    assert [ended.reason for ended in audit.ended] == ["viewer_gone"]
