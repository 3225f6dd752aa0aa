"""A provider's filter in a relay and in a tunnel, over real sockets: what goes on, what counts, its ends."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest
import relayrig
import wire
from relayrig import Rig, fill, running, send, until

from consolekit.core.types import Mode
from consolekit.providers.rfbfilter import Begins, RfbFilter
from consolekit.proxy.sieve import Sift

KEY, REQUEST = b"\x04\x01" + bytes(6), b"\x03\x01" + bytes(8)
both = pytest.mark.parametrize("tunnel", [False, True], ids=["stream", "websocket"])


def watching(mode: Mode = Mode.VIEW) -> Sift:
    return Sift(RfbFilter(mode, begins=Begins.MESSAGES))


async def payload_at_server(rig: Rig, count: int, *, tunnel: bool) -> bytes:
    """So much payload of the viewer as the server has it."""
    if not tunnel:
        return await rig.to_server(count)
    found = b""
    while len(found) < count:
        found += b"".join(frame.payload for frame in await rig.frames_to_server(1))
    return found


def from_server(payload: bytes, *, tunnel: bool) -> bytes:
    return wire.frame(payload, mask=b"") if tunnel else payload


@both
async def test_a_viewer_that_lies_is_not_heard(tunnel):
    async with running(tunnel=tunnel, sift=watching()) as rig:
        for piece in (REQUEST + KEY, KEY + REQUEST[:4], REQUEST[4:]):
            await send(rig.viewer, wire.frame(piece))
        assert await payload_at_server(rig, 20, tunnel=tunnel) == REQUEST * 2
        assert (rig.relay.bytes_in, rig.relay.inputs) == (36, 2)
        await send(rig.server, from_server(b"screen", tunnel=tunnel))
        assert (await rig.frames(1))[0].payload == b"screen"


@both
async def test_what_was_read_before_goes_through_it_too(tunnel):
    early = KEY + REQUEST
    options = {"client_payload": wire.frame(early) if tunnel else early}
    options["server_bytes"] = from_server(b"screen", tunnel=tunnel)
    async with running(tunnel=tunnel, sift=watching(), **options) as rig:
        assert await payload_at_server(rig, 10, tunnel=tunnel) == REQUEST
        assert (await rig.frames(1))[0].payload == b"screen"
        assert rig.relay.inputs == 1


@both
@pytest.mark.parametrize("early", [False, True], ids=["later", "at once"])
async def test_what_is_not_known_ends_it_with_a_code_of_its_own(tunnel, early):
    bad = wire.frame(REQUEST + b"\x7f")
    unread = {"client_payload": (bad if tunnel else REQUEST + b"\x7f"), "server_bytes": b""} if early else {}
    async with running(tunnel=tunnel, sift=watching(), **unread) as rig:
        if not early:
            await send(rig.viewer, bad)
        (frame,) = await rig.frames_until_end()
        assert frame.opcode == wire.CLOSE
        assert int.from_bytes(frame.payload[:2], "big") == 4009
        rig.viewer.close()
        end = await rig.ended()
        assert (end.code, end.reason) == (4009, "viewer_refused")
        assert "type 127" in end.detail


@both
async def test_pictures_pings_and_requests_do_not_keep_a_session(tunnel):
    settings = {"idle_seconds": 100, "ping_seconds": 1000}
    async with running(tunnel=tunnel, sift=watching(Mode.INTERACT), **settings) as rig:
        rig.pass_time(60)
        await send(rig.viewer, wire.frame(KEY))
        assert await payload_at_server(rig, 8, tunnel=tunnel) == KEY
        rig.pass_time(1)
        began = rig.relay.last_input
        assert began == rig.clock.monotonic()
        for turn in range(1, 10):
            await send(rig.viewer, wire.frame(b"", wire.PING) + wire.frame(REQUEST))
            await send(rig.server, from_server(b"a picture", tunnel=tunnel))
            await until(lambda wanted=8 + 10 * turn: rig.relay.bytes_in == wanted)
            rig.pass_time(10)
        assert not rig.ends
        rig.pass_time(11)
        assert (await rig.ended()).reason == "idle"
        assert rig.relay.last_input == began


@both
async def test_megabytes_pass_unchanged_where_all_may(tunnel):
    """A paste of many messages, in frames of many sizes; with the server's bytes at the same time."""
    text = os.urandom(3 * 1024 * 1024 + 123)
    talk = b"\x06\0\0\0" + len(text).to_bytes(4, "big") + text + KEY * 1000
    sizes, frames, at = (1, 7, 125, 126, 4096, 65535, 65536, 200_001), [], 0
    while at < len(talk):
        size = sizes[len(frames) % len(sizes)]
        frames.append(wire.frame(talk[at : at + size], mask=os.urandom(4)))
        at += size
    async with running(tunnel=tunnel, sift=watching(Mode.INTERACT)) as rig:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            group.create_task(relayrig.send_all(rig.viewer, b"".join(frames)))
            got = group.create_task(all_payload(rig, len(talk), tunnel=tunnel))
        assert hashlib.sha256(got.result()).digest() == hashlib.sha256(talk).digest()
        assert rig.relay.inputs == 1001


async def all_payload(rig: Rig, count: int, *, tunnel: bool) -> bytes:
    if not tunnel:
        return await rig.to_server(count)
    payload, rest = bytearray(), b""
    while len(payload) < count:
        data = await relayrig.receive(rig.server, 1 << 18)
        assert data
        frames, rest = wire.parse(rest + data, of_client=True)
        payload += b"".join(frame.payload for frame in frames)
    return bytes(payload)


@both
async def test_a_server_that_takes_nothing_stops_the_viewer(tunnel):
    async with running(tunnel=tunnel, buffer=4096, sift=watching(Mode.INTERACT)) as rig:
        flood = wire.frame(REQUEST * 1000)
        taken = await fill(rig.viewer, flood)
        assert taken < 8 << 20
        assert rig.relay._server.stuck
        waiting = rig.relay._server.waiting
        assert waiting is None or len(waiting) < 256 * 1024


async def test_a_websocket_server_hears_a_goodbye_behind_whole_frames():
    async with running(tunnel=True, sift=watching()) as rig:
        late = wire.frame(REQUEST + KEY)
        await send(rig.viewer, wire.frame(REQUEST) + wire.frame(b"go", wire.PING) + late[:9])
        first, ping = await rig.frames_to_server(2)
        assert (first.payload, ping.opcode, ping.payload) == (REQUEST, wire.PING, b"go")
        await send(rig.viewer, late[9:] + wire.frame(b"\x03\xe8", wire.CLOSE))
        frames = await rig.frames_to_server_until_end()
        assert b"".join(frame.payload for frame in frames[:-1]) == REQUEST
        assert (frames[-1].opcode, frames[-1].payload) == (wire.CLOSE, b"\x03\xe8")
        rig.server.close()
        assert (await rig.ended()).reason == "viewer_closed"
