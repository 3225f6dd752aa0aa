"""Catalogue, cases 30 to 37: consoles' servers that are not there, break, lie, flood or fall silent."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway import PipeProvider, echo, resume_key, target
from hostile import (
    BINARY,
    PING,
    PONG,
    Answer,
    ask,
    console,
    frame,
    full_backlog,
    house,
    request,
    reset,
    resident,
    silence,
    until,
    viewer,
)
from parts import require

from consolekit import KitSettings
from consolekit.core.address import Address
from consolekit.core.types import Endpoint, Transport
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.proxy.relay import RelaySettings

PATIENT = RelaySettings(ping_seconds=1000, pong_seconds=1000, stall_seconds=1000)


def vnc(endpoint: Endpoint) -> VncProvider:
    return VncProvider(servers={"demo": VncServer(address=Address(endpoint.host, endpoint.port))})


async def refusal(provider, **options) -> Answer:
    """The answer to a good viewer; its page is told the same code by the outcome."""
    async with house(provider, **options) as gateway:
        token, key = await gateway.token(), resume_key()
        offers = f"binary, consolekit.token.{token}, consolekit.resume.{key}"
        answer = await ask(gateway, gateway.handshake("", Sec_WebSocket_Protocol=offers))
        lines = (f"Authorization: Bearer {token}", f"Consolekit-Resume: {key}")
        outcome = await ask(gateway, request(gateway, "/console/outcome", *lines))
        assert outcome.status == 200
        assert outcome.code == answer.code
        return answer


# ---- 30: not there


async def test_case_30_a_server_that_refuses_is_502(unused_tcp_port):
    answer = await refusal(PipeProvider({"demo": Endpoint(host="127.0.0.1", port=unused_tcp_port)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


async def test_case_30_a_port_that_is_filtered_is_504():
    with full_backlog() as endpoint:
        answer = await refusal(PipeProvider({"demo": endpoint}))
    assert (answer.status, answer.code) == (504, "connect_timeout")


@pytest.mark.parametrize("host", ["255.255.255.255", "fe80::1", "::ffff:255.255.255.255"])
async def test_case_30_an_address_without_a_route_is_502(host):
    answer = await refusal(PipeProvider({"demo": Endpoint(host=host, port=5900)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


@pytest.mark.parametrize("path", ["/nonexistent/console.sock", "/", "/tmp/" + "x" * 200, ""])
async def test_case_30_a_socket_that_is_not_there_is_502(path):
    answer = await refusal(PipeProvider({"demo": Endpoint(transport=Transport.UNIX, path=path)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


async def test_case_30_a_provider_that_never_answers_is_503():
    class Slow(PipeProvider):
        async def open(self, request):
            await asyncio.Event().wait()

    endpoint = Endpoint(host="127.0.0.1", port=1)
    answer = await refusal(Slow({"demo": endpoint}), kit_settings=KitSettings(check_seconds=0.3))
    assert (answer.status, answer.code) == (503, "console_unavailable")


@pytest.mark.parametrize("place", ["open", "handshake", "script", "close"])
async def test_case_30_a_provider_that_breaks_its_contract_breaks_nobody_else(place, diary):
    def broken():
        raise RuntimeError("a provider's own mistake")
        yield

    class Broken(PipeProvider):
        async def open(self, request):
            if place == "open":
                raise RuntimeError("a provider's own mistake")
            return await super().open(request)

        def handshake(self, endpoint):
            if place == "handshake":
                raise RuntimeError("a provider's own mistake")
            return broken() if place in ("script", "close") else None

        async def close(self, endpoint):
            if place == "close":
                raise RuntimeError("a provider's own mistake")
            await super().close(endpoint)

    diary.allowed.append("a provider's own mistake")
    async with target(echo) as endpoint:
        provider = Broken({"demo": endpoint})
        answer = await refusal(provider)
        assert answer.status in (500, 503)
        assert b"mistake" not in answer.body
        if place in ("handshake", "script"):
            assert provider.closed == [endpoint]


# ---- 31: breaks


async def resets_at_once(reader, writer):
    reset(writer)


async def resets_after_its_banner(reader, writer):
    writer.write(b"RFB 003.008\n")
    await reader.readexactly(12)
    reset(writer)


async def closes_after_half_a_banner(reader, writer):
    writer.write(b"RFB 00")


async def closes_at_once(reader, writer):
    pass


@pytest.mark.parametrize(
    "serve", [resets_at_once, resets_after_its_banner, closes_after_half_a_banner, closes_at_once]
)
async def test_case_31_a_server_that_ends_in_its_handshake_is_502(serve):
    async with target(serve) as endpoint:
        answer = await refusal(vnc(endpoint))
    assert (answer.status, answer.code) == (502, "peer_closed")


async def test_case_31_a_reset_in_the_middle_of_data_ends_the_session_by_its_name():
    async def break_off(reader, writer):
        writer.write(b"so far")
        await reader.readexactly(2)
        reset(writer)

    async with console(break_off) as gateway, viewer(gateway) as browser:
        assert await browser.bytes(6) == b"so far"
        await browser.send(frame(BINARY, b"go"))
        assert await browser.close_code() == 4004


LAST_WORDS = bytes(range(256)) * 4096


async def test_case_31_what_a_server_said_before_its_end_is_delivered():
    async def speak_and_go(reader, writer):
        writer.write(LAST_WORDS)
        await writer.drain()

    async with console(speak_and_go) as gateway, viewer(gateway, receive_buffer=4096) as slow:
        assert await slow.bytes(len(LAST_WORDS)) == LAST_WORDS
        assert await slow.close_code() == 1000


async def test_case_31_a_server_that_half_closes_and_still_reads():
    """FIN is the end of a console; what the viewer had said until then arrives."""
    heard = asyncio.get_running_loop().create_future()

    async def half_close(reader, writer):
        first = await reader.readexactly(5)
        writer.write(b"last")
        writer.write_eof()
        heard.set_result(first + await reader.read())

    async with console(half_close) as gateway:
        async with viewer(gateway) as browser:
            await browser.send(frame(BINARY, b"hello"))
            assert await browser.bytes(4) == b"last"
            assert await browser.close_code() == 1000
        assert await heard == b"hello"


async def test_case_31_a_viewer_that_half_closes_without_a_word():
    """What it had said arrives; what the server still sends has nobody to go to."""
    heard = asyncio.get_running_loop().create_future()

    async def keep_sending(reader, writer):
        heard.set_result(await reader.read())
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with console(keep_sending) as gateway, viewer(gateway) as browser:
        await browser.send(frame(BINARY, LAST_WORDS[:60_000]) * 3)
        browser.fin()
        assert await heard == LAST_WORDS[:60_000] * 3
        await gateway.until_no_sessions()


# ---- 32: lies


async def says_garbage(reader, writer):
    writer.write(os.urandom(64).replace(b"R", b"r"))
    await silence(reader, writer)


async def says_http(reader, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await silence(reader, writer)


async def says_ssh(reader, writer):
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await silence(reader, writer)


async def floods(reader, writer):
    while True:
        writer.write(bytes(65536))
        await writer.drain()


@pytest.mark.parametrize("serve", [says_garbage, says_http, says_ssh, floods])
async def test_case_32_what_is_no_rfb_is_502(serve):
    before = resident()
    async with target(serve) as endpoint:
        answer = await refusal(vnc(endpoint))
    assert (answer.status, answer.code) == (502, "handshake_failed")
    assert resident() - before < 8 * 2**20


async def test_case_32_what_a_server_says_is_logged_harmless(diary):
    async def draws(reader, writer):
        writer.write(b"\x1b[2J\r\n\xff\0 \x07 x")
        await silence(reader, writer)

    async with target(draws) as endpoint:
        await refusal(vnc(endpoint))
    assert any("does not speak RFB" in text for text in diary.texts)
    assert not any("\x1b" in text or "\x07" in text for text in diary.texts)


async def drips(reader, writer):
    for byte in itertools.cycle(b"RFB 003.00"):
        writer.write(bytes([byte]))
        await writer.drain()
        try:
            async with asyncio.timeout(0.3):
                if not await reader.read(1):
                    return
        except TimeoutError:
            pass


@pytest.mark.parametrize("serve", [silence, drips])
async def test_case_32_a_server_that_takes_for_ever_is_504(serve):
    async with target(serve) as endpoint:
        answer = await refusal(vnc(endpoint))
    assert (answer.status, answer.code) == (504, "handshake_timeout")


async def test_case_32_a_transparent_server_may_be_silent():
    async with console(silence) as gateway, viewer(gateway):
        assert len(gateway.proxy.sessions) == 1


# ---- 33: cuts its bytes anywhere

BANNER, TYPES, RESULT = b"RFB 003.008\n", b"\x01\x01", bytes(4)
INIT = (800).to_bytes(2, "big") + (600).to_bytes(2, "big") + bytes(16) + (4).to_bytes(4, "big") + b"name"
ALL = BANNER + TYPES + RESULT + INIT


@pytest.mark.parametrize("size", [1, 2, 11, 12, 13, 14, 15, 18, 19, len(ALL)])
async def test_case_33_how_a_server_cuts_its_bytes_changes_nothing(size):
    """At once and ahead of every question, or byte by byte."""

    async def speak(reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(ALL), size):
            writer.write(ALL[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        heard.set_result(await reader.readexactly(12 + 1 + 1))
        await silence(reader, writer)

    heard = asyncio.get_running_loop().create_future()
    async with target(speak) as endpoint, house(vnc(endpoint)) as gateway, viewer(gateway) as browser:
        assert await browser.bytes(12) == BANNER
        await browser.send(frame(BINARY, BANNER))
        assert await browser.bytes(2) == TYPES
        await browser.send(frame(BINARY, b"\x01"))
        await browser.send(frame(BINARY, b"\x01"))
        assert await browser.bytes(4 + len(INIT)) == RESULT + INIT
        assert await heard == BANNER + b"\x01" + b"\x01"


# ---- 34 and 35: floods one way while the other does not move


async def test_case_34_a_flood_to_a_viewer_that_does_not_read_stalls_and_ends():
    async with console(floods) as gateway:
        sessions = gateway.proxy.sessions
        async with viewer(gateway, receive_buffer=4096):
            await until(lambda: any(s.info().bytes_out > 100_000 for s in sessions), "bytes")
            before = resident()
            await gateway.until_no_sessions()
            assert resident() - before < 8 * 2**20
        assert _ended(gateway, "stalled") == 1


@asynccontextmanager
async def never_reads() -> AsyncIterator[tuple[Endpoint, asyncio.Event]]:
    """A server that takes no byte until the event is set."""
    over = asyncio.Event()

    async def holds(reader, writer):
        writer.transport.pause_reading()
        await over.wait()

    async with target(holds) as endpoint:
        yield endpoint, over


async def test_case_35_a_flood_to_a_server_that_does_not_read_stalls_and_ends():
    async with (
        never_reads() as (endpoint, over),
        house(PipeProvider({"demo": endpoint})) as gateway,
        viewer(gateway) as flooder,
    ):
        before = resident()
        await _flood(flooder)
        await gateway.until_no_sessions()
        assert resident() - before < 8 * 2**20
        assert _ended(gateway, "stalled") == 1
        over.set()


async def _flood(flooder) -> None:
    """Send until the gateway has had enough, and at most a gigabyte."""
    piece = frame(BINARY, bytes(60_000))
    for _ in range(17_000):
        try:
            await asyncio.get_running_loop().sock_sendall(flooder.socket, piece)
        except OSError:
            return
    raise AssertionError("all of it was taken")


def _ended(gateway, reason: str) -> float:
    labels = {"protocol": "vnc", "type": "novnc", "reason": reason}
    return gateway.proxy.metrics.registry.get_sample_value("consolekit_sessions_ended_total", labels)


@pytest.mark.parametrize("way", ["close", "reset", "fin"])
async def test_case_35_a_viewer_that_leaves_while_the_server_is_stuck_is_noticed(way):
    async with (
        never_reads() as (endpoint, over),
        house(PipeProvider({"demo": endpoint}), relay=PATIENT) as gateway,
        viewer(gateway) as leaving,
    ):
        session, sent = next(iter(gateway.proxy.sessions)), 0
        while sent < session.info().bytes_in + 64_000:
            # no more than the gateway's system takes, or the FIN is behind bytes that cannot go: then
            # nobody can know of it, and the stall ends it (case 35 above)
            await leaving.send(frame(BINARY, bytes(8000)))
            sent += 8000
            await asyncio.sleep(0.001)
        {"close": leaving.close, "reset": leaving.reset, "fin": leaving.fin}[way]()
        await gateway.until_no_sessions()
        over.set()


# ---- 36: vanishes


async def test_case_36_a_viewer_that_sleeps_is_reaped_and_the_server_told():
    """Its machine's system is there and acknowledges; nobody answers a ping."""
    told = asyncio.Event()

    async def waits(reader, writer):
        await reader.read()
        told.set()

    relay = RelaySettings(ping_seconds=0.5, pong_seconds=0.5)
    async with console(waits, relay=relay) as gateway:
        async with viewer(gateway):
            await gateway.until_no_sessions()
            await told.wait()
        assert _ended(gateway, "ping_timeout") == 1


