"""What happens to calls when the database hangs, dies, comes back, or is waited for; on real servers."""

import asyncio
import re

import databases
import pytest
import trustme
from sqlalchemy import select, text

from consolekit.auth.base import STORE_SECONDS
from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlschema import GRANTS
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Grant, Revocation, Scope, SystemClock
from consolekit.testing import example_grant, example_hash

CLOCK = SystemClock()
HASH = example_hash("a")
HEALED_SECONDS = 5


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request):
    return databases.server_of(request.param)


@pytest.fixture
async def store(server):
    store = SqlTokenStore.from_config({"url": server.url(server.database())}, clock=CLOCK)
    for number in range(20):
        await store.put(example_hash(f"{number}"), example_grant(CLOCK, id=f"g{number}", ttl=600))
    yield store
    await store.aclose()


async def answers(*calls):
    """What they give or raise, all within the store's time."""
    async with asyncio.timeout(STORE_SECONDS):
        return await asyncio.gather(*calls, return_exceptions=True)


def takes(store, numbers):
    return [store.take(example_hash(f"{number}")) for number in numbers]


async def healed(store, number):
    """Wait until a token opens again, as long as that may take."""
    async with asyncio.timeout(HEALED_SECONDS):
        while True:
            try:
                return await store.take(example_hash(f"{number}"), resume_hash=HASH)
            except StoreUnavailable:
                continue


def all_unavailable(given):
    return [type(each) for each in given] == [StoreUnavailable] * len(given)


async def test_case_45_a_server_that_hangs(server, store, caplog):
    server.freeze()
    try:
        assert all_unavailable(await answers(*takes(store, range(12)), store.sessions(), store.purge()))
        assert all_unavailable(await answers(*takes(store, range(12)))), "with every connection stuck, too"
    finally:
        server.thaw()
    assert await healed(store, 15)
    told = [line for line in caplog.messages if "no answer within" in line]
    assert len(told) == 1, "one line for one reason"
    assert "works again" in caplog.messages[-1]


async def test_case_45_a_server_that_dies_and_comes_back(server, store):
    server.stop()
    try:
        assert all_unavailable(await answers(*takes(store, range(12)), store.grants()))
    finally:
        server.start()
    assert await healed(store, 15)
    assert all(isinstance(each, Grant) for each in await answers(*takes(store, range(12)))), "none was spent"


async def test_case_45_connections_that_died_in_the_pool_fail_no_call(server, store):
    await answers(*(store.inspect(example_hash("1")) for _ in range(12)))
    server.stop()
    server.start()
    given = await answers(*takes(store, range(12)))
    assert all(isinstance(each, Grant) for each in given), given


async def test_a_locked_row_is_waited_for_and_no_other_is(server, store):
    locked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(db):
        await db.execute(select(GRANTS).where(GRANTS.c.token_hash == example_hash("1")).with_for_update())
        locked.set()
        await go_on.wait()

    other = SqlTokenStore.from_config(
        {"url": store._pool._url.render_as_string(hide_password=False)}, clock=CLOCK
    )
    holding = asyncio.get_running_loop().create_task(other._pool.call(hold, write=True))
    await locked.wait()
    first, second = await answers(*takes(store, [1, 2]))
    assert isinstance(first, StoreUnavailable)
    assert re.search(r"\((55P03|1205)\)", str(first)), "the reason is heard before the deadline"
    assert isinstance(second, Grant)
    go_on.set()
    await asyncio.wait([holding])
    holding.exception()
    assert isinstance(await healed(store, 1), Grant)
    await other.aclose()


async def test_cancelled_calls_leave_no_reply_to_the_next(server, store):
    """Each call is for another grant: a reply that was left behind would be seen as the wrong one."""
    loop = asyncio.get_running_loop()
    for number in range(200):
        call = loop.create_task(store.inspect(example_hash(f"{number % 10}")))
        for _ in range(number % 23):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        wanted = 10 + number % 10
        assert (await store.inspect(example_hash(f"{wanted}"))).grant.id == f"g{wanted}"
    assert not store._pool._tasks - {task for task in store._pool._tasks if task.cancelling()}


