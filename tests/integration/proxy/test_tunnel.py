"""The relay between two websockets, over real sockets: nothing changes but what is ours, and every end."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest
import relayrig
import wire
from relayrig import Authority, Rig, fill, read_to_end, reset, running, send, until

from consolekit.net.channels import receive
from consolekit.proxy.closecodes import MOVED, TAKEN

TLS = {
    "plain": {},
    "TLS server": {"tls_server": Authority()},
    "TLS both": {"tls_client": Authority(), "tls_server": Authority()},
}
every_kind = pytest.mark.parametrize("kind", TLS)
BOTH_SIDES_LEAVE = {"FIN": lambda channel: channel.close(), "RST": reset}
MANY = 3 * 1024 * 1024 + 12345
SIZES = (1, 8, 125, 126, 4096, 65535, 65536, 200_001)


def tunnel(**options):
    return running(tunnel=True, **options)


def down(payload: bytes = b"", opcode: int = wire.BINARY, *, fin: bool = True) -> bytes:
    """A frame of a server."""
    return wire.frame(payload, opcode, fin=fin, mask=b"")


def cut(data: bytes) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = SIZES[len(pieces) % len(SIZES)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


async def collect(channel, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = await receive(channel, 1 << 18)
        assert piece, f"the stream ended after {len(data)} bytes"
        data += piece
    return bytes(data)


# ---- bytes


@pytest.mark.parametrize("buffer", [0, 4096], ids=["usual buffers", "tiny buffers"])
@every_kind
async def test_megabytes_both_ways_at_once_pass_as_they_are(kind, buffer):
    """Headers, masks and fragments too: what comes out is what went in, to the byte."""
    up_data, down_data = os.urandom(MANY), os.urandom(MANY)
    up = b"".join(wire.frame(piece, mask=os.urandom(4)) for piece in cut(up_data))
    back = b"".join(down(piece) for piece in cut(down_data))
    async with tunnel(buffer=buffer, **TLS[kind]) as rig:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            group.create_task(relayrig.send_all(rig.viewer, up))
            group.create_task(relayrig.send_all(rig.server, back))
            at_server = group.create_task(collect(rig.server, len(up)))
            at_viewer = group.create_task(collect(rig.viewer, len(back)))
        assert hashlib.sha256(at_server.result()).digest() == hashlib.sha256(up).digest()
        assert hashlib.sha256(at_viewer.result()).digest() == hashlib.sha256(back).digest()
        assert (rig.relay.bytes_in, rig.relay.bytes_out) == (MANY, MANY)


@every_kind
async def test_what_was_read_before_comes_first_and_once(kind):
    """Case 33: a frame that came with the 101, and one of the viewer's that came with its request."""
    early = {"client_payload": wire.frame(b"client "), "server_bytes": down(b"RFB 003.008\n")}
    async with tunnel(start=False, **early, **TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"init"))
        await send(rig.server, down(b"init"))
        rig.relay.start()
        rig.relay.start()
        assert [one.payload for one in await rig.frames_to_server(2)] == [b"client ", b"init"]
        assert [one.payload for one in await rig.frames(2)] == [b"RFB 003.008\n", b"init"]


async def test_half_a_frame_may_have_come_before():
    up, back = wire.frame(b"x" * 300), down(b"y" * 70_000)
    for at in (1, 2, 3, 5, 9, 20):
        async with tunnel(client_payload=up[:at], server_bytes=back[:at]) as rig:
            await send(rig.viewer, up[at:])
            await send(rig.server, back[at:])
            assert await collect(rig.server, len(up)) == up
            assert await collect(rig.viewer, len(back)) == back


async def test_bounds_of_the_servers_frames_stay():
    """A viewer tells VMware's two kinds of stream apart by the size of the first message."""
    frames = [down(b"RFB 003.008\n"), down(b"\x01"), down(b"", fin=False), down(b"ab", 0), down(b"z" * 5000)]
    async with tunnel() as rig:
        await send(rig.server, b"".join(frames))
        got = await rig.frames(len(frames))
        assert [(one.opcode, len(one.payload), one.fin) for one in got] == [
            (2, 12, True), (2, 1, True), (2, 0, False), (0, 2, True), (2, 5000, True),
        ]  # fmt: skip


