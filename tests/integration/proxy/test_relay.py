"""The relay between real sockets: integrity, bounds, and every way in which a session ends."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os

import pytest
import relayrig
import wire
from relayrig import Authority, fill, read_to_end, reset, running, send, until

from consolekit.net.channels import receive
from consolekit.proxy.frames import Decoder

TLS = {
    "plain": {},
    "TLS client": {"tls_client": Authority()},
    "TLS server": {"tls_server": Authority()},
    "TLS both": {"tls_client": Authority(), "tls_server": Authority()},
}
LEAVES = {"FIN": lambda rig: rig.viewer.close(), "RST": lambda rig: reset(rig.viewer)}
every_kind = pytest.mark.parametrize("kind", TLS)
MANY = 3 * 1024 * 1024 + 12345


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut into pieces of the given sizes, again and again."""
    pieces, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return pieces
        pieces.append(data[at : at + size])
        at += size
    return pieces


async def collect(channel, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = await receive(channel, 1 << 16)
        assert piece
        data += piece
    return bytes(data)


async def collect_payload(channel, count: int) -> bytes:
    payload, rest = bytearray(), b""
    while len(payload) < count:
        found, rest = wire.parse(rest + await receive(channel, 1 << 16))
        payload += wire.payload_of(found)
    return bytes(payload)


# ---- bytes


@pytest.mark.parametrize("pair", [relayrig.tcp_pair, relayrig.unix_pair], ids=["tcp", "unix"])
@pytest.mark.parametrize("buffer", [0, 4096], ids=["usual buffers", "tiny buffers"])
@every_kind
async def test_megabytes_both_ways_at_once(kind, buffer, pair):
    up, down = os.urandom(MANY), os.urandom(MANY)
    framed = b"".join(wire.frame(piece) for piece in cut(up, [1, 8, 125, 126, 4096, 65535, 65536, 200_001]))
    async with running(buffer=buffer, pair=pair, **TLS[kind]) as rig:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            group.create_task(relayrig.send_all(rig.viewer, framed))
            group.create_task(relayrig.send_all(rig.server, down))
            at_server = group.create_task(collect(rig.server, MANY))
            at_viewer = group.create_task(collect_payload(rig.viewer, MANY))
        assert hashlib.sha256(at_server.result()).digest() == hashlib.sha256(up).digest()
        assert hashlib.sha256(at_viewer.result()).digest() == hashlib.sha256(down).digest()
        assert (rig.relay.bytes_in, rig.relay.bytes_out) == (MANY, MANY)


@every_kind
async def test_what_was_read_before_comes_first_and_once(kind):
    """Case 29: bytes behind the handshakes belong to the stream, in order."""
    async with running(client_payload=b"client ", server_bytes=b"server ", start=False, **TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"init"))
        await send(rig.server, b"init")
        rig.relay.start()
        assert await rig.to_server(11) == b"client init"
        frames = await rig.frames(2)
        assert wire.payload_of(frames) == b"server init"


async def test_the_decoder_goes_on_where_it_was():
    """Half a frame came with the request, the other half comes to the relay."""
    data, decoder = wire.frame(b"one frame"), Decoder()
    half = bytearray(data[:9])
    early = bytes(half[: decoder.feed(memoryview(half), 9)])
    async with running(decoder=decoder, client_payload=early) as rig:
        await send(rig.viewer, data[9:])
        assert await rig.to_server(9) == b"one frame"


async def test_every_split_of_a_viewers_stream():
    stream = wire.frame(b"ab") + wire.frame(b"hi", wire.PING) + wire.frame(b"x" * 126) + wire.frame(b"cd")
    expected = b"ab" + b"x" * 126 + b"cd"
    for at in range(1, len(stream)):
        async with running() as rig:
            await send(rig.viewer, stream[:at])
            await asyncio.sleep(0)
            await send(rig.viewer, stream[at:])
            assert await rig.to_server(len(expected)) == expected
            assert await rig.frames(1) == [wire.Frame(wire.PONG, b"hi")]


# ---- control frames


@every_kind
async def test_ping_is_answered(kind):
    async with running(**TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"are you there", wire.PING))
        assert await rig.frames(1) == [wire.Frame(wire.PONG, b"are you there")]


