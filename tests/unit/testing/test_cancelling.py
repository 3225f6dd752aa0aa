"""testing.cancelling: each place where a call waits, before and behind what it waits for."""

from __future__ import annotations

import asyncio

import pytest

from consolekit.testing.cancelling import Moment, cut


class Steps:
    """Waits three times, and keeps what it had got so far."""

    def __init__(self):
        self.done = []
        self.got = []

    async def run(self):
        try:
            await asyncio.sleep(0)
            self.done.append("yielded")
            self.done.append(await asyncio.get_running_loop().run_in_executor(None, self.work))
            async with asyncio.timeout(60):
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            return "end"
        finally:
            self.done.append("cleaned")

    def work(self):
        self.got.append("worked")
        return "worked"


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.name)
async def test_it_is_cancelled_at_each_wait_in_turn(moment):
    for at in range(3):
        steps = Steps()
        tried = await cut(steps.run, at, moment)
        assert tried.reached
        assert isinstance(tried.outcome, asyncio.CancelledError)
        assert steps.done == [*["yielded", "worked"][:at], "cleaned"]


@pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.name)
async def test_beyond_the_last_wait_nothing_is_cancelled(moment):
    steps = Steps()
    tried = await cut(steps.run, 3, moment)
    assert (tried.reached, tried.outcome) == (False, "end")


async def test_behind_means_that_it_was_there_and_is_lost():
    steps = Steps()
    await cut(steps.run, 1, Moment.BEHIND)
    assert steps.got == ["worked"]
    assert "worked" not in steps.done


async def test_who_swallows_it_is_seen():
    async def stubborn():
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "all the same"

    for moment in Moment:
        tried = await cut(stubborn, 0, moment)
        assert (tried.reached, tried.outcome) == (True, "all the same")


async def test_an_exception_is_an_outcome():
    async def refuse():
        await asyncio.sleep(0)
        raise LookupError("no")

    tried = await cut(refuse, 5, Moment.BEFORE)
    assert isinstance(tried.outcome, LookupError)