async def test_pings_and_pongs_pass_from_end_to_end():
    async with tunnel() as rig:
        await send(rig.viewer, wire.frame(b"viewer's", wire.PING))
        await send(rig.server, down(b"server's", wire.PING))
        assert await rig.frames_to_server(1) == [wire.Frame(wire.PING, b"viewer's")]
        assert await rig.frames(1) == [wire.Frame(wire.PING, b"server's")]
        assert (rig.relay.bytes_in, rig.relay.bytes_out) == (0, 0)


@pytest.mark.parametrize("tiny", [wire.frame(b""), wire.frame(b"k"), wire.frame(b"", wire.PONG)])
async def test_floods_of_tiny_frames_keep_nothing(tiny):
    async with tunnel(buffer=4096) as rig, asyncio.TaskGroup() as group:
        reading = group.create_task(collect(rig.server, len(tiny) * 50_000))
        await send(rig.viewer, tiny * 50_000)
        assert await reading == tiny * 50_000


# ---- ends of the viewer


@every_kind
async def test_a_viewers_close_is_answered_and_its_code_reaches_the_server(kind):
    async with tunnel(**TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"last key") + wire.close(4321, b"bye"))
        frames = await rig.frames_to_server_until_end()
        assert frames[0].payload == b"last key"
        assert wire.close_code(frames) == 4321
        assert wire.close_code(await rig.frames_until_end()) == 4321
        rig.viewer.close()
        rig.server.close()
        end = await rig.ended()
        assert (end.code, end.reason) == (4321, "viewer_closed")


async def test_a_close_without_a_code():
    async with tunnel() as rig:
        await send(rig.viewer, wire.close())
        assert wire.close_code(await rig.frames_to_server_until_end()) is None
        assert wire.close_code(await rig.frames_until_end()) is None
        assert (await rig.ended()).code == 1005


VIEWER_BREAKS = {
    "unmasked": (wire.frame(b"abc", mask=b""), 1002, "protocol_error"),
    "reserved bit": (wire.header(2, 0, rsv=4), 1002, "protocol_error"),
    "bad close code": (wire.close(1005), 1002, "protocol_error"),
    "text": (wire.frame(b"abc", wire.TEXT), 1003, "unsupported_data"),
    "too big": (wire.header(2, 16 * 1024 * 1024 + 1), 1009, "message_too_big"),
}


@pytest.mark.parametrize("after", [b"", wire.frame(b"more") * 5000], ids=["alone", "and more"])
@pytest.mark.parametrize("name", VIEWER_BREAKS)
async def test_broken_frames_of_a_viewer_reach_no_server(name, after):
    data, code, reason = VIEWER_BREAKS[name]
    async with tunnel() as rig:
        await send(rig.viewer, wire.frame(b"before") + data + after)
        rig.viewer.shutdown_write()
        frames = await rig.frames_to_server_until_end()
        assert wire.payload_of(frames) == b"before"
        assert wire.close_code(frames) == 1001
        assert wire.close_code(await rig.frames_until_end()) == code
        end = await rig.ended()
        assert (end.code, end.reason) == (code, reason)
        assert end.detail


@pytest.mark.parametrize("leave", BOTH_SIDES_LEAVE)
@every_kind
async def test_a_viewer_that_vanishes_frees_the_server(kind, leave):
    async with tunnel(**TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"abc"))
        await rig.frames_to_server(1)
        BOTH_SIDES_LEAVE[leave](rig.viewer)
        assert wire.close_code(await rig.frames_to_server_until_end()) == 1001
        end = await rig.ended()  # the server itself does nothing
        assert (end.code, end.reason) == (1006, "viewer_gone")


async def test_a_viewer_that_vanishes_inside_of_a_frame():
    """No close frame can follow half a frame; the end of the stream must do."""
    async with tunnel() as rig:
        await send(rig.viewer, wire.frame(b"x" * 1000)[:500])
        await collect(rig.server, 500)
        rig.viewer.close()
        assert await read_to_end(rig.server) == b""
        assert (await rig.ended()).reason == "viewer_gone"


