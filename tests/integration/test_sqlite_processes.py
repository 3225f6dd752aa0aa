"""The SQLite store between real processes: revocations, kills, locks, a full disk."""

from __future__ import annotations

import asyncio
import textwrap

import pytest
from besides import Process

from consolekit.auth.base import AccessContext
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Revocation, Scope, SystemClock
from consolekit.testing import example_grant, example_session

CLOCK = SystemClock()
MINE = AccessContext(resume_hash="a" * 64)
PROCESSES = 4

PRELUDE = """
import asyncio, os, resource, secrets, signal, sqlite3, sys
from pathlib import Path
from consolekit.auth.base import AccessContext
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Secret, SystemClock
from consolekit.testing import example_grant, example_hash

path, clock = Path(sys.argv[1]), SystemClock()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "tokens.db"


@pytest.fixture
def start(path):
    running = []

    def begin(body):
        running.append(Process(PRELUDE + textwrap.dedent(body), str(path)))
        return running[-1]

    yield begin
    for process in running:
        process.close()


@pytest.fixture
async def store(path):
    store = SqliteTokenStore(path, clock=CLOCK)
    yield store
    await store.aclose()


@pytest.fixture
def tokens(store):
    return StoredTokens(store, clock=CLOCK)


async def test_a_fresh_file_is_made_once_by_many(start):
    opens = """
    hear()
    store = SqliteTokenStore(path, clock=clock)
    asyncio.run(store.put(example_hash(str(os.getpid())), example_grant(clock)))
    tell(len(asyncio.run(store.grants())))
    asyncio.run(store.aclose())
    """
    processes = [start(opens) for _ in range(PROCESSES)]
    for process in processes:
        process.tell("go")
    assert max(process.hear() for process in processes) == PROCESSES


async def test_a_revocation_is_heard_by_another_process(store, tokens, start):
    grant = example_grant(CLOCK)
    token = await tokens.issue(grant)
    await tokens.validate(token, MINE)
    await store.keep_sessions("proxy", [example_session(grant, CLOCK, id="s1")])
    listener = start("""
    async def main():
        store = SqliteTokenStore(path, clock=clock)
        cursor, _ = await store.revocations(-1)
        tell([info.id for info in await store.sessions()])
        heard = []
        while not heard:
            cursor, heard = await store.revocations(cursor)
        tell([[each.scope.value, each.value] for each in heard])
        await store.aclose()

    asyncio.run(main())
    """)
    assert listener.hear() == ["s1"]
    await store.revoke(Revocation(scope=Scope.SESSION, value="s1", at=CLOCK.now()))
    assert await asyncio.to_thread(listener.hear) == [["session", "s1"]]
    assert listener.end() == 0
    with pytest.raises(TokenRefused):
        await tokens.validate(token, MINE)


async def test_case_46_a_token_spent_by_a_killed_process_stays_spent(tokens, start):
    grant = example_grant(CLOCK)
    token = await tokens.issue(grant)
    killed = start("""
    async def main():
        tokens = StoredTokens(SqliteTokenStore(path, clock=clock), clock=clock)
        await tokens.validate(Secret(hear()), AccessContext(resume_hash="a" * 64))
        tell("taken")
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
    """)
    killed.tell(token.reveal())
    assert killed.hear() == "taken"
    assert killed.end() == -9
    with pytest.raises(TokenRefused):
        await tokens.validate(token, AccessContext(resume_hash="b" * 64))
    assert await tokens.validate(token, MINE) == grant, "its own browser may come back"


async def test_case_45_a_locked_file_is_unavailable_then_heals(store, tokens, start, caplog):
    grant = example_grant(CLOCK, ttl=600)
    token = await tokens.issue(grant)
    holder = start("""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    tell("locked")
    hear()
    db.execute("ROLLBACK")
    tell("free")
    """)
    assert holder.hear() == "locked"
    calls = [
        tokens.validate(token, MINE),
        tokens.issue(example_grant(CLOCK)),
        store.revoke(Revocation(scope=Scope.SERVER, value="web-2", at=CLOCK.now())),
        store.purge(),
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(calls)
    assert "database is locked" in caplog.text
    assert token.reveal() not in caplog.text
    holder.tell("let go")
    assert holder.hear() == "free"
    assert await tokens.validate(token, MINE) == grant, "what was refused unheard is not spent"
    assert await store.grants() == [grant], "what was not kept is not there"


async def test_case_45_a_file_that_is_locked_at_the_start_is_unavailable(path, start):
    await SqliteTokenStore(path, clock=CLOCK).aclose()
    holder = start("""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    db.execute("DELETE FROM grants")
    tell("locked")
    hear()
    """)
    assert holder.hear() == "locked"
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await asyncio.to_thread(SqliteTokenStore, path, clock=CLOCK)


def test_a_full_disk_is_unavailable_then_heals(start):
    """A limit on the size of files: writes fail as they do when nothing is left, for root too."""
    full = start("""
    async def main():
        store = SqliteTokenStore(path, clock=clock)
        kept = 0
        await store.put(example_hash("before"), example_grant(clock))
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
        try:
            while True:
                await store.put(example_hash(f"during {kept}"), example_grant(clock))
                kept += 1
        except StoreUnavailable as exc:
            tell(str(exc))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.put(example_hash("after"), example_grant(clock))
        tell(len(await store.grants()) - kept)
        await store.aclose()

    asyncio.run(main())
    """)
    assert "SQLITE_" in full.hear()
    assert full.hear() == 2, "what was kept before and after, and nothing half-written"
    assert full.end() == 0
