"""The SQLite store between real processes: races, revocations, kills, locks, a full disk."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap

import pytest

from consolekit.auth.base import AccessContext
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Revocation, Scope, SystemClock
from consolekit.testing import example_grant, example_session

CLOCK = SystemClock()
MINE = AccessContext(resume_hash="a" * 64)
PROCESSES, REDEEMERS, TOKENS = 4, 4, 300

PRELUDE = """
import asyncio, json, os, resource, secrets, signal, sqlite3, sys
from pathlib import Path
from consolekit.auth.base import AccessContext
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Secret, SystemClock
from consolekit.testing import example_grant, example_hash

path, clock = Path(sys.argv[1]), SystemClock()

def tell(what):
    print(json.dumps(what), flush=True)

def hear():
    return json.loads(sys.stdin.readline())

"""


class Process:
    """A process beside ours; talks in lines of JSON."""

    def __init__(self, path, body):
        self._popen = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(body), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what):
        self._popen.stdin.write(json.dumps(what) + "\n")
        self._popen.stdin.flush()

    def hear(self):
        line = self._popen.stdout.readline()
        assert line, f"the process ended with {self._popen.wait()}"
        return json.loads(line)

    def end(self):
        """Let it end by itself; its exit status."""
        self._popen.stdin.close()
        return self._popen.wait()

    def close(self):
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            pipe.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "tokens.db"


@pytest.fixture
def start(path):
    running = []

    def begin(body):
        running.append(Process(path, body))
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


REDEEM = f"""
async def redeemer(tokens, texts, first, won):
    step = len(texts) // {REDEEMERS}
    for text in texts[first * step:] + texts[:first * step]:
        context = AccessContext(resume_hash=example_hash(secrets.token_hex(8)))
        while True:
            try:
                await tokens.validate(Secret(text), context)
            except TokenRefused:
                break
            except StoreUnavailable:
                continue  # nothing was decided: ask again
            won.append(text)
            break

async def main():
    store = SqliteTokenStore(path, clock=clock)
    tell("ready")
    texts, won = hear(), []
    tokens = StoredTokens(store, clock=clock)
    async with asyncio.TaskGroup() as group:
        for first in range({REDEEMERS}):
            group.create_task(redeemer(tokens, texts, first, won))
    tell(won)
    await store.aclose()

asyncio.run(main())
"""


async def test_each_token_has_one_winner_and_none_is_lost(path, start):
    store = SqliteTokenStore(path, clock=CLOCK)
    tokens = StoredTokens(store, clock=CLOCK)
    texts = [(await tokens.issue(example_grant(CLOCK, ttl=600))).reveal() for _ in range(TOKENS)]
    await store.aclose()
    processes = [start(REDEEM) for _ in range(PROCESSES)]
    assert [process.hear() for process in processes] == ["ready"] * PROCESSES
    for process in processes:
        process.tell(texts)
    won = [text for process in processes for text in process.hear()]
    assert [process.end() for process in processes] == [0] * PROCESSES
    assert sorted(won) == sorted(texts)
    dump = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert not [text for text in texts if text.encode() in dump], "the file holds a raw token"
    assert b"web-1" in dump, "it is the right file that was read"


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


async def test_a_token_spent_by_a_killed_process_stays_spent(tokens, start):
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


async def test_a_locked_file_is_unavailable_then_heals(store, tokens, start, caplog):
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


async def test_a_file_that_is_locked_at_the_start_is_unavailable(path, start):
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
