"""The demo server's protocol on streams in memory; sockets are for tests/integration."""

from __future__ import annotations

import asyncio
import struct

import pytest

from consolekit.core.types import Secret
from consolekit.providers.vnc.vncauth import vnc_response
from consolekit.testing import rfbserver
from consolekit.testing.rfbscene import HEIGHT, WIDTH, Scene
from consolekit.testing.rfbserver import RfbServer, _greet, _initialise, _Viewer, _ViewerRefused

PASSWORD = Secret("s3cret")


class Wire:
    """A stream writer that keeps what is written, and wakes whoever waits for so many bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._more = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.data += data
        self._more.set()

    async def drain(self) -> None:
        return

    async def take(self, size: int) -> bytes:
        while len(self.data) < size:
            self._more.clear()
            await self._more.wait()
        data = bytes(self.data[:size])
        del self.data[:size]
        return data


def fed(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def greet(data: bytes, password: Secret | None = None) -> bytes:
    wire = Wire()
    await _greet(fed(data), wire, password)  # type: ignore[arg-type]  # a writer as far as it is used
    return bytes(wire.data)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"RFB 003.008\n\x01", b"RFB 003.008\n\x01\x01\0\0\0\0"),
        (b"RFB 003.007\n\x01", b"RFB 003.008\n\x01\x01"),
        (b"RFB 003.003\n", b"RFB 003.008\n\0\0\0\x01"),
    ],
)
async def test_versions_without_password(said: bytes, heard: bytes) -> None:
    assert await greet(said) == heard


@pytest.mark.parametrize(
    "said", [b"RFB 004.001\n", b"GET / HTTP/1", b"RFB 003.008\n\x02", b"RFB 003.007\n\x13"]
)
async def test_refused_greetings(said: bytes) -> None:
    with pytest.raises(_ViewerRefused):
        await greet(said)


async def test_none_is_not_accepted_where_a_password_is_set() -> None:
    with pytest.raises(_ViewerRefused):
        await greet(b"RFB 003.008\n\x01", PASSWORD)


@pytest.mark.parametrize("minor", [3, 7, 8])
@pytest.mark.parametrize("right", [True, False])
async def test_password(monkeypatch: pytest.MonkeyPatch, minor: int, right: bool) -> None:
    challenge = bytes(range(16))
    monkeypatch.setattr(rfbserver.secrets, "token_bytes", lambda size: challenge[:size])
    said = b"RFB 003.%03d\n" % minor + (b"" if minor == 3 else b"\x02")
    said += vnc_response(challenge, "s3cret" if right else "wrong")
    if right:
        assert (await greet(said, PASSWORD)).endswith(challenge + b"\0\0\0\0")
        return
    wire = Wire()
    with pytest.raises(_ViewerRefused):
        await _greet(fed(said), wire, PASSWORD)  # type: ignore[arg-type]  # as far as it is used
    reason = b"\0\0\0\x15Authentication failed" if minor == 8 else b""
    assert bytes(wire.data).endswith(challenge + b"\0\0\0\x01" + reason)


async def test_server_init() -> None:
    wire = Wire()
    await _initialise(fed(b"\x01"), wire, "démo")  # type: ignore[arg-type]  # as far as it is used
    width, height = struct.unpack(">HH", wire.data[:4])
    assert (width, height) == (WIDTH, HEIGHT)
    assert wire.data[20:] == struct.pack(">I", 5) + "démo".encode()


class Seen:
    """A running viewer and both ends of its wire."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.reader, self.wire = asyncio.StreamReader(), Wire()
        self.viewer = _Viewer(self.scene, self.reader, self.wire)  # type: ignore[arg-type]  # ditto

    def says(self, data: bytes) -> None:
        self.reader.feed_data(data)

    async def update(self) -> list[tuple[int, int, int, int]]:
        """Read one FramebufferUpdate of 32 bits a pixel; gives its rectangles."""
        kind, count = struct.unpack(">BxH", await self.wire.take(4))
        assert kind == 0
        rects = []
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">4Hi", await self.wire.take(12))
            assert encoding == 0
            assert len(await self.wire.take(width * height * 4)) == width * height * 4
            rects.append((x, y, width, height))
        return rects


def request(incremental: int) -> bytes:
    return struct.pack(">BB4H", 3, incremental, 0, 0, WIDTH, HEIGHT)


def serve(seen: Seen) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(seen.viewer.run())


async def ended(task: asyncio.Task[None], seen: Seen) -> None:
    seen.reader.feed_eof()
    with pytest.raises(ExceptionGroup):
        await task


async def test_full_update_then_only_what_changes() -> None:
    seen = Seen()
    task = serve(seen)
    seen.says(request(0))
    assert await seen.update() == [(0, 0, WIDTH, HEIGHT)]
    seen.says(request(1) + struct.pack(">BBHI", 4, 1, 0, ord("a")))
    changed = await seen.update()
    assert changed
    assert (0, 0, WIDTH, HEIGHT) not in changed
    await ended(task, seen)
    assert not seen.scene._watchers


async def test_nothing_is_sent_without_a_request() -> None:
    seen = Seen()
    task = serve(seen)
    seen.says(struct.pack(">BBHI", 4, 1, 0, ord("a")))
    seen.says(struct.pack(">BxxxI", 6, 2) + b"hi")
    assert await seen.wire.take(10) == struct.pack(">BxxxI", 3, 2) + b"hi"
    assert seen.scene.typed == "a"
    assert not seen.wire.data
    await ended(task, seen)


async def test_a_press_counts_once_until_released() -> None:
    seen = Seen()
    task = serve(seen)
    for buttons, x in ((1, 10), (1, 20), (0, 30), (4, 40), (5, 50)):
        seen.says(struct.pack(">BBHH", 5, buttons, x, 100))
    await ended(task, seen)
    assert [spot.x + 6 for spot in seen.scene._spots] == [10, 50]


async def test_pixel_format_and_encodings() -> None:
    seen = Seen()
    task = serve(seen)
    eight = struct.pack(">BBBB3H3B3x", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6)
    seen.says(b"\0\0\0\0" + eight + struct.pack(">BxHii", 2, 2, 0, -239) + request(0))
    assert len(await seen.wire.take(16 + WIDTH * HEIGHT)) == 16 + WIDTH * HEIGHT
    assert not seen.wire.data
    await ended(task, seen)


@pytest.mark.parametrize(
    "message",
    [
        b"\x01",
        b"\xff",
        b"\0\0\0\0" + struct.pack(">BBBB3H3B3x", 8, 8, 0, 0, 0, 0, 0, 0, 0, 0),
        struct.pack(">BxxxI", 6, 1 << 20),
    ],
)
async def test_a_viewer_that_breaks_the_protocol_is_dropped(message: bytes) -> None:
    seen = Seen()
    seen.says(message)
    with pytest.raises(ExceptionGroup) as caught:
        await seen.viewer.run()
    assert caught.group_contains(_ViewerRefused)
    assert not seen.scene._watchers


async def test_closing_what_was_never_started() -> None:
    server = RfbServer(port=5999, host="::1")
    assert server.address == "[::1]:5999"
    await server.aclose()
    assert server.viewers == 0
