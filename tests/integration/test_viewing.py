"""Looking only, and idleness, through the whole gateway: a viewer that lies, and a picture that moves."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
import websockets.exceptions
from gateway import PipeProvider, running, target
from vmwaresite import log_in

from consolekit.core.errors import ConsoleNotImplemented
from consolekit.core.types import Mode
from consolekit.providers.vnc.provider import VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.proxy.relay import RelaySettings
from consolekit.testing import ManualClock
from consolekit.testing.rfbserver import RfbServer

LIMIT = 15.0
REQUEST = struct.pack(">BBHHHH", 3, 1, 0, 0, 800, 600)
WHOLE = struct.pack(">BBHHHH", 3, 0, 0, 0, 800, 600)
ENCODINGS = struct.pack(">BxHi", 2, 1, 0)


def key(letter: str) -> bytes:
    return b"".join(struct.pack(">BB2xI", 4, down, ord(letter)) for down in (1, 0))


INPUT = key("a") + struct.pack(">BBHH", 5, 1, 10, 10) + struct.pack(">B3xI", 6, 2) + b"hi"


def provider(address: str) -> VncProvider:
    return VncProvider(servers={"demo": VncServer(address=address)})


class Recorder:
    """An RFB server without a password that writes down what comes after the security handshake."""

    def __init__(self) -> None:
        self.heard = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"RFB 003.008\n")
        await reader.readexactly(12)
        writer.write(b"\1\1")
        await reader.readexactly(1)
        writer.write(bytes(4))
        while data := await reader.read(4096):
            self.heard += data

    async def until(self, size: int) -> bytes:
        async with asyncio.timeout(LIMIT):
            while len(self.heard) < size:
                await asyncio.sleep(0.002)
        return bytes(self.heard)


async def greet(browser) -> None:
    """A viewer's part of the security handshake, as the gateway plays it."""
    received = b""
    for size, said in ((12, b"RFB 003.008\n"), (14, b"\1"), (18, b"")):
        while len(received) < size:
            received += await browser.recv()
        if said:
            await browser.send(said)


@pytest.mark.parametrize("pieces", ["whole", "single bytes"])
async def test_a_server_sees_nothing_of_what_a_lying_viewer_puts_in(pieces):
    recorder = Recorder()
    async with target(recorder.serve) as endpoint, running(provider(endpoint.address)) as gateway:
        async with gateway.open((await gateway.link(mode="view")).token.reveal()) as browser:
            await greet(browser)
            said = b"\0" + ENCODINGS + INPUT + REQUEST + INPUT + WHOLE
            for at in range(0, len(said), 1 if pieces == "single bytes" else len(said)):
                await browser.send(said[at : at + (1 if pieces == "single bytes" else len(said))])
            expected = b"\1" + ENCODINGS + REQUEST + WHOLE
            assert await recorder.until(len(expected)) == expected
            (info,) = [session.info() for session in gateway.proxy.sessions]
            assert info.mode is Mode.VIEW
            await browser.send(b"\x7f" + bytes(20))
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await browser.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4009, "viewer_refused")
        await gateway.until_no_sessions()
        assert bytes(recorder.heard) == expected


async def test_the_same_viewer_is_heard_with_a_link_to_interact():
    recorder = Recorder()
    async with (
        target(recorder.serve) as endpoint,
        running(provider(endpoint.address)) as gateway,
        gateway.open(await gateway.token()) as browser,
    ):
        await greet(browser)
        said = b"\0" + ENCODINGS + INPUT + REQUEST + b"\x7f" + bytes(20)
        await browser.send(said)
        assert await recorder.until(len(said)) == said


async def test_no_link_where_the_provider_cannot_tell_input():
    async with target(Recorder().serve) as endpoint, running(PipeProvider({"demo": endpoint})) as gateway:
        with pytest.raises(ConsoleNotImplemented):
            await gateway.link(mode="view")
        assert await gateway.kit.store.grants() == []


class Boaster(PipeProvider):
    """Says that it can be looked at, and has no filter for it."""

    modes = tuple(Mode)


