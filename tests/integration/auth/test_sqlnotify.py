"""How followers learn of news: told by PostgreSQL, or by asking; a lost connection is said and healed."""

import asyncio

import databases
import pytest

from consolekit.auth.sql import SqlTokenStore
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Revocation, Scope, SystemClock

CLOCK = SystemClock()


def order(name):
    return Revocation(scope=Scope.GRANT, value=name, at=CLOCK.now())


@pytest.fixture
def server():
    return databases.postgres_server()


@pytest.fixture
async def store(server):
    store = SqlTokenStore.from_config({"url": server.url(server.database())}, clock=CLOCK)
    yield store
    await store.aclose()


@pytest.fixture
async def other(store):
    url = store._pool._url.render_as_string(hide_password=False)
    other = SqlTokenStore.from_config({"url": url}, clock=CLOCK)
    yield other
    await other.aclose()


async def waiting(store, cursor):
    """A follower that is waiting for news."""
    task = asyncio.get_running_loop().create_task(store.revocations(cursor))
    while not store._news._told._waiters:
        await asyncio.sleep(0.005)
        assert not task.done()
    return task


async def test_a_follower_is_told_not_asked(store, other, monkeypatch):
    monkeypatch.setattr("consolekit.auth.sqlnotify._LOOK_SECONDS", 60)
    cursor, _ = await store.revocations(-1)
    follower = await waiting(store, cursor)
    await other.revoke(order("g"))
    async with asyncio.timeout(5):
        _, found = await follower
    assert [kept.value for kept in found] == ["g"]


async def test_several_followers_share_one_connection(store, server):
    cursor, _ = await store.revocations(-1)
    followers = [await waiting(store, cursor) for _ in range(3)]
    name = store._pool._url.database
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = "
    assert server.sql(f"{query}'{name}'").strip() == "1"
    await store.revoke(order("g"))
    assert [len(found) for _, found in await asyncio.gather(*followers)] == [1, 1, 1]


async def test_a_lost_connection_is_said_and_nothing_is_missed(store, other, server):
    cursor, _ = await store.revocations(-1)
    follower = await waiting(store, cursor)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = "
    server.sql(f"{end}'{store._pool._url.database}'")
    with pytest.raises(StoreUnavailable, match="hears of revocations was lost"):
        await follower
    await other.revoke(order("meanwhile"))
    cursor, found = await store.revocations(cursor)
    assert [kept.value for kept in found] == ["meanwhile"]
    follower = await waiting(store, cursor)
    await other.revoke(order("later"))
    assert [kept.value for kept in (await follower)[1]] == ["later"]


async def test_a_server_that_hangs_is_noticed_by_who_only_listens(store, server):
    cursor, _ = await store.revocations(-1)
    follower = await waiting(store, cursor)
    server.freeze()
    try:
        async with asyncio.timeout(6):
            with pytest.raises(StoreUnavailable):
                await follower
    finally:
        server.thaw()


async def test_a_connection_that_is_deaf_is_replaced(store, other):
    """As behind a firewall that has forgotten it: no error, and no news either."""
    cursor, _ = await store.revocations(-1)
    follower = await waiting(store, cursor)
    deaf = store._news._driver
    await deaf.remove_listener("consolekit_revocations", store._news._hear)
    await other.revoke(order("unheard"))
    async with asyncio.timeout(6):
        cursor, found = await follower
    assert [kept.value for kept in found] == ["unheard"]
    follower = await waiting(store, cursor)
    assert store._news._driver is not deaf
    await other.revoke(order("heard"))
    assert [kept.value for kept in (await follower)[1]] == ["heard"]


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
async def test_the_others_are_asked(kind, tmp_path):
    url = databases.fresh(kind, tmp_path)
    store, other = (SqlTokenStore.from_config({"url": url}, clock=CLOCK) for _ in range(2))
    cursor, _ = await store.revocations(-1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        follower = group.create_task(store.revocations(cursor))
        await other.revoke(order("g"))
    assert [kept.value for kept in follower.result()[1]] == ["g"]
    await store.aclose()
    await other.aclose()
