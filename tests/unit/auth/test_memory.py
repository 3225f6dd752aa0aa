"""What is the memory store's own; the rules are in tests/contract."""

import asyncio

import pytest

from consolekit.auth import memory
from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.types import Revocation, Scope
from consolekit.testing import ManualClock, example_grant, example_hash, example_session


def test_it_is_of_one_process_and_takes_no_setting():
    assert MemoryTokenStore.shared is False
    assert "properties" not in MemoryTokenStore.config_schema
    assert isinstance(MemoryTokenStore.from_config({}, clock=ManualClock()), MemoryTokenStore)


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


async def test_many_grants_are_forgotten_at_once():
    clock = ManualClock()
    store = MemoryTokenStore(clock=clock)
    for number in range(100):
        await store.put(example_hash(str(number)), example_grant(clock))
    clock.advance(60)
    assert await store.purge() == 100
    assert await store.purge() == 0


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
