"""A timed store is the store: same answers, same errors, same closing; and its calls are measured."""

from __future__ import annotations

import pytest

from consolekit.auth.base import TokenStore
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.timed import OPERATIONS, TimedStore
from consolekit.core.errors import TokenRefused
from consolekit.core.timings import Step, Timing, Timings
from consolekit.core.types import Revocation, Scope, SystemClock
from consolekit.testing import TokenStoreContract, example_grant, example_hash
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


async def test_every_call_is_told_by_its_own_name() -> None:
    told: list[str] = []
    timings, clock = Timings(SystemClock()), SystemClock()
    timings.listen(lambda timing: told.append(timing.labels[0]))
    store = TimedStore(MemoryTokenStore(clock=clock), timings)
    grant, token = example_grant(clock), example_hash("a")
    revocation = Revocation(scope=Scope.GRANT, value=grant.id, at=clock.now())
    await store.put(token, grant)
    await store.inspect(token)
    await store.take(token, resume_hash=example_hash("b"))
    await store.release(grant.id, outcome="viewer_gone", resume_until=clock.now() + 1)
    await store.grants()
    await store.keep_sessions("proxy", [])
    await store.sessions()
    await store.revoke(revocation)
    await store.purge()
    assert set(told) == set(OPERATIONS)
    assert told == [
        "put", "inspect", "take", "release", "grants", "keep_sessions", "sessions", "revoke", "purge"
    ]  # fmt: skip