# ---- ends of the server


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "server_closed", 1000),
        (1001, "server_closed", 1000),
        (None, "server_closed", 1000),
        (1011, "server_reset", 4004),
        (4000, "server_reset", 4004),
    ],
)
@pytest.mark.parametrize("size", [0, MANY])
async def test_a_server_that_closes_is_heard_to_its_end_and_answered(size, code, reason, told):
    """All it said before reaches a slow viewer; its own code comes back to it, ours goes to the viewer."""
    data = os.urandom(size)
    last = down(b"" if code is None else code.to_bytes(2, "big"), wire.CLOSE)
    async with tunnel(buffer=4096) as rig:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            received = group.create_task(rig.frames_until_end())
            await relayrig.send_all(rig.server, b"".join(down(piece) for piece in cut(data)) + last)
            answered = group.create_task(rig.frames_to_server_until_end())
        assert wire.payload_of(received.result()) == data
        assert wire.close_code(received.result()) == told
        assert wire.close_code(answered.result()) == code
        rig.viewer.close()
        assert (await rig.ended()).reason == reason


@pytest.mark.parametrize(
    ("parting", "code", "reason", "told"),
    [
        (MOVED, 1000, "server_moved", 4008),
        (MOVED, 1001, "server_moved", 4008),
        (MOVED, 1011, "server_reset", 4004),
        (TAKEN, 1000, "server_taken", 4010),
        (TAKEN, 1011, "server_taken", 4010),
    ],
)
async def test_a_server_whose_close_means_more(parting, code, reason, told):
    """The viewer hears whether it may come back by itself; the server hears its own code."""
    async with tunnel(parting=parting) as rig:
        await relayrig.send_all(rig.server, down(b"bye") + down(code.to_bytes(2, "big"), wire.CLOSE))
        frames = await rig.frames_until_end()
        assert (wire.payload_of(frames), wire.close_code(frames)) == (b"bye", told)
        assert wire.close_code(await rig.frames_to_server_until_end()) == code
        rig.viewer.close()
        assert (await rig.ended()).reason == reason


async def test_a_server_that_closed_is_free_at_once_however_slow_the_viewer_is():
    """A virtual machine has few slots: its end of the session does not wait for the viewer's."""
    last = down(b"s" * 150_000) + down(b"\x03\xe8", wire.CLOSE)
    async with tunnel(buffer=4096, server_bytes=last, start=False) as rig:
        rig.relay.start()
        assert rig.near[1].fileno() == -1
        assert rig.relay._client.stuck
        rig.pass_time(5)
        assert wire.close_code(await rig.frames_to_server_until_end()) == 1000
        await send(rig.viewer, wire.frame(b"typed too late"))
        frames = await rig.frames_until_end()
        assert len(wire.payload_of(frames)) == 150_000
        assert wire.close_code(frames) == 1000
        rig.viewer.close()
        assert (await rig.ended()).reason == "server_closed"


@pytest.mark.parametrize("leave", BOTH_SIDES_LEAVE)
@every_kind
async def test_a_server_that_vanishes_was_lost(kind, leave):
    """A websocket that ends without a close frame did not end in order."""
    async with tunnel(**TLS[kind]) as rig:
        await send(rig.server, down(b"kernel panic"))
        await rig.frames(1)
        BOTH_SIDES_LEAVE[leave](rig.server)
        assert wire.close_code(await rig.frames_until_end()) == 4004
        rig.viewer.close()
        assert (await rig.ended()).reason == "server_reset"


@pytest.mark.parametrize("leave", BOTH_SIDES_LEAVE)
async def test_a_server_that_vanishes_when_the_next_viewer_comes(leave):
    async with tunnel(parting=TAKEN) as rig:
        BOTH_SIDES_LEAVE[leave](rig.server)
        assert wire.close_code(await rig.frames_until_end()) == 4010
        rig.viewer.close()
        assert (await rig.ended()).reason == "server_taken"