async def test_a_provider_that_promises_a_filter_and_gives_none_opens_nothing():
    recorder = Recorder()
    async with target(recorder.serve) as endpoint, running(Boaster({"demo": endpoint})) as gateway:
        link = await gateway.link(mode="view")
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            await gateway.open(link.token.reveal())
        assert refused.value.response.status_code == 501
        assert b"console_not_implemented" in refused.value.response.body
        assert gateway.kit.registry.get("lab").closed == [endpoint]
    assert not recorder.heard


@pytest.mark.parametrize("pressing", [False, True], ids=["nobody there", "a key"])
async def test_a_moving_picture_keeps_no_session_and_a_key_does(pressing):
    clock = ManualClock()
    relay = RelaySettings(idle_seconds=60, ping_seconds=10_000, stall_seconds=10_000)
    async with (
        RfbServer() as server,
        running(provider(server.address), clock=clock, relay=relay) as gateway,
        gateway.open(await gateway.token()) as browser,
    ):
        await log_in(browser)
        await browser.send(ENCODINGS + WHOLE)
        clock.advance(40)
        await pictures(browser, 3)
        (session,) = gateway.proxy.sessions
        if pressing:
            await browser.send(key("a"))
            async with asyncio.timeout(LIMIT):
                while session._relay.last_input != clock.monotonic():
                    await browser.send(REQUEST)
                    await browser.recv()
        clock.advance(40)
        if pressing:
            await ticked(session)
            await pictures(browser, 3)
            assert not session.ended
            clock.advance(21)
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            async with asyncio.timeout(LIMIT):
                while True:
                    await browser.send(REQUEST)
                    await browser.recv()
        assert (browser.close_code, browser.close_reason) == (4002, "idle")
        assert server.scene.typed == ("a" if pressing else "")


async def pictures(browser, count: int) -> None:
    """So many updates of the screen that are not the first."""
    for _ in range(count):
        await browser.send(REQUEST)
        while (await browser.recv())[:1] != b"\0":
            pass


async def ticked(session) -> None:
    """Wait until the wheel has come by and judged once more."""
    seen = asyncio.Event()
    life, judge = session._relay._life, session._relay._life.tick

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(life, name)

        def __setattr__(self, name: str, value: object) -> None:
            setattr(life, name, value)

        def tick(self, *now: float) -> str:
            seen.set()
            return judge(*now)

    session._relay._life = Watched()
    async with asyncio.timeout(LIMIT):
        await seen.wait()


async def test_who_may_only_look_is_never_idle():
    clock = ManualClock()
    relay = RelaySettings(idle_seconds=60, ping_seconds=10_000, stall_seconds=10_000)
    async with (
        RfbServer() as server,
        running(provider(server.address), clock=clock, relay=relay) as gateway,
        gateway.open((await gateway.link(mode="view")).token.reveal()) as browser,
    ):
        await log_in(browser)
        await browser.send(ENCODINGS + WHOLE)
        (session,) = gateway.proxy.sessions
        for _ in range(2):
            clock.advance(100)
            await ticked(session)
            await pictures(browser, 2)
        assert not session.ended


async def test_without_a_filter_every_byte_counts():
    async def chatter(reader, writer):
        while data := await reader.read(100):
            writer.write(data)

    clock = ManualClock()
    relay = RelaySettings(idle_seconds=60, ping_seconds=10_000)
    async with (
        target(chatter) as endpoint,
        running(PipeProvider({"demo": endpoint}), clock=clock, relay=relay) as gateway,
        gateway.open(await gateway.token()) as browser,
    ):
        clock.advance(50)
        await browser.send(b"x")
        assert await browser.recv() == b"x"
        (session,) = gateway.proxy.sessions
        async with asyncio.timeout(LIMIT):
            while session._relay.last_input != clock.monotonic():
                await asyncio.sleep(0.005)
        clock.advance(60)
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            await browser.recv()
        assert closed.value.rcvd.code == 4002
