"""The listener behind proxies: who counts as whom, and the PROXY protocol before TLS and HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trustme
from hostile import PATIENCE, Answer, Wire, client_hello, until
from proxyheaders import LOCAL, SIGNATURE, TCP4, tlv, v1, v2, v2_from
from tornado.web import Application, RequestHandler

from consolekit.core.networks import NOWHERE, Networks
from consolekit.net.listener import Listener, ListenerSettings

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PROXY = "127.0.0.2"
TRUSTED = Networks.parse([PROXY])
VIEWER, OTHER = "192.0.2.1", "2001:db8::1"
HEADERS = {
    "v1": v1(VIEWER),
    "v2": v2_from(VIEWER),
    "v2 with values": v2_from(VIEWER, tlv(2, b"name") * 300),
}


class WhoAmI(RequestHandler):
    async def get(self) -> None:
        self.write(str(self.request.remote_ip))


@asynccontextmanager
async def listening(
    *,
    tls: ssl.SSLContext | None = None,
    trusted: Networks = TRUSTED,
    proxy_protocol: bool = True,
    **settings: float,
) -> AsyncIterator[tuple[Listener, list[str]]]:
    made = ListenerSettings(trusted=trusted, proxy_protocol=proxy_protocol, **settings)
    listener, refused = Listener("127.0.0.1", 0, tls=tls, settings=made), list[str]()
    listener.on_refused = refused.append
    listener.bind()
    listener.start(Application([("/", WhoAmI)], log_function=lambda handler: None))
    try:
        yield listener, refused
    finally:
        await listener.aclose()
        assert listener.pending == 0


@asynccontextmanager
async def connected(listener: Listener, source: str = PROXY, say: bytes = b"") -> AsyncIterator[Wire]:
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", listener.port))
        connection = Wire(sock)
        await connection.send(say)
        yield connection


async def answered(listener: Listener, data: bytes, source: str = PROXY) -> Answer:
    async with connected(listener, source, data) as connection:
        return await connection.answer()


async def turned_away(listener: Listener, data: bytes, source: str = PROXY) -> None:
    async with connected(listener, source, data) as connection:
        assert await connection.end() == b""


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_the_header_says_whose_connection_it_is(header):
    async with listening() as (listener, refused):
        assert (await answered(listener, header + REQUEST)).body == VIEWER.encode()
        assert refused == []


async def test_a_header_that_comes_byte_by_byte_and_takes_nothing_of_what_follows():
    for header in HEADERS["v1"], HEADERS["v2"]:
        async with listening() as (listener, _), connected(listener) as connection:
            for byte in header + REQUEST:
                await connection.send(bytes([byte]))
            assert (await connection.answer()).body == VIEWER.encode()


@pytest.mark.parametrize("header", [v2(LOCAL, 0, b""), v2(LOCAL, TCP4, bytes(12)), b"PROXY UNKNOWN\r\n"])
async def test_a_proxy_may_speak_for_itself(header):
    async with listening() as (listener, _):
        assert (await answered(listener, header + REQUEST)).body == PROXY.encode()


async def test_it_comes_before_tls():
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with listening(tls=server) as (listener, refused):
        for header in HEADERS.values():
            async with connected(listener, PROXY, header) as connection:
                reader, writer = await asyncio.open_connection(
                    sock=connection.socket, ssl=client, server_hostname="127.0.0.1"
                )
                writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                async with asyncio.timeout(PATIENCE):
                    assert (await reader.read()).endswith(VIEWER.encode())
                writer.close()
        await turned_away(listener, client_hello())
        await turned_away(listener, HEADERS["v1"] + bytes(64))
        await until(lambda: refused == ["proxy_protocol", "tls"], "both refusals")


@pytest.mark.parametrize(
    "data",
    [REQUEST, client_hello(), b"PROXY TCP4 nonsense\r\n", SIGNATURE + b"\xff" * 4, bytes(64)],
    ids=["HTTP", "TLS", "v1", "v2", "NUL"],
)
async def test_a_trusted_peer_must_send_one(data, caplog):
    async with listening() as (listener, refused):
        await turned_away(listener, data)
        assert refused == ["proxy_protocol"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"turned the proxy {PROXY} away: ")
    assert "nonsense" not in record.getMessage()


@pytest.mark.parametrize("start", [b"", HEADERS["v1"][:20], HEADERS["v2"][:14], HEADERS["v2"][:20]])
async def test_a_header_that_is_never_whole_has_a_deadline(start):
    async with listening(request_seconds=0.2) as (listener, refused):
        await turned_away(listener, start)
        assert refused == ["proxy_protocol"]


async def test_a_peer_that_leaves_before_its_header_is_whole_leaves_nothing(caplog):
    async with listening() as (listener, refused):
        async with connected(listener, PROXY, HEADERS["v2"][:14]) as connection:
            connection.fin()
            assert await connection.end() == b""
        async with connected(listener) as connection:
            await until(lambda: listener.pending == 1, "the connection")
            connection.reset()
        await until(lambda: refused == ["proxy_protocol"] * 2, "both refusals")
    assert caplog.records == []


async def test_who_is_not_trusted_is_turned_away_whatever_it_says(caplog):
    async with listening() as (listener, refused):
        for data in b"", REQUEST, HEADERS["v1"], HEADERS["v2"]:
            await turned_away(listener, data, "127.0.0.9")
        assert refused == ["proxy_protocol"] * 4
    assert [record.getMessage() for record in caplog.records] == [
        "turned 127.0.0.9 away: it is none of the trusted proxies"
    ]  # once, for it comes as often as the caller likes


async def held(stack: AsyncExitStack, listener: Listener, count: int, say: Callable[[int], bytes]) -> None:
    before = listener.pending
    for number in range(count):
        await stack.enter_async_context(connected(listener, PROXY, say(number)))
    await until(lambda: listener.pending == before + count, "the connections")


async def test_the_limit_of_one_address_is_its_viewers():
    async with listening(pending_per_address=3) as (listener, refused), AsyncExitStack() as stack:
        await held(stack, listener, 3, lambda _: v1(VIEWER))
        await held(stack, listener, 9, lambda number: v1(f"192.0.2.{number + 10}"))
        async with connected(listener, PROXY, v1(VIEWER)) as one_too_many:
            assert await one_too_many.end() == b""
        assert refused == ["pending_per_address"]
        assert (await answered(listener, v1(OTHER) + REQUEST)).body == OTHER.encode()
        await stack.aclose()
        await until(lambda: not listener.pending, "room")
        assert (await answered(listener, v1(VIEWER) + REQUEST)).body == VIEWER.encode()


async def kept(stack: AsyncExitStack, listener: Listener, say: bytes) -> Wire:
    """A connection that has been answered, and that the server knows to be idle."""
    before = sum(stream.idle for stream in listener._streams)
    connection = await stack.enter_async_context(connected(listener, PROXY, say + REQUEST))
    await connection.answer()
    await until(lambda: sum(stream.idle for stream in listener._streams) > before, "an idle connection")
    return connection


async def test_a_viewers_own_idle_connections_make_room_for_its_next_one():
    async with listening(pending_per_address=3) as (listener, refused), AsyncExitStack() as stack:
        others = await kept(stack, listener, v1(OTHER))
        mine = [await kept(stack, listener, v1(VIEWER)) for _ in range(3)]
        for one in mine:
            await stack.enter_async_context(connected(listener, PROXY, v1(VIEWER)))
            assert await one.end() == b""
        await turned_away(listener, v1(VIEWER))  # those three are silent: none goes for it
        assert (refused, listener.pending) == (["pending_per_address"], 4)
        await others.send(REQUEST)
        assert (await others.answer()).body == OTHER.encode()


@pytest.mark.parametrize("say", [b"", v1(VIEWER)], ids=["trusted", "PROXY protocol"])
async def test_any_idle_connection_makes_room_in_all(say):
    limits = {"pending": 4, "pending_per_address": 3, "proxy_protocol": bool(say)}
    async with listening(**limits) as (listener, refused), AsyncExitStack() as stack:
        await held(stack, listener, 2, lambda _: b"")
        first, second = await kept(stack, listener, say), await kept(stack, listener, say)
        for one in first, second:
            assert (await answered(listener, say + REQUEST)).status == 200
            await until(lambda: listener.pending == 3, "the end of that")
            await held(stack, listener, 1, lambda _: b"")
            assert await one.end() == b""
        await turned_away(listener, say)
        assert refused == ["pending"]


@pytest.mark.parametrize("proxy_protocol", [False, True])
async def test_the_limit_in_all_is_for_proxies_too_and_that_of_one_address_is_not(proxy_protocol):
    limits = {"pending": 8, "pending_per_address": 3}
    async with (
        listening(proxy_protocol=proxy_protocol, **limits) as (listener, refused),
        AsyncExitStack() as stack,
    ):
        await held(stack, listener, 8, lambda _: b"")
        async with connected(listener) as one_too_many:
            assert await one_too_many.end() == b""
        assert refused == ["pending"]


async def test_without_the_protocol_its_header_is_no_request():
    for trusted in TRUSTED, NOWHERE:
        async with listening(proxy_protocol=False, trusted=trusted) as (listener, _):
            assert (await answered(listener, REQUEST)).body == PROXY.encode()
            for header in HEADERS.values():
                async with connected(listener, PROXY, header + REQUEST) as connection:
                    assert (await connection.end()).startswith(b"HTTP/1.1 400")