async def test_pings_between_fragments_and_the_newest_is_answered():
    async with running() as rig:
        pings = b"".join(wire.frame(b"%d" % n, wire.PING) for n in range(50))
        await send(rig.viewer, wire.frame(b"a", fin=False) + pings + wire.frame(b"b", 0))
        assert await rig.to_server(2) == b"ab"
        frames = await rig.frames(1)
        assert {frame.opcode for frame in frames} == {wire.PONG}
        assert frames[-1].payload == b"49"


@pytest.mark.parametrize(
    "flood", [wire.frame(b"p" * 100, wire.PING), wire.frame(b"", wire.PONG), wire.frame(b"")]
)
async def test_floods_of_frames_keep_nothing(flood):
    """Case 28: whoever sends control frames and reads nothing makes nobody keep anything."""
    async with running(buffer=4096) as rig:
        for _ in range(200):
            await send(rig.viewer, flood * 500)
            waiting = rig.relay._client.waiting
            assert waiting is None or len(waiting) <= 200
        await send(rig.viewer, wire.frame(b"still here"))
        assert await rig.to_server(10) == b"still here"


async def test_one_byte_fragments():
    async with running() as rig:
        await send(rig.viewer, wire.frame(b"x", fin=False) + wire.frame(b"x", 0, fin=False) * 20_000)
        assert await rig.to_server(20_001) == b"x" * 20_001


# ---- ends of the viewer


@every_kind
async def test_close_is_answered_and_the_server_sees_all_that_came_before(kind):
    async with running(**TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"last key") + wire.close(1000, b"bye"))
        assert await read_to_end(rig.server) == b"last key"
        frames = await rig.frames_until_end()
        assert wire.close_code(frames) == 1000
        rig.viewer.close()
        rig.server.close()
        assert (await rig.ended()).reason == "viewer_closed"


@pytest.mark.parametrize(("sent", "answered"), [(None, None), (1001, 1001), (4999, 4999)])
async def test_the_code_of_a_close_comes_back(sent, answered):
    async with running() as rig:
        await send(rig.viewer, wire.close(sent))
        assert wire.close_code(await rig.frames_until_end()) == answered
        assert (await rig.ended()).code == (sent or 1005)


async def test_a_viewer_that_neither_reads_nor_closes_after_its_close():
    async with running() as rig:
        await send(rig.viewer, wire.close(1000))
        assert (await rig.ended()).reason == "viewer_closed"


BROKEN = {
    "unmasked": (wire.frame(b"abc", mask=b""), 1002, "protocol_error"),
    "reserved bit": (wire.header(2, 0, rsv=4), 1002, "protocol_error"),
    "reserved opcode": (wire.header(3, 0), 1002, "protocol_error"),
    "length not minimal": (wire.header(2, 5, form=64), 1002, "protocol_error"),
    "long ping": (wire.header(wire.PING, 126), 1002, "protocol_error"),
    "orphan": (wire.frame(b"x", 0), 1002, "protocol_error"),
    "message in message": (wire.frame(b"x", fin=False) + wire.frame(b"x"), 1002, "protocol_error"),
    "bad close code": (wire.close(1005), 1002, "protocol_error"),
    "bad close reason": (wire.close(1000, b"\xff"), 1002, "protocol_error"),
    "text": (wire.frame(b"abc", wire.TEXT), 1003, "unsupported_data"),
    "too big": (wire.header(2, 16 * 1024 * 1024 + 1), 1009, "message_too_big"),
}


@pytest.mark.parametrize("after", [b"", wire.frame(b"more") * 5000], ids=["alone", "and more"])
@pytest.mark.parametrize("name", BROKEN)
async def test_broken_frames_end_the_session(name, after):
    """Cases 22 to 26: what came before is delivered, the code is right, nothing of what follows counts."""
    data, code, reason = BROKEN[name]
    async with running() as rig:
        await send(rig.viewer, wire.frame(b"before") + data + after)
        rig.viewer.shutdown_write()
        assert wire.close_code(await rig.frames_until_end()) == code
        assert (await read_to_end(rig.server)).startswith(b"before")
        end = await rig.ended()
        assert (end.code, end.reason) == (code, reason)
        assert end.detail


@pytest.mark.parametrize("leave", LEAVES)
@every_kind
async def test_a_viewer_that_vanishes(kind, leave):
    async with running(**TLS[kind]) as rig:
        await send(rig.viewer, wire.frame(b"abc"))
        await rig.to_server(3)
        LEAVES[leave](rig)
        assert await read_to_end(rig.server) == b""
        rig.server.close()
        end = await rig.ended()
        assert (end.code, end.reason) == (1006, "viewer_gone")


