"""Consoles behind a server's own websocket, through the whole gateway: real servers, and hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trustme
import websockets.asyncio.server
import websockets.exceptions
import wire
from gateway import CALLER, Gateway, PipeProvider, Serve, resume_key, running, target
from hostile import BINARY, QUICK, house, until, viewer

from consolekit.core.errors import HandshakeTimeout, PeerClosed
from consolekit.core.handshake import SERVER, read
from consolekit.core.types import Endpoint, Scope, Secret, TlsPolicy, Transport
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Timeouts
from consolekit.proxy.shake import reach
from consolekit.testing.esxi import EsxiFront
from consolekit.testing.rfbserver import RfbServer
from consolekit.testing.wsserver import accept_of

MANY = 3 * 1024 * 1024 + 12345


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def policy(authority: trustme.CA) -> TlsPolicy:
    return TlsPolicy(ca_data=authority.cert_pem.bytes().decode())


def endpoint_of(port: int, policy: TlsPolicy, **fields: object) -> Endpoint:
    given: dict[str, object] = {
        "transport": Transport.WSS,
        "host": "localhost",
        "port": port,
        "path": "/ticket/{secret}",
        "subprotocols": ("binary",),
        "secret": Secret("cst-t1cket"),
        "tls": policy,
        "allowed_networks": ("127.0.0.0/8", "::1/128"),
        **fields,
    }
    return Endpoint(**given)


# ---- a real websocket server

Handle = Callable[[websockets.asyncio.server.ServerConnection], Awaitable[None]]


@asynccontextmanager
async def library(handle: Handle, tls: ssl.SSLContext | None, **options: object) -> AsyncIterator[int]:
    """A server of the library ``websockets``; gives its port."""
    given: dict[str, object] = {"subprotocols": ["binary"], "compression": "deflate", "max_size": None}
    async with websockets.asyncio.server.serve(
        handle, "localhost", 0, ssl=tls, **{**given, **options}
    ) as server:
        yield server.sockets[0].getsockname()[1]


async def echo(connection: websockets.asyncio.server.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("tls", [True, False], ids=["wss", "ws"])
async def test_megabytes_there_and_back(tls, server_tls, policy):
    """The server offers compression; nobody asked for it, so it is not used."""
    seen: list[websockets.asyncio.server.ServerConnection] = []

    async def handle(connection):
        seen.append(connection)
        await echo(connection)

    data = os.urandom(MANY)
    async with library(handle, server_tls if tls else None) as port:
        transport = Transport.WSS if tls else Transport.WS
        headers = (("Authorization", Secret("Bearer x")),)
        endpoint = endpoint_of(port, policy, transport=transport, headers=headers)
        provider = PipeProvider({"demo": endpoint})
        async with house(provider) as gateway, gateway.open(await gateway.token()) as browser:
            digest = hashlib.sha256()
            for at in range(0, MANY, 500_000):
                await browser.send(data[at : at + 500_000])
                digest.update(await browser.recv())
            assert digest.digest() == hashlib.sha256(data).digest()
            assert await (await browser.ping())  # the server's own pong came back
            session = next(iter(gateway.proxy.sessions)).info()
            assert (session.bytes_in, session.bytes_out) == (MANY, MANY)
        request = seen[0].request
        assert request.path == "/ticket/cst-t1cket"
        assert request.headers["Host"] == f"localhost:{port}"
        assert request.headers["Authorization"] == "Bearer x"
        assert "Origin" not in request.headers
        assert "Sec-WebSocket-Extensions" not in request.headers
        assert seen[0].protocol.close_rcvd.code == 1000


async def test_what_the_server_says_first_arrives_as_one_message(server_tls, policy):
    async def handle(connection):
        await connection.send(b"RFB 003.008\n")
        await connection.send([b"frag", b"ments"])
        await connection.wait_closed()

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, gateway.open(await gateway.token()) as browser:
            assert await browser.recv() == b"RFB 003.008\n"
            assert await browser.recv() == b"fragments"


@pytest.mark.parametrize(("code", "told"), [(1000, 1000), (1001, 1000), (1011, 4004), (4000, 4004)])
async def test_a_servers_close_code_is_its_own_affair(code, told, server_tls, policy):
    async def handle(connection):
        await connection.recv()
        await connection.close(code)

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, gateway.open(await gateway.token()) as browser:
            await browser.send(b"go")
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await browser.recv()
            assert closed.value.rcvd.code == told


async def test_a_server_that_pings_is_answered_by_the_viewer(server_tls, policy):
    async def handle(connection):
        await (await connection.ping())
        await connection.send(b"answered")
        await connection.wait_closed()

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, gateway.open(await gateway.token()) as browser:
            assert await browser.recv() == b"answered"


# ---- every end of ours frees the server


async def revoke(gateway: Gateway) -> None:
    await gateway.kit.revoke_all(Scope.SERVER, "demo")


async def kill(gateway: Gateway) -> None:
    session = next(iter(gateway.proxy.sessions)).info()
    await until(lambda: session, "the session")
    async with asyncio.timeout(20):
        while session.id not in [one.id for one in await gateway.kit.store.sessions()]:
            await asyncio.sleep(0.01)
    await gateway.kit.kill(session.id, caller=CALLER)


async def drain(gateway: Gateway) -> None:
    await gateway.proxy.sessions.drain(0)


async def nothing(gateway: Gateway) -> None:
    """The clocks end it."""


OUR_ENDS = {
    "revoked": (revoke, 4000, {}),
    "killed": (kill, 4000, {}),
    "draining": (drain, 1001, {}),
    "idle": (nothing, 4002, {"idle_seconds": 0.5}),
}


@pytest.mark.parametrize("name", OUR_ENDS)
async def test_our_ends_reach_both_sides(name, server_tls, policy):
    end, code, settings = OUR_ENDS[name]
    codes: list[int | None] = []

    async def handle(connection):
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            await echo(connection)
        await connection.wait_closed()
        codes.append(connection.protocol.close_rcvd.code)

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with running(provider, relay=RelaySettings(**settings)) as gateway:
            async with gateway.open(await gateway.token()) as browser:
                await browser.send(b"hello")
                assert await browser.recv() == b"hello"
                await end(gateway)
                with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                    await browser.recv()
                assert closed.value.rcvd.code == code
            await until(lambda: codes, "the server's end of it")
            assert codes == [1001]
            await gateway.until_no_sessions()
            assert len(provider.closed) == 1


async def test_a_viewer_that_stalls_frees_the_server(server_tls, policy):
    freed = asyncio.Event()

    async def handle(connection):
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            while True:
                await connection.send(b"s" * 65532)
        freed.set()

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, viewer(gateway, receive_buffer=4096):
            async with asyncio.timeout(15):
                await freed.wait()


async def test_a_server_that_stalls_ends_the_session(server_tls, policy):
    over = asyncio.Event()

    async def serve(reader, writer):
        writer.write(good(await key_of(reader)))
        await over.wait()

    async with tls_target(serve, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with running(provider, **QUICK) as gateway, viewer(gateway) as raw:
            feeding = asyncio.get_running_loop().create_task(feed(raw))
            assert await raw.close_code() == 4003
            feeding.cancel()
            await gateway.until_no_sessions()
        over.set()


async def feed(raw) -> None:
    frame = wire.frame(b"c" * 65000)
    while True:
        await raw.send(frame)


# ---- hostile answers


def good(key: str, *more: str, **changes: str) -> bytes:
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_of(key),
        "Sec-WebSocket-Protocol": "binary",
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        *(f"{name}: {value}" for name, value in fields.items()),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def key_of(reader: asyncio.StreamReader) -> str:
    """The key of the request that is there."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    return head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]


