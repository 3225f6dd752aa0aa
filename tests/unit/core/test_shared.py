from __future__ import annotations

import asyncio

import pytest

from consolekit.core.shared import Shared


class Login:
    """Counts its ends."""

    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


class Pool(Login):
    """Another kind."""


async def test_one_for_all_who_mean_the_same() -> None:
    shared = Shared()
    first, second = shared.use(Login, "a", Login), shared.use(Login, "a", Login)
    assert first.thing is second.thing
    assert shared.use(Login, "b", Login).thing is not first.thing


async def test_kinds_do_not_meet() -> None:
    shared = Shared()
    assert isinstance(shared.use(Login, "a", Login).thing, Login)
    assert isinstance(shared.use(Pool, "a", Pool).thing, Pool)


async def test_the_last_one_closes() -> None:
    shared = Shared()
    first, second = shared.use(Login, "a", Login), shared.use(Login, "a", Login)
    await first.aclose()
    await first.aclose()
    assert second.thing.closed == 0, "letting go twice counts once"
    await second.aclose()
    await second.aclose()
    assert first.thing.closed == 1


async def test_all_at_once() -> None:
    shared = Shared()
    uses = [shared.use(Login, "a", Login) for _ in range(50)]
    await asyncio.gather(*(use.aclose() for use in uses * 2))
    assert uses[0].thing.closed == 1


async def test_a_closing_one_is_not_given_out() -> None:
    shared = Shared()
    first = shared.use(Login, "a", Login)
    closing = asyncio.get_running_loop().create_task(first.aclose())
    await asyncio.sleep(0)
    second = shared.use(Login, "a", Login)
    await closing
    assert second.thing is not first.thing
    assert second.thing.closed == 0


async def test_what_cannot_be_made_is_not_there() -> None:
    shared = Shared()

    def fail() -> Login:
        raise ValueError("no SDK")

    with pytest.raises(ValueError, match="no SDK"):
        shared.use(Login, "a", fail)
    assert shared.use(Login, "a", Login).thing.closed == 0


async def test_two_do_not_see_each_other() -> None:
    assert Shared().use(Login, "a", Login).thing is not Shared().use(Login, "a", Login).thing