async def test_the_last_words_of_a_viewer_whose_connection_broke():
    """The viewer resets because of what we sent; what it had sent before is still read and delivered."""
    async with running() as rig:
        await send(rig.server, b"screen" * 10_000)
        await receive(rig.viewer, 1000)
        await send(rig.viewer, wire.frame(b"ctrl-alt-del"))
        reset(rig.viewer)
        assert await rig.to_server(12) == b"ctrl-alt-del"


# ---- ends of the server


@pytest.mark.parametrize("size", [0, 5, MANY])
@every_kind
async def test_a_server_that_closes_is_heard_to_its_end(kind, size):
    """Case 31: FIN. All bytes, then close 1000, even to a viewer that is slow."""
    data = os.urandom(size)
    async with running(buffer=4096, **TLS[kind]) as rig:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            received = group.create_task(rig.frames_until_end())
            await relayrig.send_all(rig.server, data)
            rig.server.shutdown_write()
        frames = received.result()
        assert wire.payload_of(frames) == data
        assert wire.close_code(frames) == 1000
        rig.viewer.close()
        assert (await rig.ended()).reason == "server_closed"


async def test_a_server_that_half_closes_still_hears_while_the_viewer_catches_up():
    async with running(buffer=4096) as rig:
        down = await fill(rig.server, b"d" * 65536, most=256 * 1024)
        rig.server.shutdown_write()
        await send(rig.viewer, wire.frame(b"still typing"))
        assert await rig.to_server(12) == b"still typing"
        frames = await rig.frames_until_end()
        assert len(wire.payload_of(frames)) == down
        assert wire.close_code(frames) == 1000


async def test_the_last_bytes_before_a_reset_are_delivered():
    async with running() as rig:
        await send(rig.server, b"kernel panic")
        await rig.frames(1)
        await send(rig.server, b" - not syncing")
        reset(rig.server)
        frames = await rig.frames_until_end()
        assert wire.payload_of(frames) == b" - not syncing"
        assert wire.close_code(frames) == 4004
        rig.viewer.close()
        assert (await rig.ended()).reason == "server_reset"


async def test_a_viewer_that_takes_the_last_bytes_late_gets_them_all():
    """Bytes lie in the system's buffers when the server is long gone; closing early would lose them."""
    async with running() as rig:
        await send(rig.server, b"s" * 300_000)
        rig.server.close()
        await until(lambda: rig.near[1].fileno() == -1)
        await send(rig.viewer, wire.frame(b"mouse") * 100)  # unread input must not turn our FIN into RST
        frames = await rig.frames_until_end()
        assert len(wire.payload_of(frames)) == 300_000
        assert wire.close_code(frames) == 1000


# ---- bounds


@every_kind
async def test_a_viewer_that_does_not_read_is_bounded_then_ended(kind):
    """Case 34."""
    async with running(buffer=4096, **TLS[kind]) as rig:
        accepted = await fill(rig.server, b"s" * 65536)
        assert accepted < 2 * 1024 * 1024
        assert len(rig.relay._client.waiting or b"") <= 192 * 1024
        assert await fill(rig.server, b"s" * 65536) == 0
        rig.pass_time(59)
        assert not rig.ends
        rig.pass_time(3)
        assert (await rig.ended()).reason == "stalled"


@every_kind
async def test_a_server_that_does_not_read_is_bounded_then_ended(kind):
    """Case 35: and meanwhile the screen goes on, and pings are not needed to see it."""
    async with running(buffer=4096, **TLS[kind]) as rig:
        accepted = await fill(rig.viewer, wire.frame(b"c" * 65000))
        assert accepted < 2 * 1024 * 1024
        assert len(rig.relay._server.waiting or b"") <= 128 * 1024
        await send(rig.server, b"screen")
        assert (await rig.frames(1))[0].payload == b"screen"
        rig.pass_time(59)
        assert not rig.ends
        rig.pass_time(3)
        end = await rig.ended()
        assert end.reason == "stalled"