async def test_a_server_that_vanishes_inside_of_a_frame():
    """Nothing of ours can follow half a frame: the viewer sees its connection end, and asks us why."""
    async with tunnel() as rig:
        await send(rig.server, down(b"s" * 1000)[:500])
        await collect(rig.viewer, 500)
        rig.server.close()
        assert await read_to_end(rig.viewer) == b""
        assert (await rig.ended()).reason == "server_reset"


SERVER_BREAKS = {
    "masked": wire.frame(b"abc"),
    "reserved bit": wire.header(2, 0, rsv=4, mask=b""),
    "reserved opcode": wire.header(3, 0, mask=b""),
    "length not minimal": wire.header(2, 5, form=64, mask=b""),
    "top bit": wire.header(2, 1 << 63, mask=b""),
    "long ping": wire.header(wire.PING, 126, mask=b""),
    "orphan": down(b"x", 0),
    "text": down(b"x", wire.TEXT),
    "bad close": down(b"\x03\xed", wire.CLOSE),
}


@pytest.mark.parametrize("name", SERVER_BREAKS)
async def test_broken_frames_of_a_server_reach_no_viewer(name):
    """Case 41: masked server frames and the like are refused, and the server is closed."""
    async with tunnel() as rig:
        await send(rig.server, down(b"before") + SERVER_BREAKS[name] + down(b"after") * 100)
        frames = await rig.frames_until_end()
        assert wire.payload_of(frames) == b"before"
        assert wire.close_code(frames) == 4007
        rig.viewer.close()
        end = await rig.ended()
        assert (end.code, end.reason) == (4007, "server_protocol_error")
        assert end.detail


# ---- our own ends


async def stuck(rig: Rig, who: str) -> None:
    if who in ("viewer", "both"):
        await fill(rig.server, down(b"s" * 65532))
    if who in ("server", "both"):
        await fill(rig.viewer, wire.frame(b"c" * 65000))


@pytest.mark.parametrize("who", ["nobody", "viewer", "server", "both"])
@every_kind
async def test_end_from_outside_in_any_state(kind, who):
    """Revocation and drain: both are told where they listen, both sockets are closed whatever they do."""
    async with tunnel(buffer=4096, **TLS[kind]) as rig:
        await stuck(rig, who)
        rig.relay.end(4000, "revoked")
        rig.relay.end(1001, "draining")
        if who == "nobody":
            assert wire.close_code(await rig.frames_to_server_until_end()) == 1001
        if who in ("nobody", "server"):
            assert wire.close_code(await rig.frames_until_end()) == 4000
        end = await rig.ended()
        assert (end.code, end.reason) == (4000, "revoked")


@every_kind
async def test_end_inside_of_a_frame_waits_a_moment_for_the_frames_end(kind):
    """Screens are large frames: without this a viewer of a busy screen would hardly ever hear why."""
    frame = down(os.urandom(400_000))
    async with tunnel(**TLS[kind]) as rig:
        await send(rig.server, frame[:100_000])
        got = await collect(rig.viewer, 100_000)
        rig.relay.end(4000, "revoked")
        await send(rig.server, frame[100_000:] + down(b"not any more"))
        got += await read_to_end(rig.viewer)
        frames, rest = wire.parse(got)
        assert not rest
        assert wire.payload_of(frames) == frame[-400_000:]
        assert wire.close_code(frames) == 4000
        assert wire.close_code(await rig.frames_to_server_until_end()) == 1001
        rig.viewer.close()
        assert (await rig.ended()).reason == "revoked"


async def test_end_inside_of_a_frame_that_the_viewer_is_slow_to_take():
    frame = down(os.urandom(300_000))
    async with tunnel(buffer=4096) as rig, asyncio.TaskGroup() as group:
        sending = group.create_task(relayrig.send_all(rig.server, frame))
        await until(lambda: rig.relay._client.stuck)
        rig.relay.end(4000, "revoked")
        frames = await rig.frames_until_end()
        assert wire.payload_of(frames) == frame[-300_000:]
        assert wire.close_code(frames) == 4000
        await sending


async def test_end_inside_of_a_frame_that_never_ends():
    async with tunnel() as rig:
        await send(rig.server, wire.header(2, 1 << 40, mask=b"") + b"s" * 1000)
        await collect(rig.viewer, 1000)
        rig.relay.end(4000, "revoked")
        assert (await rig.ended()).reason == "revoked"
        assert await read_to_end(rig.viewer) == b""