async def test_case_36_a_viewer_that_answers_pings_lives():
    relay = RelaySettings(ping_seconds=0.2, pong_seconds=1.0)
    async with console(echo, relay=relay) as gateway, viewer(gateway) as browser:
        for _ in range(3):
            opcode, payload = await browser.frame()
            assert opcode == PING
            await browser.send(frame(PONG, payload))
        await browser.send(frame(BINARY, b"here"))
        assert await browser.bytes(4) == b"here"


async def test_case_36_a_viewer_whose_link_is_gone_is_reaped():
    """In a network of its own, whose one interface goes down under a live session."""
    require("unshare", "util-linux")
    require("ip", "iproute2")
    probe = await asyncio.create_subprocess_exec("unshare", "-rn", "true")
    if await probe.wait():
        pytest.skip("this system lets nobody make a network namespace (unshare -rn)")
    script = Path(__file__).parent.parent / "vanishing.py"
    child = await asyncio.create_subprocess_exec(
        "unshare", "-rn", sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert said.decode().split() == ["open", "down", "reaped", "told"]


# ---- 37: names


@pytest.fixture
def names(monkeypatch):
    """What the resolver says of names; a callable is called in the resolver's thread."""
    table: dict[str, object] = {}
    real = socket.getaddrinfo

    def lookup(host, port, *args, **options):
        answer = table.get(host)
        if answer is None:
            return real(host, port, *args, **options)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in answer]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return table


