"""How the tables come into real databases, and what is said of tables that are not ours."""

import asyncio
import stat

import databases
import pytest
from besides import Process
from sqlalchemy import delete, text, update

from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlschema import META, REVOCATIONS, SCHEMA_VERSION
from consolekit.core.errors import ConfigError, StoreUnavailable
from consolekit.core.types import SystemClock
from consolekit.testing import example_grant, example_hash

CLOCK = SystemClock()
PROCESSES = 4


@pytest.fixture(params=databases.KINDS)
def url(request, tmp_path):
    return databases.fresh(request.param, tmp_path)


@pytest.fixture
def make(url):
    return lambda: SqlTokenStore.from_config({"url": url}, clock=CLOCK)


@pytest.fixture
async def store(make):
    store = make()
    yield store
    await store.aclose()


async def write(store, *statements):
    async def work(db):
        for statement in statements:
            await db.execute(statement)

    await store._pool.call(work, write=True)


NEWER = update(META).where(META.c.name == "schema").values(value=SCHEMA_VERSION + 1)


async def test_tables_of_a_newer_version_are_refused(store, make):
    await write(store, NEWER)
    other = make()
    with pytest.raises(ConfigError, match=f"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}"):
        await other.revocations(-1)
    await other.aclose()


async def test_tables_that_become_newer_while_they_are_used_are_no_wrong_configuration(store):
    await store.grants()
    await write(store, NEWER)
    store._pool.unavailable("an outage")
    with pytest.raises(StoreUnavailable, match="another consolekit"):
        await store.grants()


async def test_a_half_made_set_is_completed(store, make):
    """MariaDB commits each table as it is made: whoever makes them may die in between."""
    await write(store, delete(META), text(f"DROP TABLE {REVOCATIONS.name}"))
    other = make()
    await other.put(example_hash("a"), example_grant(CLOCK))
    assert (await other.revocations(-1)) == (0, [])
    await other.aclose()


async def test_a_database_that_was_replaced_gets_its_tables(store):
    await store.grants()
    await write(store, *(text(f"DROP TABLE {table}") for table in META.metadata.tables))
    with pytest.raises(StoreUnavailable):
        await store.grants()
    assert await store.grants() == []


def test_tables_are_made_once_by_many(url):
    opens = """
import asyncio, os
from consolekit.auth.sql import SqlTokenStore
from consolekit.core.types import SystemClock
from consolekit.testing import example_grant, example_hash

async def main():
    clock = SystemClock()
    store = SqlTokenStore.from_config({"url": sys.argv[1]}, clock=clock)
    tell("ready")
    hear()
    await store.put(example_hash(str(os.getpid())), example_grant(clock))
    tell(len(await store.grants()))
    await store.aclose()

asyncio.run(main())
"""
    processes = [Process(opens, url) for _ in range(PROCESSES)]
    try:
        assert [process.hear() for process in processes] == ["ready"] * PROCESSES
        for process in processes:
            process.tell("go")
        assert max(process.hear() for process in processes) == PROCESSES
    finally:
        for process in processes:
            process.close()


async def test_a_file_is_its_owners_alone(tmp_path):
    store = SqlTokenStore.from_config({"url": databases.fresh("sqlite", tmp_path)}, clock=CLOCK)
    await asyncio.gather(store.grants(), store.sessions())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    await store.aclose()


async def test_a_user_without_the_right_to_make_tables_is_told_why():
    server = databases.postgres_server()
    name = server.database()
    server.sql("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'x'")
    url = f"postgresql://reader:x@127.0.0.1:{server.port}/{name}"
    store = SqlTokenStore.from_config({"url": url}, clock=CLOCK)
    with pytest.raises(StoreUnavailable, match="InsufficientPrivilegeError"):
        await store.grants()
    await store.aclose()
