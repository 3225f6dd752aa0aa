"""A timed store is the store: same answers, same errors, same closing; and its calls are measured."""

from __future__ import annotations

import pytest

from consolekit.auth.base import TokenStore
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.timed import OPERATIONS, TimedStore
from consolekit.core.errors import TokenRefused
from consolekit.core.timings import Step, Timing, Timings
from consolekit.core.types import SystemClock
from consolekit.testing import TokenStoreContract
from consolekit.testing.clock import ManualClock


class TestTimedStore(TokenStoreContract):
    """Whatever is asked of a store holds for one that is measured."""

    async def make_store(self, clock: ManualClock) -> TokenStore:
        return TimedStore(MemoryTokenStore(clock=clock), Timings(clock))


async def test_calls_are_told_by_operation() -> None:
    told: list[Timing] = []
    timings = Timings(SystemClock())
    timings.listen(told.append)
    store = TimedStore(MemoryTokenStore(clock=SystemClock()), timings)
    with pytest.raises(TokenRefused):
        await store.take("0" * 64)
    await store.sessions()
    await store.revocations(-1)  # waits by design
    assert [(timing.step, timing.labels, timing.failed) for timing in told] == [
        (Step.STORE, ("take",), False),
        (Step.STORE, ("sessions",), False),
    ]


def test_every_operation_of_the_contract_is_measured() -> None:
    assert {*OPERATIONS, "revocations"} == TokenStore.__abstractmethods__ - {"from_config"}


def test_what_is_the_stores_own_is_still_there() -> None:
    assert TimedStore(MemoryTokenStore(clock=SystemClock()), Timings(SystemClock())).shared is False


def test_it_is_made_around_a_store_alone() -> None:
    with pytest.raises(TypeError, match="around another"):
        TimedStore.from_config({}, clock=SystemClock())
