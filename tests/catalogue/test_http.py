"""Catalogue, cases 1 to 10 and 54: what reaches the public listener before, or instead of, a token."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import ssl
import tracemalloc

import pytest
import trustme
from gateway import PipeProvider, echo
from hostile import Wire, ask, ask_to_the_end, client_hello, console, house, request, status, until, wire
from prometheus_client import generate_latest

from consolekit.core.types import Endpoint
from consolekit.net.listener import ListenerSettings
from consolekit.web import CONTENT_SECURITY_POLICY

NOWHERE = PipeProvider({"demo": Endpoint(host="127.0.0.1", port=1)})
IMPATIENT = ListenerSettings(request_seconds=0.5)
FULL_WIDTH_4 = "\N{FULLWIDTH DIGIT FOUR}".encode().decode("latin-1")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
BODY = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: \x0bchunked",),
    ],
)
async def test_case_01_ambiguous_framing_is_400_and_closed(lines):
    async with house(NOWHERE) as gateway:
        said = await ask_to_the_end(gateway, request(gateway, "/ws", *lines, method="POST") + BODY)
        assert status(said) == 400
        assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("value", ["+4", "4_0", "-1", "0x4", "4, 5", "4 4", "", FULL_WIDTH_4])
async def test_case_02_a_content_length_that_is_none_is_400_and_closed(value):
    async with house(NOWHERE) as gateway:
        lines = request(gateway, "/ws", f"Content-Length: {value}", method="POST")
        said = await ask_to_the_end(gateway, lines + BODY)
        assert status(said) == 400
        assert said.count(b"HTTP/1.1") == 1


async def test_case_02_two_content_lengths_are_400_and_closed():
    async with house(NOWHERE) as gateway:
        lines = request(gateway, "/ws", "Content-Length: 4", "Content-Length: 40", method="POST")
        said = await ask_to_the_end(gateway, lines + BODY)
        assert status(said) == 400
        assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x4\r\nabcd\r\n0\r\n\r\n",
        b"4\r\nabcdXX0\r\n\r\n",
        b"-4\r\nabcd\r\n0\r\n\r\n",
        b"4" * 70 + b"\r\n",
        b"zz\r\n",
        b"0\r\nXX",
    ],
)
async def test_case_02_chunks_that_are_none_are_400_and_closed(chunks):
    async with house(NOWHERE) as gateway:
        head = request(gateway, "/ws", "Transfer-Encoding: chunked", method="POST")
        said = await ask_to_the_end(gateway, head + chunks + BODY)
        assert status(said) == 400
        assert said.count(b"HTTP/1.1") == 1


async def test_case_03_hosts():
    async with house(NOWHERE) as gateway:
        ours = f"127.0.0.1:{gateway.port}"
        table = {
            "GET /console/ HTTP/1.1\r\n\r\n": 400,
            "GET /console/ HTTP/1.0\r\n\r\n": 400,
            f"GET /console/ HTTP/1.1\r\nHost: {ours}\r\nHost: {ours}\r\n\r\n": 400,
            f"GET /console/ HTTP/1.1\r\nHost: {ours}\r\nHost: evil.example\r\n\r\n": 400,
            f"GET /console/ HTTP/1.1\r\nHost: {ours}, evil.example\r\n\r\n": 400,
            "GET /console/ HTTP/1.1\r\nHost: evil.example\r\n\r\n": 421,
            f"GET /console/ HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}0\r\n\r\n": 421,
            "GET /console/ HTTP/1.1\r\nHost: \r\n\r\n": 421,
            "GET /console/ HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
            f"GET http://evil.example/console/ HTTP/1.1\r\nHost: {ours}\r\n\r\n": 400,
            "GET http://evil.example/console/ HTTP/1.1\r\nHost: evil.example\r\n\r\n": 400,
            f"GET evil.example HTTP/1.1\r\nHost: {ours}\r\n\r\n": 400,
            f"OPTIONS * HTTP/1.1\r\nHost: {ours}\r\n\r\n": 400,
            f"CONNECT evil.example:443 HTTP/1.1\r\nHost: {ours}\r\n\r\n": 405,
        }
        for data, expected in table.items():
            assert (await ask(gateway, data.encode())).status == expected, data


async def test_case_03_a_wrong_host_spends_no_token():
    async with console(echo) as gateway:
        token = await gateway.token()
        assert (await ask(gateway, gateway.handshake(token, Host="evil.example"))).status == 421
        async with gateway.open(token):
            pass


@pytest.mark.parametrize(
    "data",
    [
        b"GET /console/ HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\r\n\tb\r\n\r\n",
        b"GET /console/ HTTP/1.1\nHost: x\n\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /console/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /console/ HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET  /console/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /console/\r\nHost: x\r\n\r\n",
        b"GET /console/ HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        bytes(64),
        bytes(range(128, 192)),
        pytest.param(client_hello(), id="TLS"),
    ],
)
async def test_case_04_what_is_no_request_is_400_and_closed(data):
    async with house(NOWHERE) as gateway:
        said = await ask_to_the_end(gateway, data)
        assert status(said) == 400
        assert said.count(b"HTTP/1.1") == 1


async def test_case_04_noise_that_begins_like_a_request_is_closed():
    async with house(NOWHERE, listener_settings=IMPATIENT) as gateway:
        assert await ask_to_the_end(gateway, b"G" + bytes(range(128, 191))) == b""


async def test_case_04_a_malformed_header_never_leaks_its_token(diary):
    async with console(echo) as gateway:
        token = await gateway.token()
        bad = gateway.handshake(token, Sec_WebSocket_Protocol=f"binary, consolekit.token.{token}\0")
        assert status(await ask_to_the_end(gateway, bad)) == 400
        assert any("malformed HTTP message" in text for text in diary.texts)
        async with gateway.open(token):
            pass


@pytest.mark.parametrize("prefix", ["", "/consoles"])
@pytest.mark.parametrize(
    "path",
    [
        "//evil/%2F..",
        "///evil/..",
        "/%2F%2Fevil/..",
        "//evil",
        "/\\evil",
        "/console",
        "/console//evil/%2e%2e/",
        "/console/assets",
        "/console/assets/",
        "/console/assets/../../handler.py",
        "/console/assets/%2e%2e/__init__.py",
        "/console/assets/..%2f__init__.py",
        "/console/assets//etc/passwd",
        "/console/assets/%00",
        "/console/novnc/%ff",
        "/console/novnc",
        "/console/novnc/core",
        "/console/novnc/core/..%2f..%2f..%2f__init__.py",
        "/metrics",
        "/",
        "/console/assets/%c0%ae%c0%ae/",
    ],
)
async def test_case_05_no_path_leads_elsewhere(path, prefix):
    async with house(NOWHERE, prefix=prefix) as gateway:
        answer = await ask(gateway, request(gateway, prefix + path, "Connection: close"))
        assert answer.status in (400, 403, 404)
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": "12"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "AAAA"}, 400),
        ({"Sec_WebSocket_Key": f"{KEY}\r\nSec-WebSocket-Key: {KEY}"}, 400),
        ({"Connection": "keep-alive"}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Upgrade": ""}, 426),
    ],
)
async def test_case_06_a_wrong_handshake_is_told_so_and_spends_no_token(changes, expected):
    async with console(echo) as gateway:
        token = await gateway.token()
        answer = await ask(gateway, gateway.handshake(token, **changes))
        assert answer.status == expected
        if expected == 426:
            assert answer.headers["upgrade"] == "websocket"
            assert answer.headers["sec-websocket-version"] == "13"
        async with gateway.open(token):
            pass


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(b"GET", b"POST", 405), (b"GET", b"HEAD", 405), (b"GET", b"BREW", 405), (b"HTTP/1.1", b"HTTP/1.0", 426)],
)
async def test_case_06_a_wrong_method_or_version_spends_no_token(old, new, expected):
    async with console(echo) as gateway:
        token = await gateway.token()
        async with wire(gateway) as connection:
            await connection.send(gateway.handshake(token).replace(old, new, 1))
            while b"\r\n\r\n" not in connection.received and await connection.more():
                pass
            assert status(connection.received) == expected
        async with gateway.open(token):
            pass


async def test_case_07_a_request_behind_a_failed_upgrade_is_one_of_its_own():
    async with console(echo) as gateway:
        token = await gateway.token()
        failed = gateway.handshake(token, Sec_WebSocket_Version="8")
        async with wire(gateway) as connection:
            await connection.send(failed + request(gateway, "/healthz") + gateway.handshake(token))
            assert (await connection.answer()).status == 426
            assert (await connection.answer()).body == b'{"status": "ok"}'
            assert (await connection.answer()).status == 101
            assert connection.received == b""


async def test_case_07_a_request_behind_a_refused_token_is_one_of_its_own():
    async with house(NOWHERE) as gateway, wire(gateway) as connection:
        await connection.send(gateway.handshake("ckt_" + "A" * 43) + request(gateway, "/healthz"))
        assert (await connection.answer()).status == 401
        assert (await connection.answer()).status == 200


async def test_case_08_too_much_header():
    async with house(NOWHERE) as gateway:
        table = {
            request(gateway, "/console/", "X: " + "x" * 9 * 1024): 431,
            request(gateway, "/console/", *(f"X-{n}: y" for n in range(200))): 431,
            request(gateway, "/console/?" + "x" * 16 * 1024): 414,
            request(gateway, "/console/", *(f"X-{n}: {'y' * 1000}" for n in range(70))): 431,
            request(gateway, "/console/?" + "x" * 70 * 1024): 431,
            b"GET /console/ HTTP/1.1\r\nX: " + b"x" * 70 * 1024: 431,  # and no end of it
        }
        for data, expected in table.items():
            answer = await ask(gateway, data)
            assert answer.status == expected, data[:100]
            assert answer.headers["cache-control"] == "no-store"


async def test_case_09_a_header_byte_by_byte_is_closed_in_time():
    async with house(NOWHERE, listener_settings=IMPATIENT) as gateway, wire(gateway) as connection:
        await _drip(connection, request(gateway, "/console/", "X: " + "x" * 5000))


async def test_case_09_a_body_byte_by_byte_is_closed_in_time():
    async with house(NOWHERE, listener_settings=IMPATIENT) as gateway, wire(gateway) as connection:
        await connection.send(request(gateway, "/ws", "Content-Length: 60000", method="POST"))
        await _drip(connection, bytes(60000))


async def _drip(connection: Wire, data: bytes) -> None:
    """A byte now and then, until the gateway has had enough."""
    for byte in data:
        await connection.send(bytes([byte]))
        try:
            async with asyncio.timeout(0.02):
                if not await connection.more():
                    return
        except TimeoutError:
            pass
    raise AssertionError("all of it was taken")


async def test_case_09_silence_is_closed_in_time():
    async with house(NOWHERE, listener_settings=IMPATIENT) as gateway:
        assert await ask_to_the_end(gateway, b"") == b""
        assert status(await ask_to_the_end(gateway, request(gateway, "/healthz"))) == 200  # and then silence


@pytest.mark.parametrize(
    "said", [b"", client_hello()[:50], client_hello()], ids=["nothing", "half a hello", "hello"]
)
async def test_case_09_a_silent_tls_handshake_is_closed_in_time(said):
    async with house(NOWHERE, listener_settings=IMPATIENT, server_tls=server_context()) as gateway:
        async with wire(gateway) as connection:
            await connection.send(said)
            await connection.end()
        assert b'\nconsolekit_connections_refused_total{why="tls"} 1.0' in _metrics(gateway)


def _metrics(gateway) -> bytes:
    return generate_latest(gateway.proxy.metrics.registry)


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_case_09_whoever_reads_no_answer_is_closed_in_time():
    async with (
        house(NOWHERE, listener_settings=IMPATIENT) as gateway,
        wire(gateway, receive_buffer=4096) as connection,
    ):
        many = request(gateway, "/console/assets/main.js") * 2000
        sending = asyncio.get_running_loop().create_task(connection.send(many))
        await until(lambda: gateway.listener.pending == 1, "the connection")
        await until(lambda: gateway.listener.pending == 0, "the end of patience")
        await sending


async def test_case_09_those_who_show_nothing_keep_nobody_out():
    """As many silent connections as one address may have, and then viewers on connections of their own."""
    settings = ListenerSettings(request_seconds=0.5, pending=20, pending_per_address=10)
    async with (
        console(echo, listener_settings=settings) as gateway,
    ):
        silent = [wire(gateway) for _ in range(15)]
        connections = [await one.__aenter__() for one in silent]
        assert await asyncio.gather(*(connection.end() for connection in connections)) == [b""] * 15
        async with gateway.open(await gateway.token()) as browser:
            await browser.send(b"here")
            assert await browser.recv() == b"here"
        for one in silent:
            await one.__aexit__(None, None, None)


def _bodies():
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' for _ in range(100_000))
    few = b"".join(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' for _ in range(1_000))
    multipart = "Content-Type: multipart/form-data; boundary=b"
    return {
        "101 MB": ((), itertools.repeat(bytes(65536), 1616), 101 * 1024 * 1024, 413),
        "10^5 parts": ((multipart,), [parts + b"--b--\r\n"], len(parts) + 7, 413),
        "10^3 parts": ((multipart,), [few + b"--b--\r\n"], len(few) + 7, 400),
        "gzip": (("Content-Encoding: gzip",), [gzip.compress(bytes(50_000_000))], None, 405),
        "digits": ((), [b"x" * 100], "9" * 5000, 413),
    }


@pytest.mark.parametrize("kind", ["101 MB", "10^5 parts", "10^3 parts", "gzip", "digits"])
async def test_case_10_bodies_that_nobody_asked_for(kind):
    lines, pieces, length, expected = _bodies()[kind]
    async with house(NOWHERE) as gateway:
        pieces = list(pieces) if not isinstance(pieces, itertools.repeat) else pieces
        length = len(pieces[0]) if length is None else length
        head = request(gateway, "/ws", f"Content-Length: {length}", *lines, method="POST")
        assert (await ask(gateway, request(gateway, "/healthz"))).status == 200  # imports done
        tracemalloc.start()
        try:
            async with wire(gateway) as connection:
                await connection.send(head)
                for piece in pieces:
                    if connection.socket.fileno() < 0 or not await _goes(connection, piece):
                        break
                answer = await connection.answer()
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()
        assert answer.status == expected
        assert answer.headers["cache-control"] == "no-store"


async def _goes(connection: Wire, piece: bytes) -> bool:
    """Send as a client does that looks for an early answer."""
    try:
        await asyncio.get_running_loop().sock_sendall(connection.socket, piece)
    except ConnectionError:
        return False
    return True


async def test_case_10_a_chunked_body_without_end_is_refused():
    async with house(NOWHERE) as gateway, wire(gateway) as connection:
        await connection.send(request(gateway, "/ws", "Transfer-Encoding: chunked", method="POST"))
        for _ in range(1000):
            if not await _goes(connection, b"4000\r\n" + bytes(0x4000) + b"\r\n"):
                break
        else:
            raise AssertionError("all of it was taken")
        assert status(await connection.end()) in (0, 400, 413)


SAFE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


async def test_case_54_every_answer_carries_safe_headers_and_no_version():
    async with house(NOWHERE) as gateway:
        refused = gateway.handshake("ckt_" + "A" * 43)
        page = {"content-security-policy": CONTENT_SECURITY_POLICY}
        table = [
            (request(gateway, "/console/"), 200, page),
            (request(gateway, "/console/assets/main.js"), 200, page | {"cache-control": "no-cache"}),
            (request(gateway, "/console/assets/missing.js"), 404, page),
            (request(gateway, "/console/assets/%00"), 404, page),
            (request(gateway, "/nothing"), 404, {}),
            (request(gateway, "/healthz"), 200, {}),
            (request(gateway, "/readyz"), 200, {}),
            (request(gateway, "/console/outcome"), 401, {}),
            (request(gateway, "/ws"), 426, {}),
            (request(gateway, "/ws", "Content-Length: 0", method="POST"), 405, {}),
            (request(gateway, "/ws", "Content-Length: 999999999", method="POST"), 413, {}),
            (request(gateway, "/" + "x" * 13000), 414, {}),
            (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, {}),
            (refused, 401, {}),
            (refused.replace(b"Origin: http", b"Origin: https"), 403, {}),
        ]
        for data, expected, differing in table:
            answer = await ask(gateway, data)
            assert answer.status == expected, data[:200]
            for name, value in (SAFE | differing).items():
                assert answer.headers[name] == value, (data[:200], name)
            assert "server" not in answer.headers
            assert "access-control-allow-origin" not in answer.headers
            assert "set-cookie" not in answer.headers