async def test_what_was_cancelled_before_its_commit_is_not_done(server, store):
    begun = asyncio.Event()

    async def half(db):
        await db.execute(GRANTS.delete())
        begun.set()
        await asyncio.Event().wait()

    call = asyncio.get_running_loop().create_task(store._pool.call(half, write=True))
    await begun.wait()
    call.cancel()
    await asyncio.wait([call])
    assert isinstance(await healed(store, 3), Grant)
    assert len(await store.grants()) == 20


async def test_deadlocks_are_tried_again(server, store):
    """Two that lock the same rows in opposite order: the database ends one, and it is done all the same."""
    met = asyncio.Barrier(2)
    tries = []

    async def cross(db, first, second):
        tries.append(first)
        row = select(GRANTS.c.number)
        await db.execute(row.where(GRANTS.c.token_hash == example_hash(first)).with_for_update())
        if len(tries) <= 2:
            await met.wait()
        await db.execute(row.where(GRANTS.c.token_hash == example_hash(second)).with_for_update())

    calls = [store._pool.call(lambda db, pair=pair: cross(db, *pair), write=True) for pair in ("12", "21")]
    given = await asyncio.gather(*calls, return_exceptions=True)
    assert given == [None, None]
    assert len(tries) > 2


async def test_case_45_a_server_turned_read_only_and_back(server, store):
    database = server.url("").rpartition("/")[0]
    if database.startswith("postgresql"):
        name = store._pool._url.database
        switch = [
            f"ALTER DATABASE {name} SET default_transaction_read_only = {word}" for word in ("on", "off")
        ]

        async def now_read_only(db):
            await db.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))

        server.sql(switch[0])
        await store._pool.call(now_read_only)
    else:
        switch = [f"SET GLOBAL read_only = {word}" for word in ("1", "0")]
        server.sql("REVOKE READ ONLY ADMIN ON *.* FROM consolekit")
        server.sql(switch[0])
        await store._pool._engine.dispose()
    try:
        order = Revocation(scope=Scope.GRANT, value="g5", at=CLOCK.now())
        assert all_unavailable(await answers(*takes(store, [1, 2]), store.revoke(order)))
    finally:
        server.sql(switch[1])
    assert isinstance(await healed(store, 1), Grant)


async def test_a_store_belongs_to_one_event_loop(store):
    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        await asyncio.to_thread(lambda: asyncio.run(store.grants()))


async def test_a_closed_store_is_unavailable_and_closing_waits_for_no_server(server):
    store = SqlTokenStore.from_config({"url": server.url(server.database())}, clock=CLOCK)
    await asyncio.gather(*(store.grants() for _ in range(12)))
    server.freeze()
    try:
        async with asyncio.timeout(5):
            await store.aclose()
            await store.aclose()
    finally:
        server.thaw()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.grants()


async def test_with_a_ca_file_the_connection_is_encrypted_and_the_server_verified(tmp_path):
    server, ca = databases.postgres_server(), trustme.CA()
    server.use_tls(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    for name, authority in (("ours", ca), ("other", trustme.CA())):
        authority.cert_pem.write_to_path(tmp_path / name)
    database = server.database()
    config = {"url": server.url(database), "ca_file": str(tmp_path / "ours")}
    store = SqlTokenStore.from_config(config, clock=CLOCK)
    await store.revocations(-1)
    encrypted = (
        f"SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname='{database}'"
    )
    assert server.sql(encrypted).split() == ["t"], "the one that listens, too"
    await store.aclose()
    config["ca_file"] = str(tmp_path / "other")
    stranger = SqlTokenStore.from_config(config, clock=CLOCK)
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.grants()
    await stranger.aclose()