@pytest.mark.parametrize("errno", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_case_37_a_name_that_cannot_be_resolved_is_502(names, errno):
    names["console.example"] = socket.gaierror(errno, "no such luck")
    answer = await refusal(PipeProvider({"demo": Endpoint(host="console.example", port=5900)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("x" * 64 + ".example", id="long label"),
        pytest.param("a..example", id="empty label"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("", id="empty"),
        ".",
    ],
)
async def test_case_37_a_name_that_is_none_is_502(host):
    answer = await refusal(PipeProvider({"demo": Endpoint(host=host, port=1)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


@pytest.mark.parametrize("port", [-1, 65536, 2**40])
async def test_case_37_a_port_that_is_none_is_502(port):
    answer = await refusal(PipeProvider({"demo": Endpoint(host="127.0.0.1", port=port)}))
    assert (answer.status, answer.code) == (502, "connect_failed")


async def test_case_37_a_resolver_that_is_silent_is_504_and_holds_up_nobody_else(names):
    end = threading.Event()

    def hang():
        end.wait(30)
        return socket.gaierror(socket.EAI_AGAIN, "too late")

    names["console.example"] = hang
    try:
        async with target(echo) as endpoint:
            slow = Endpoint(host="console.example", port=5900)
            async with house(PipeProvider({"slow": slow, "demo": endpoint})) as gateway:
                tokens = [await gateway.token("slow") for _ in range(8)]
                loop = asyncio.get_running_loop()
                asking = [loop.create_task(ask(gateway, gateway.handshake(token))) for token in tokens]
                await until(lambda: len(gateway.proxy.sessions) == 8, "lookups")
                async with gateway.open(await gateway.token()) as browser:  # an address needs no resolver
                    await browser.send(b"here")
                    assert await browser.recv() == b"here"
                assert await asyncio.to_thread(lambda: "a thread") == "a thread"
                answers = await asyncio.gather(*asking)
                assert {(a.status, a.code) for a in answers} == {(504, "connect_timeout")}
                end.set()
    finally:
        end.set()


async def test_case_37_the_second_address_is_tried_while_the_first_is_dead(names, unused_tcp_port):
    async with target(echo) as endpoint:
        good = (endpoint.host, endpoint.port)
        with full_backlog() as dead:
            for first in ((dead.host, dead.port), ("127.0.0.1", unused_tcp_port)):
                names["console.example"] = [first, good]
                named = Endpoint(host="console.example", port=endpoint.port)
                async with house(PipeProvider({"demo": named})) as gateway, viewer(gateway) as browser:
                    await browser.send(frame(BINARY, b"here"))
                    assert await browser.bytes(4) == b"here"


async def test_case_37_all_addresses_dead_is_502(names, unused_tcp_port):
    names["console.example"] = [("127.0.0.1", unused_tcp_port)] * 3
    answer = await refusal(PipeProvider({"demo": Endpoint(host="console.example", port=1)}))
    assert (answer.status, answer.code) == (502, "connect_failed")