async def endless(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X-Header: of many\r\n" * 100)
        await writer.drain()


HOSTILE: dict[str, tuple[Callable[[str], bytes], str]] = {
    "wrong accept": (lambda key: good(key + "x"), "handshake_failed"),
    "302": (lambda key: b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n", "upstream_refused"),
    "200": (lambda key: b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "upstream_refused"),
    "503": (lambda key: b"HTTP/1.1 503 Too many\r\n\r\n", "upstream_refused"),
    "403": (lambda key: b"HTTP/1.1 403 Forbidden\r\n\r\n", "ticket_refused"),
    "404": (lambda key: b"HTTP/1.1 404 Not Found\r\n\r\n", "ticket_refused"),
    "unrequested subprotocol": (
        lambda key: good(key, Sec_WebSocket_Protocol="vmware-vvc"), "handshake_failed",
    ),
    "extension": (
        lambda key: good(key, Sec_WebSocket_Extensions="permessage-deflate"), "handshake_failed",
    ),
    "garbage": (lambda key: os.urandom(2000).replace(b"H", b"h"), "handshake_failed"),
    "a VNC banner": (lambda key: b"RFB 003.008\n", "handshake_failed"),
    "half a head": (lambda key: good(key)[:60], "peer_closed"),
    "nothing": (lambda key: b"", "peer_closed"),
}  # fmt: skip


def scripted(say: Callable[[str], bytes], keys: list[str], *, ends: bool = False) -> Serve:
    """A server that answers each request with ``say``; then it closes, or waits to be closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keys.append(await key_of(reader))
        writer.write(say(keys[-1]))
        await writer.drain()
        if not ends:
            while await reader.read(65536):
                pass

    return serve


@asynccontextmanager
async def tls_target(serve: Serve, context: ssl.SSLContext) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def refusal_of(gateway: Gateway) -> tuple[int, str]:
    """Status and code with which a viewer is refused."""
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal:
        await gateway.open(await gateway.token())
    response = refusal.value.response
    return response.status_code, json.loads(response.body)["code"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_case_41_hostile_answers_are_refused_before_the_101_and_closed(
    name, server_tls, policy, caplog
):
    """Case 41. A used ticket is not used again: one fresh one at most, and only where it may help."""
    say, code = HOSTILE[name]
    keys: list[str] = []
    async with tls_target(scripted(say, keys, ends=code == "peer_closed"), server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway:
            assert await refusal_of(gateway) == (502, code)
        assert len(keys) == (2 if code == "ticket_refused" else 1)
        assert len(provider.opened) == len(provider.closed) == len(keys)
    assert "cst-t1cket" not in caplog.text


async def test_case_41_endless_headers_are_refused(server_tls, policy):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        await endless(writer)

    async with tls_target(serve, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway:
            assert await refusal_of(gateway) == (502, "handshake_failed")


async def test_silence_is_given_up_in_time_and_asked_once(server_tls, policy):
    keys: list[str] = []
    async with tls_target(scripted(lambda key: b"", keys), server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider, timeouts=Timeouts(connect=5.0, handshake=0.3)) as gateway:
            assert await refusal_of(gateway) == (504, "handshake_timeout")
        assert len(keys) == 1


async def test_a_reset_in_the_handshake():
    async def serve(reader, writer):
        writer.transport.abort()

    async with target(serve) as plain:
        endpoint = Endpoint(transport=Transport.WS, host=plain.host, port=plain.port)
        with pytest.raises(PeerClosed):
            await reach(endpoint, lambda endpoint: None, connect_seconds=5, handshake_seconds=5)


async def test_one_byte_at_a_time_is_no_way_around_the_deadline():
    async def serve(reader, writer):
        for byte in good("x"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with target(serve) as plain:
        endpoint = Endpoint(transport=Transport.WS, host=plain.host, port=plain.port)
        with pytest.raises(HandshakeTimeout):
            await reach(endpoint, lambda endpoint: None, connect_seconds=5, handshake_seconds=0.5)


@pytest.mark.parametrize("first", [b"RFB 003.008\n", b"x" * 70_000], ids=["small", "large"])
async def test_the_101_and_the_first_frame_in_one_segment(first, server_tls, policy):
    keys: list[str] = []
    frame = wire.frame(first, mask=b"")
    async with tls_target(scripted(lambda key: good(key) + frame, keys), server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, gateway.open(await gateway.token()) as browser:
            assert await browser.recv() == first


async def test_what_a_viewer_sends_with_its_request_reaches_the_server_as_it_is(server_tls, policy):
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(connection):
        async for message in connection:
            got.put_nowait(message)

    async with library(handle, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        behind = wire.frame(b"first") + wire.frame(b"second")[:5]
        async with house(provider) as gateway, viewer(gateway, behind=behind) as raw:
            await raw.send(wire.frame(b"second")[5:])
            assert [await got.get(), await got.get()] == [b"first", b"second"]


BROKEN_FRAMES = {
    "masked": wire.frame(b"abc"),
    "reserved bit": wire.header(BINARY, 0, rsv=4, mask=b""),
    "text": wire.frame(b"abc", wire.TEXT, mask=b""),
}


@pytest.mark.parametrize("name", BROKEN_FRAMES)
async def test_broken_frames_of_a_server_end_the_session(name, server_tls, policy):
    keys: list[str] = []
    say = scripted(lambda key: good(key) + wire.frame(b"before", mask=b"") + BROKEN_FRAMES[name], keys)
    async with tls_target(say, server_tls) as port:
        provider = PipeProvider({"demo": endpoint_of(port, policy)})
        async with house(provider) as gateway, viewer(gateway) as raw:
            assert await raw.bytes(6) == b"before"
            assert await raw.close_code() == 4007


# ---- what must be right before anything is sent


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"tls": TlsPolicy()}, "certificate_refused"),
        ({"tls": TlsPolicy(pin_sha256="0" * 64)}, "certificate_refused"),
        ({"tls": TlsPolicy(pin_sha1="0" * 40)}, "certificate_refused"),
        ({"host": "127.0.0.1"}, "hostname_mismatch"),
        ({"allowed_networks": ("192.0.2.0/24",)}, "endpoint_refused"),
        ({"secret": Secret("t HTTP/1.1\r\nX: y")}, "endpoint_refused"),
        ({"headers": (("X", Secret("a\r\nb")),)}, "endpoint_refused"),
    ],
)
async def test_no_ticket_leaves_before_everything_is_right(fields, code, server_tls, policy):
    keys: list[str] = []
    async with tls_target(scripted(good, keys), server_tls) as port:
        provider = PipeProvider({"demo": attrs.evolve(endpoint_of(port, policy), **fields)})
        async with house(provider) as gateway:
            assert await refusal_of(gateway) == (502, code)
        assert keys == []


async def test_a_script_inside_of_a_websocket_is_refused_at_open(server_tls, policy):
    class Scripted(PipeProvider):
        def handshake(self, endpoint):
            return read(SERVER, 12)

    keys: list[str] = []
    async with tls_target(scripted(good, keys), server_tls) as port:
        async with house(Scripted({"demo": endpoint_of(port, policy)})) as gateway:
            assert await refusal_of(gateway) == (503, "provider_error")
        assert keys == []


# ---- tickets


class TicketProvider(PipeProvider):
    """Gives a fresh ticket each time, as vSphere does; some of them are stale."""

    def __init__(self, front: EsxiFront, policy: TlsPolicy, *, stale: int = 0) -> None:
        super().__init__({"demo": endpoint_of(front.port, policy)})
        self._front, self._stale = front, stale

    async def open(self, request):
        endpoint = await super().open(request)
        ticket = f"cst-ticket-number-{len(self.opened)}"
        if len(self.opened) > self._stale:
            self._front.tickets.add(ticket)
        return attrs.evolve(endpoint, secret=Secret(ticket))


async def greeted(browser) -> None:
    assert (await browser.recv()).startswith(b"RFB 003.008\n")


async def test_case_42_a_stale_ticket_is_replaced_by_a_fresh_one_once(server_tls, policy):
    async with RfbServer() as screen, EsxiFront(("127.0.0.1", screen.port), server_tls) as esxi:
        provider = TicketProvider(esxi, policy, stale=1)
        async with house(provider) as gateway:
            async with gateway.open(await gateway.token()) as browser:
                await greeted(browser)
            await gateway.until_no_sessions()
        assert (len(provider.opened), len(provider.closed)) == (2, 2)
        assert [len(esxi.tickets.refused), len(esxi.tickets.taken)] == [1, 1]


async def test_case_42_and_no_more_than_once(server_tls, policy):
    async with RfbServer() as screen, EsxiFront(("127.0.0.1", screen.port), server_tls) as esxi:
        provider = TicketProvider(esxi, policy, stale=5)
        async with house(provider) as gateway:
            assert await refusal_of(gateway) == (502, "ticket_refused")
        assert (len(provider.opened), len(provider.closed)) == (2, 2)
        assert len(esxi.requests) == 2


async def test_a_reload_takes_a_fresh_ticket(server_tls, policy):
    async with RfbServer() as screen, EsxiFront(("127.0.0.1", screen.port), server_tls) as esxi:
        provider = TicketProvider(esxi, policy)
        async with house(provider) as gateway:
            token, key = await gateway.token(), resume_key()
            for _ in range(2):
                async with gateway.open(token, resume=key) as browser:
                    await greeted(browser)
                await gateway.until_no_sessions()
        assert len(esxi.tickets.taken) == 2


ENDS = ["closed", "vanished", "broken frames", "revoked", "killed", "server dropped", "server closed"]


async def test_forty_one_sessions_one_after_the_other_against_forty_slots(server_tls, policy):
    """A virtual machine has 40: whatever ends a session, its slot is free before the next needs it."""
    async with RfbServer() as screen, EsxiFront(("127.0.0.1", screen.port), server_tls, limit=1) as esxi:
        provider = TicketProvider(esxi, policy)
        async with house(provider) as gateway:
            for number in range(41):
                async with asyncio.timeout(10):
                    await one_session(gateway, esxi, ENDS[number % len(ENDS)])
                    await esxi.until_open(0)
            assert esxi.most_open == 1
        assert len(esxi.tickets.taken) == 41


async def one_session(gateway: Gateway, esxi: EsxiFront, end: str) -> None:
    async with viewer(gateway) as raw:
        assert await raw.bytes(12) == b"RFB 003.008\n"
        if end == "closed":
            await raw.send(wire.close(1000))
        elif end == "broken frames":
            await raw.send(wire.frame(b"x", mask=b""))
        elif end == "revoked":
            await revoke(gateway)
        elif end == "killed":
            await kill(gateway)
        elif end == "server dropped":
            esxi.drop_viewers()
        elif end == "server closed":
            await raw.send(wire.frame(b"this is no RFB version\n"))
        if end != "vanished":
            assert await raw.close_code()
    await gateway.until_no_sessions()