async def test_progress_however_slow_is_no_stall():
    async with running(buffer=4096, ping_seconds=10_000) as rig, asyncio.TaskGroup() as group:
        filling = group.create_task(relayrig.send_all(rig.server, b"s" * MANY))
        for _ in range(10):
            await until(lambda: rig.relay._client.waiting)
            rig.pass_time(30)
            before = rig.relay._client.waiting
            while rig.relay._client.waiting is before:
                assert await receive(rig.viewer, 2048)
        assert not rig.ends
        filling.cancel()


@pytest.mark.parametrize("stuck", [(), ("viewer",), ("server",), ("viewer", "server")])
@every_kind
async def test_end_from_outside_in_any_state(kind, stuck):
    """Revocation: both sockets are closed, also when neither side takes a byte."""
    async with running(buffer=4096, **TLS[kind]) as rig:
        if "viewer" in stuck:
            await fill(rig.server, b"s" * 65536)
        if "server" in stuck:
            await fill(rig.viewer, wire.frame(b"c" * 65000))
        rig.relay.end(4000, "revoked")
        rig.relay.end(1001, "draining")
        if "viewer" not in stuck:
            assert wire.close_code(await rig.frames_until_end()) == 4000
        end = await rig.ended()
        assert (end.code, end.reason) == (4000, "revoked")


async def test_end_cuts_short_a_long_goodbye():
    """A viewer that is still fetching the last bytes of a server does not outlive its right to them."""
    async with running(buffer=4096) as rig:
        await fill(rig.server, b"s" * 65536, most=128 * 1024)
        rig.server.close()
        rig.relay.end(4000, "revoked")
        await rig.ended()


async def test_end_before_the_start():
    async with running(start=False) as rig:
        rig.relay.end(4000, "revoked")
        rig.relay.start()
        assert wire.close_code(await rig.frames_until_end()) == 4000
        assert (await rig.ended()).reason == "revoked"


# ---- time


async def test_a_silent_viewer_is_asked_and_stays():
    async with running() as rig:
        for _ in range(5):
            rig.pass_time(16)
            assert await rig.frames(1) == [wire.Frame(wire.PING, b"")]
            await send(rig.viewer, wire.frame(b"", wire.PONG))
            await until(lambda: rig.relay._life.heard)
        assert not rig.ends


@every_kind
async def test_a_viewer_that_does_not_answer_is_ended(kind):
    async with running(**TLS[kind]) as rig:
        rig.pass_time(14)
        assert rig.relay._life._asked_at is None
        rig.pass_time(2)
        await rig.frames(1)
        rig.pass_time(31)  # 15, and 15 more if its system acknowledged something meanwhile
        assert (await rig.ended()).reason == "ping_timeout"


async def test_a_viewer_that_talks_is_not_asked():
    async with running() as rig:
        for _ in range(40):
            await send(rig.viewer, wire.frame(b"k"))
            await rig.to_server(1)
            rig.pass_time(3)
        rig.relay.end(1001, "draining")
        assert [frame.opcode for frame in await rig.frames_until_end()] == [wire.CLOSE]


async def test_idle_counts_the_viewers_own_bytes_alone():
    async with running(idle_seconds=100, ping_seconds=1000) as rig:
        rig.pass_time(60)
        await send(rig.viewer, wire.frame(b"k"))
        await rig.to_server(1)
        rig.pass_time(1)
        began = rig.relay.last_input
        assert began == rig.clock.monotonic()
        for _ in range(9):
            await send(rig.viewer, wire.frame(b"", wire.PING))
            await send(rig.server, b"screen")
            await until(lambda: rig.relay._life.heard)
            rig.pass_time(10)
        assert not rig.ends
        rig.pass_time(11)
        assert (await rig.ended()).reason == "idle"
        assert rig.relay.last_input == began


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("pair", [relayrig.tcp_pair, relayrig.unix_pair], ids=["tcp", "unix"])
async def test_a_viewer_that_leaves_while_the_server_is_stuck_is_noticed(leave, pair):
    """It cannot be read then, because the server takes nothing: its departure is seen all the same.

    A FIN may not even arrive, behind bytes that nobody takes; but a ping is answered with RST.
    """
    async with running(buffer=4096, pair=pair) as rig:
        await fill(rig.viewer, wire.frame(b"c" * 65000))
        rig.pass_time(3)
        assert not rig.ends
        LEAVES[leave](rig)
        rig.pass_time(20)
        if not rig.ends:
            await until(rig.near[0].hung_up)
            rig.pass_time(3)
        assert (await rig.ended()).reason == "viewer_gone"
