"""Catalogue, cases 50 and 51: many at once, one who wants all of it, and one console for several."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
import websockets.exceptions
from gateway import CALLER, Gateway, PipeProvider, echo, target
from hostile import Answer, Viewer, house, resident, wire

from consolekit.net.listener import ListenerSettings
from consolekit.proxy.session import Timeouts
from consolekit.proxy.sessions import Limits

PLENTY = 10_000
ROOM = Limits(sessions=PLENTY, per_server=PLENTY, per_subject=PLENTY, per_address=PLENTY)
CROWD = {  # all of them, their servers and we share one process: what takes long here is no fault
    "listener_settings": ListenerSettings(pending=PLENTY, pending_per_address=PLENTY, request_seconds=60.0),
    "timeouts": Timeouts(connect=60.0, handshake=60.0),
}


async def tokens(gateway: Gateway, count: int, subject: str) -> list[str]:
    body = {"protocol": "vnc", "type": "novnc", "subject": subject}
    links = [gateway.kit.create("demo", body, caller=CALLER) for _ in range(count)]
    return [link.token.reveal() for link in await asyncio.gather(*links)]


async def knock(stack: AsyncExitStack, gateway: Gateway, given: list[str]) -> list[tuple[Answer, Viewer]]:
    """Show all tokens at once, each on a connection of its own, which stays."""
    raw = [Viewer((await stack.enter_async_context(wire(gateway))).socket) for _ in given]
    await asyncio.gather(*(each.send(gateway.handshake(one)) for each, one in zip(raw, given, strict=True)))
    return [(await each.answer(), each) for each in raw]


async def test_case_50_many_at_once_all_get_in_and_cost_what_they_should() -> None:
    count = 300
    async with target(echo) as endpoint:
        provider = PipeProvider({"demo": endpoint})
        async with house(provider, limits=ROOM, **CROWD) as gateway, AsyncExitStack() as stack:
            given = await tokens(gateway, count, "many")
            before = resident()
            answers = await knock(stack, gateway, given)
            assert [answer.status for answer, _ in answers] == [101] * count
            assert len(gateway.proxy.sessions) == len(provider.opened) == count
            # the test's own ends of 600 connections are in it too
            assert (resident() - before) / count <= 3 * 40 * 1024


async def test_case_50_one_who_wants_five_hundred_gets_the_quota_and_nobody_else_pays() -> None:
    limits = Limits(sessions=PLENTY, per_server=PLENTY, per_subject=32, per_address=PLENTY)
    async with target(echo) as endpoint:
        provider = PipeProvider({"demo": endpoint})
        async with (
            house(provider, limits=limits, **CROWD) as gateway,
            AsyncExitStack() as stack,
        ):
            answers = await knock(stack, gateway, await tokens(gateway, 500, "greedy"))
            assert sorted(answer.status for answer, _ in answers) == [101] * 32 + [429] * 468
            refused = {
                (answer.code, answer.headers.get("retry-after"))
                for answer, _ in answers
                if answer.status != 101
            }
            assert {code for code, _ in refused} == {"limit_reached"}
            assert len(provider.opened) == 32
            ((answer, _),) = await knock(stack, gateway, await tokens(gateway, 1, "modest"))
            assert answer.status == 101


@pytest.mark.parametrize("allowed", [1, 2])
async def test_case_51_one_console_for_as_many_as_the_setting_says(allowed: int) -> None:
    async with target(echo) as endpoint:
        provider = PipeProvider({"demo": endpoint})
        async with house(provider, limits=Limits(per_server=allowed)) as gateway, AsyncExitStack() as stack:
            viewers = [
                await stack.enter_async_context(gateway.open(await gateway.token())) for _ in range(allowed)
            ]
            late = await gateway.token()
            with pytest.raises(websockets.exceptions.InvalidStatus) as refusal:
                await gateway.open(late)
            assert refusal.value.response.status_code == 429
            for viewer in viewers:  # who is there stays
                await viewer.send(b"mine")
                assert await viewer.recv() == b"mine"
            await viewers[0].close()
            await stack.enter_async_context(gateway.open(await gateway.token()))
            assert len(provider.opened) == allowed + 1