async def test_end_inside_of_a_frame_whose_server_leaves():
    async with tunnel() as rig:
        await send(rig.server, down(b"s" * 1000)[:500])
        await collect(rig.viewer, 500)
        rig.relay.end(4000, "revoked")
        rig.server.close()
        assert await read_to_end(rig.viewer) == b""
        rig.viewer.close()
        assert (await rig.ended()).reason == "revoked"


async def test_end_before_the_start():
    async with tunnel(start=False, server_bytes=down(b"never shown")) as rig:
        rig.relay.end(4000, "revoked")
        rig.relay.start()
        frames = await rig.frames_until_end()
        assert [one.opcode for one in frames] == [wire.CLOSE]
        assert wire.close_code(await rig.frames_to_server_until_end()) == 1001
        assert (await rig.ended()).reason == "revoked"


# ---- bounds and time


@every_kind
async def test_a_viewer_that_does_not_read_is_bounded_then_ended(kind):
    """Case 34."""
    async with tunnel(buffer=4096, **TLS[kind]) as rig:
        accepted = await fill(rig.server, down(b"s" * 65532))
        assert accepted < 2 * 1024 * 1024
        assert len(rig.relay._client.waiting or b"") <= 192 * 1024
        rig.pass_time(59)
        assert not rig.ends
        rig.pass_time(3)
        assert (await rig.ended()).reason == "stalled"


@every_kind
async def test_a_server_that_does_not_read_is_bounded_then_ended(kind):
    """Case 35: and meanwhile the screen goes on."""
    async with tunnel(buffer=4096, **TLS[kind]) as rig:
        accepted = await fill(rig.viewer, wire.frame(b"c" * 65000))
        assert accepted < 2 * 1024 * 1024
        assert len(rig.relay._server.waiting or b"") <= 128 * 1024
        await send(rig.server, down(b"screen"))
        assert (await rig.frames(1))[0].payload == b"screen"
        rig.pass_time(62)
        assert (await rig.ended()).reason == "stalled"


async def test_a_silent_viewer_is_asked_and_its_answer_passes_on():
    async with tunnel() as rig:
        rig.pass_time(16)
        assert await rig.frames(1) == [wire.Frame(wire.PING, b"")]
        await send(rig.viewer, wire.frame(b"", wire.PONG))
        assert await rig.frames_to_server(1) == [wire.Frame(wire.PONG, b"")]
        rig.pass_time(10)
        assert not rig.ends


async def test_a_viewer_that_does_not_answer_is_ended():
    async with tunnel() as rig:
        rig.pass_time(16)
        await rig.frames(1)
        rig.pass_time(16)
        assert (await rig.ended()).reason == "ping_timeout"
        assert wire.close_code(await rig.frames_to_server_until_end()) == 1001


async def test_a_viewer_is_asked_between_frames_only():
    """Half a frame under way: the question waits, and nobody is held guilty of not answering it."""
    frame = down(b"s" * 1000)
    async with tunnel() as rig:
        await send(rig.server, frame[:500])
        await collect(rig.viewer, 500)
        rig.pass_time(50)
        assert not rig.ends
        await send(rig.server, frame[500:])
        assert await collect(rig.viewer, len(frame) - 500) == frame[500:]
        rig.pass_time(1)
        assert await rig.frames(1) == [wire.Frame(wire.PING, b"")]


async def test_idle_counts_the_viewers_own_bytes_alone():
    async with tunnel(idle_seconds=100, ping_seconds=1000) as rig:
        rig.pass_time(60)
        await send(rig.viewer, wire.frame(b"k"))
        await rig.frames_to_server(1)
        rig.pass_time(1)
        began = rig.relay.last_input
        for _ in range(9):
            await send(rig.viewer, wire.frame(b"", wire.PING))
            await send(rig.server, down(b"screen"))
            await until(lambda: rig.relay._life.heard)
            rig.pass_time(10)
        assert not rig.ends
        rig.pass_time(11)
        assert (await rig.ended()).reason == "idle"
        assert rig.relay.last_input == began
