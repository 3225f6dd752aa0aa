"""What holds for both kinds of relay: one end, told once, both sockets closed, nothing left on the wheel."""

from __future__ import annotations

import pytest
import wire
from relayrig import fill, running, send

KINDS = {"byte stream": {"tunnel": False}, "websocket": {"tunnel": True}}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
async def test_the_first_reason_stays(kind):
    async with running(**KINDS[kind]) as rig:
        for code, reason in ((4002, "idle"), (4000, "revoked"), (1001, "draining")):
            rig.relay.end(code, reason)
        assert wire.close_code(await rig.frames_until_end()) == 4002
        rig.viewer.close()
        assert (await rig.ended()).reason == "idle"
        rig.relay.end(4000, "revoked")
        assert len(rig.ends) == 1


@every_kind
async def test_an_end_without_any_help_of_the_peers_comes_all_the_same(kind):
    async with running(**KINDS[kind]) as rig:
        rig.relay.end(4000, "revoked")
        assert (await rig.ended()).reason == "revoked"


@every_kind
async def test_the_wheel_has_it_while_it_runs(kind):
    async with running(start=False, **KINDS[kind]) as rig:
        assert len(rig.wheel) == 0
        rig.relay.start()
        assert len(rig.wheel) == 1
        rig.relay.end(1001, "draining")
        assert len(rig.wheel) == 0


@every_kind
async def test_a_side_is_not_read_while_bytes_wait_for_the_other(kind):
    frame = wire.frame(b"s" * 65532, mask=b"")
    async with running(buffer=4096, **KINDS[kind]) as rig:
        await fill(rig.server, frame)
        assert rig.relay._client.stuck
        assert not rig.relay._server.reading
        await send(rig.viewer, wire.frame(b"typed"))
        assert await rig.to_server(5)
