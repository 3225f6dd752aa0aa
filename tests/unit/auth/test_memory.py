"""What is the memory store's own; the rules are in tests/contract."""

import asyncio

import pytest

from consolekit.auth import memory
from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS
from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Revocation, Scope
from consolekit.testing import ManualClock, example_grant, example_hash, example_session


def test_it_is_of_one_process_and_takes_no_setting():
    assert MemoryTokenStore.shared is False
    assert "properties" not in MemoryTokenStore.config_schema
    assert isinstance(MemoryTokenStore.from_config({}, clock=ManualClock()), MemoryTokenStore)


async def test_its_clock_is_the_given_one():
    clock = ManualClock()
    store = MemoryTokenStore.from_config({}, clock=clock)
    await store.put(example_hash("a"), example_grant(clock, ttl=60))
    clock.advance(60)
    with pytest.raises(TokenRefused, match=r": expired$"):
        await store.take(example_hash("a"))


async def test_what_is_wrong_is_said():
    clock = ManualClock()
    store, grant = MemoryTokenStore(clock=clock), example_grant(clock)
    await store.put(example_hash("a"), grant)
    with pytest.raises(ValueError, match=r"^the token hash is already there$"):
        await store.put(example_hash("a"), grant)
    for ask in (store.take, store.inspect, lambda name: store.outcome(name, resume_hash="")):
        with pytest.raises(TokenRefused, match=r": unknown$"):
            await ask(example_hash("b"))


async def test_a_reader_without_news_comes_back_empty(monkeypatch):
    monkeypatch.setattr(memory, "WAIT_SECONDS", 0.0)
    assert await MemoryTokenStore(clock=ManualClock()).revocations(0) == (0, [])


async def test_every_waiting_reader_is_woken():
    store = MemoryTokenStore(clock=ManualClock())
    order = Revocation(scope=Scope.SERVER, value="web-1", at=1.0)
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(store.revocations(0)) for _ in range(8)]
        await asyncio.sleep(0)
        await store.revoke(order)
    assert {reader.result()[0] for reader in readers} == {1}


async def test_a_reader_that_has_everything_waits_for_what_is_new():
    store = MemoryTokenStore(clock=ManualClock())
    first, second = (Revocation(scope=Scope.SERVER, value=name, at=1.0) for name in ("web-1", "web-2"))
    await store.revoke(first)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(store.revocations(1))
        await asyncio.sleep(0)
        assert not reader.done()
        await store.revoke(second)
    assert reader.result() == (2, [second])


async def test_many_grants_are_forgotten_at_once():
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    for number in range(100):
        await store.put(example_hash(str(number)), example_grant(clock))
    clock.advance(60)
    assert await store.purge() == 100
    assert await store.purge() == 0


@pytest.mark.parametrize(("pause", "kept"), [(0, True), (OWNER_SECONDS - 1, True), (OWNER_SECONDS, False)])
async def test_purge_forgets_an_owner_when_it_counts_as_gone(pause, kept):
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    await store.keep_sessions("proxy", [example_session(example_grant(clock), clock)])
    clock.advance(pause)
    await store.purge()
    assert bool(store._sessions) is kept
    assert bool(await store.sessions()) is kept


@pytest.mark.parametrize(
    ("pause", "kept"), [(0, True), (REVOCATION_SECONDS - 1, True), (REVOCATION_SECONDS, False)]
)
async def test_purge_forgets_a_revocation_after_its_time(pause, kept):
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=clock.now()))
    clock.advance(pause)
    await store.purge()
    assert bool((await store.revocations(-1))[1]) is kept


@pytest.mark.parametrize("name", ["_lives", "_sessions", "_revocations"])
async def test_nothing_grows_for_ever(name):
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    grant = example_grant(clock)
    await store.put(example_hash("a"), grant)
    await store.keep_sessions("proxy", [example_session(grant, clock)])
    await store.revoke(Revocation(scope=Scope.SERVER, value="another", at=clock.now()))
    assert getattr(store, name)
    clock.advance(3600)
    await store.purge()
    assert not getattr(store, name)


async def test_only_the_order_to_end_a_session_ends_what_has_its_name():
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    grant = example_grant(clock)
    await store.put(example_hash("a"), grant)
    await store.keep_sessions("proxy", [example_session(grant, clock, id="alike")])
    for scope in (Scope.SERVER, Scope.SUBJECT, Scope.GRANT):
        assert await store.revoke(Revocation(scope=scope, value="alike", at=clock.now())) == 0
    assert await store.revoke(Revocation(scope=Scope.SESSION, value="alike", at=clock.now())) == 1
