"""The viewer's stream before the relay: payload in order, nothing lost, ends with their reason."""

from __future__ import annotations

import asyncio

import pytest
import wire
from relayrig import LIMIT, read_to_end, reset, tcp_pair, unix_pair, until

from consolekit.net.channels import SocketChannel, receive, send_all
from consolekit.proxy.frames import Close, FrameError
from consolekit.proxy.viewer import ViewerClosed, ViewerStream, reason_of


@pytest.fixture
def ends():
    ours, theirs = unix_pair()
    far = SocketChannel(theirs)
    near = SocketChannel(ours)
    yield near, far
    near.close()
    far.close()


async def read_exactly(viewer: ViewerStream, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(LIMIT):
        while len(data) < size:
            data += await viewer.read(size - len(data))
    return data


async def test_what_came_with_the_request_is_read_first(ends):
    near, far = ends
    stream = wire.frame(b"RFB 003.008\n") + wire.frame(b"\x01\x01")
    for at in range(len(stream)):
        viewer = ViewerStream(near, stream[:at])
        await send_all(far, stream[at:])
        assert await read_exactly(viewer, 12) == b"RFB 003.008\n"
        assert await read_exactly(viewer, 1) == b"\x01"
        assert await read_exactly(viewer, 1) == b"\x01"


async def test_the_rest_is_handed_over(ends):
    near, _ = ends
    half = wire.frame(b"half a frame")
    viewer = ViewerStream(near, wire.frame(b"12345") + half[:10])
    assert await viewer.read(2) == b"12"
    decoder, payload = viewer.hand_over()
    assert payload == b"345" + b"half"
    rest = bytearray(half[10:])
    assert bytes(rest[: decoder.feed(memoryview(rest), len(rest))]) == b" a frame"
    assert viewer.channel is near


async def test_writes_binary_messages(ends):
    near, far = ends
    viewer = ViewerStream(near, b"")
    await viewer.write(b"RFB 003.008\n")
    await viewer.write(b"x" * 200)
    assert wire.parse(await receive(far, 4096)) == (
        [wire.Frame(wire.BINARY, b"RFB 003.008\n"), wire.Frame(wire.BINARY, b"x" * 200)],
        b"",
    )


async def test_pings_are_answered_while_it_waits(ends):
    near, far = ends
    viewer = ViewerStream(near, wire.frame(b"early", wire.PING))
    reading = asyncio.get_running_loop().create_task(viewer.read(10))
    assert wire.parse(await receive(far, 100))[0] == [wire.Frame(wire.PONG, b"early")]
    await send_all(far, wire.frame(b"later", wire.PING))
    assert wire.parse(await receive(far, 100))[0] == [wire.Frame(wire.PONG, b"later")]
    await send_all(far, wire.frame(b"data"))
    assert await reading == b"data"


@pytest.mark.parametrize(
    ("data", "reason", "code"),
    [
        (wire.close(1001), "viewer_closed", 1001),
        (wire.close(), "viewer_closed", 1005),
        (wire.frame(b"x", mask=b""), "protocol_error", 1002),
        (wire.frame(b"x", wire.TEXT), "unsupported_data", 1003),
        (wire.header(2, 1 << 40), "message_too_big", 1009),
    ],
)
async def test_ends_come_after_the_payload_before_them(ends, data, reason, code):
    near, _ = ends
    viewer = ViewerStream(near, wire.frame(b"abc") + data)
    assert await viewer.read(10) == b"abc"
    with pytest.raises(ViewerClosed) as closed:
        await viewer.read(10)
    assert (closed.value.reason, closed.value.close_code) == (reason, code)


async def test_a_viewer_that_goes_without_a_word(ends):
    near, far = ends
    viewer = ViewerStream(near, b"")
    far.close()
    with pytest.raises(ViewerClosed) as closed:
        await viewer.read(10)
    assert (closed.value.reason, closed.value.close_code) == ("viewer_gone", 1006)


async def test_the_limit_is_the_callers(ends):
    near, _ = ends
    viewer = ViewerStream(near, wire.frame(b"x" * 201), max_message=200)
    with pytest.raises(ViewerClosed):
        await viewer.read(1)


async def test_close_says_why_and_closes_when_the_viewer_has(ends):
    near, far = ends
    ViewerStream(near, b"").close(4006, "no luck")
    await send_all(far, wire.frame(b"still typing"))
    frames, _ = wire.parse(await read_to_end(far))
    assert wire.close_code(frames) == 4006
    assert frames[-1].payload[2:] == b"no luck"
    far.close()
    await until(lambda: near.fileno() == -1)


async def test_close_does_not_wait_for_ever(ends):
    near, _ = ends
    ViewerStream(near, b"").close(1011)
    await until(lambda: near.fileno() == -1)


async def test_close_of_a_lost_connection(ends):
    near, far = ends
    far.close()
    ViewerStream(near, b"").close(1006)
    ViewerStream(near, b"").close(1000)
    await until(lambda: near.fileno() == -1)


async def test_a_broken_connection_is_an_os_error():
    ours, theirs = tcp_pair()
    near = SocketChannel(ours)
    reset(theirs)
    with pytest.raises(OSError, match="reset"):
        await ViewerStream(near, b"").read(1)
    near.close()


def test_reasons():
    assert reason_of(Close(1000)) == "viewer_closed"
    assert [reason_of(FrameError(code, "")) for code in (1002, 1003, 1009)] == [
        "protocol_error",
        "unsupported_data",
        "message_too_big",
    ]
