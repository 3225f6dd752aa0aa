"""Revocations over a real Redis: heard at once, nothing missed when the channel or the data is lost."""

from __future__ import annotations

import asyncio

import pytest
from redisserver import RedisServer

from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Revocation, Scope, SystemClock

pytestmark = pytest.mark.external

CLOCK = SystemClock()
PATIENCE = 20


@pytest.fixture
def redis():
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
async def store(redis):
    store = redis.store(CLOCK)
    yield store
    await store.aclose()


@pytest.fixture
async def other(redis):
    """What another host has."""
    other = redis.store(CLOCK)
    yield other
    await other.aclose()


def order(value):
    return Revocation(scope=Scope.SESSION, value=value, at=CLOCK.now())


async def listening(redis, store, cursor, *, readers=1):
    """Readers that wait; comes back when Redis has their subscription."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(store.revocations(cursor)) for _ in range(readers)]
    async with asyncio.timeout(PATIENCE):
        while subscribers(redis) != 1:
            await asyncio.sleep(0.01)
    return tasks


def subscribers(redis):
    return redis.say("CLIENT", "LIST", "TYPE", "pubsub").count(b"cmd=subscribe")


async def lost(*readers):
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(readers), answers


async def test_many_readers_share_one_subscription(redis, store, other):
    cursor, _ = await store.revocations(-1)
    readers = await listening(redis, store, cursor, readers=5)
    first = order("s1")
    await other.revoke(first)
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*readers)
    assert [found for _, found in answers] == [[first]] * 5
    assert subscribers(redis) == 1


async def test_a_lost_channel_is_an_error_and_nothing_is_missed(redis, store, other):
    cursor, _ = await store.revocations(-1)
    readers = await listening(redis, store, cursor, readers=2)
    redis.say("CLIENT", "KILL", "TYPE", "pubsub")
    await lost(*readers)
    meanwhile = [order("s1"), order("s2")]
    for each in meanwhile:
        await other.revoke(each)
    async with asyncio.timeout(PATIENCE):
        cursor, found = await store.revocations(cursor)
    assert found == meanwhile
    (reader,) = await listening(redis, store, cursor)
    later = order("s3")
    await other.revoke(later)
    assert (await reader)[1] == [later]


async def test_a_server_that_falls_silent_is_a_lost_channel(redis, store):
    cursor, _ = await store.revocations(-1)
    (reader,) = await listening(redis, store, cursor)
    with redis.frozen():
        await lost(reader)
        await lost(store.revocations(cursor))
    order_ = order("s1")
    await store.revoke(order_)
    async with asyncio.timeout(PATIENCE):
        assert (await store.revocations(cursor))[1] == [order_]


async def test_orders_after_the_data_were_lost_all_come(redis, store, other):
    """A new life of the data must not use the numbers that readers have seen, however many orders it has."""
    await other.revoke(order("before"))
    cursor, _ = await store.revocations(-1)
    redis.say("FLUSHALL")
    fresh = [order("s1"), order("s2"), order("s3")]
    for each in fresh:
        await other.revoke(each)
    assert (await store.revocations(cursor))[1] == fresh


async def test_orders_after_a_failover_that_lost_some_all_come(redis, store, other):
    """A replica that is a little behind: its head is one that readers have passed."""
    for name in ("kept", "lost 1", "lost 2"):
        await other.revoke(order(name))
    cursor, kept = await store.revocations(-1)
    assert len(kept) == 3
    redis.say("ZREMRANGEBYRANK", "{consolekit}:orders", "1", "2")
    redis.say("SET", "{consolekit}:head", f"{cursor - 2}")
    fresh = [order("s1"), order("s2"), order("s3")]
    for each in fresh:
        await other.revoke(each)
    assert (await store.revocations(cursor))[1] == fresh


async def test_a_reader_is_told_when_its_store_is_closed(redis):
    store = redis.store(CLOCK)
    cursor, _ = await store.revocations(-1)
    (reader,) = await listening(redis, store, cursor)
    await store.aclose()
    await lost(reader)
