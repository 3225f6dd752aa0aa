"""What is the SQLite store's own; the rules are in tests/contract, processes in tests/integration."""

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from consolekit.auth import sqlite
from consolekit.auth.sqlite import SqliteTokenStore, default_path
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import ConfigError, StoreUnavailable
from consolekit.core.types import Revocation, Scope
from consolekit.testing import ManualClock, example_grant, example_hash, example_session

HASH = example_hash("a")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.db"


@pytest.fixture
async def store(path, clock):
    store = SqliteTokenStore(path, clock=clock)
    yield store
    await store.aclose()


async def change(store, statement, *values):
    """What another process would do; on this one's connection, for two in one process share locks."""
    await store._file.call(lambda db: db.execute(statement, values).fetchall(), write=True)


async def add_field(store, table, **fields):
    rows = await store._file.call(lambda db: db.execute(f"SELECT record FROM {table}").fetchall())
    await change(store, f"UPDATE {table} SET record = ?", json.dumps(json.loads(rows[0][0]) | fields))


def test_it_is_shared_and_takes_a_path():
    assert SqliteTokenStore.shared is True
    assert set(SqliteTokenStore.config_schema["properties"]) == {"path"}


async def test_content_survives_closing(path, clock):
    grant = example_grant(clock)
    first = SqliteTokenStore(path, clock=clock)
    await first.put(HASH, grant)
    await first.aclose()
    second = SqliteTokenStore(path, clock=clock)
    assert await second.take(HASH) == grant
    await second.aclose()


async def test_the_file_holds_no_token(path, clock):
    store = SqliteTokenStore(path, clock=clock)
    token = await StoredTokens(store, clock=clock).issue(example_grant(clock))
    await store.aclose()
    content = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert token.reveal().encode() not in content
    assert token.reveal().removeprefix("ckt_").encode() not in content
    assert b"web-1" in content


async def test_a_closed_store_says_so_and_closes_twice(path, clock):
    store = SqliteTokenStore(path, clock=clock)
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.grants()


async def test_a_grant_of_a_newer_version_is_not_opened_and_not_spent(store, clock, caplog):
    await store.put(HASH, example_grant(clock))
    await add_field(store, "grants", view_only=True)
    with pytest.raises(StoreUnavailable, match="newer consolekit: unknown fields view_only"):
        await store.take(HASH)
    assert await store._file.call(lambda db: db.execute("SELECT used_at FROM grants").fetchone()) == (None,)
    await store.put(example_hash("b"), example_grant(clock, id="readable"))
    with caplog.at_level(logging.WARNING):
        assert [grant.id for grant in await store.grants()] == ["readable"]
    assert "left out" in caplog.text
    assert await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=clock.now())) == 2


async def test_a_session_that_cannot_be_read_hides_no_other(store, clock):
    grant = example_grant(clock)
    await store.keep_sessions("p1", [example_session(grant, clock, id="s1")])
    await change(store, "UPDATE sessions SET record = 'damaged'")
    await store.keep_sessions("p2", [example_session(grant, clock, id="s2")])
    assert [info.id for info in await store.sessions()] == ["s2"]


async def test_a_reader_without_news_comes_back_empty(store, monkeypatch):
    monkeypatch.setattr(sqlite, "WAIT_SECONDS", 0.0)
    assert await store.revocations(0) == (0, [])


async def test_purge_leaves_no_row_behind(store, clock):
    grant = example_grant(clock)
    await store.put(HASH, grant)
    await store.keep_sessions("proxy", [example_session(grant, clock)])
    await store.revoke(Revocation(scope=Scope.SERVER, value="another", at=clock.now()))
    clock.advance(3600)
    assert await store.purge() == 1
    for table in ("grants", "sessions", "revocations"):
        count = await store._file.call(
            lambda db, table=table: db.execute(f"SELECT count(*) FROM {table}").fetchone()
        )
        assert count == (0,), table


async def test_from_config_opens_the_named_file(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    store = SqliteTokenStore.from_config({"path": "~/mine/t.db"}, clock=clock)
    assert (tmp_path / "mine" / "t.db").is_file()
    grant = example_grant(clock)
    await store.put(HASH, grant)
    assert [each.id for each in await store.grants()] == [grant.id]
    clock.advance(3600)
    assert await store.grants() == [], "its clock is the given one"
    await store.aclose()


async def test_from_config_without_a_path_opens_the_default(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(sqlite, "default_path", lambda: tmp_path / "default.db")
    store = SqliteTokenStore.from_config({}, clock=clock)
    assert (tmp_path / "default.db").is_file()
    await store.aclose()


@pytest.mark.parametrize(
    ("uid", "state", "expected"),
    [
        (0, "/state", "/var/lib/consolekit/consolekit.db"),
        (1000, "/state", "/state/consolekit/consolekit.db"),
        (1000, "", "/home/ann/.local/state/consolekit/consolekit.db"),
        (1000, "relative", "/home/ann/.local/state/consolekit/consolekit.db"),  # XDG: to be ignored
    ],
)
def test_the_default_path(uid, state, expected, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_STATE_HOME", state)
    assert default_path() == Path(expected)


def test_a_newer_schema_is_refused_with_its_number(path, clock):
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA application_id={0x434B5453}")
        other.execute("PRAGMA user_version=2")
    with pytest.raises(ConfigError, match="schema 2, this one knows 1") as caught:
        SqliteTokenStore(path, clock=clock)
    assert caught.value.problems[0].path == "tokens.path"


async def test_only_the_order_to_end_a_session_ends_what_has_its_name(store, clock):
    grant = example_grant(clock)
    await store.put(HASH, grant)
    await store.keep_sessions("proxy", [example_session(grant, clock, id="alike")])
    for scope in (Scope.SERVER, Scope.SUBJECT, Scope.GRANT):
        assert await store.revoke(Revocation(scope=scope, value="alike", at=clock.now())) == 0
    assert await store.revoke(Revocation(scope=Scope.SESSION, value="alike", at=clock.now())) == 1


async def test_whoever_writes_says_so_before_it_reads(store, clock, monkeypatch):
    """A transaction that begins as a reader fails when another process has written meanwhile."""
    asked, doing, call = {}, [], store._file.call

    async def noted(work, *, write=False):
        asked.setdefault(doing[-1], write)
        return await call(work, write=write)

    monkeypatch.setattr(store._file, "call", noted)
    grant = example_grant(clock)
    for name, step in {
        "put": lambda: store.put(HASH, grant),
        "inspect": lambda: store.inspect(HASH),
        "take": lambda: store.take(HASH, resume_hash=example_hash("b")),
        "release": lambda: store.release(grant.id, outcome="x", resume_until=clock.now()),
        "grants": lambda: store.grants(),
        "keep_sessions": lambda: store.keep_sessions("p", []),
        "sessions": lambda: store.sessions(),
        "revoke": lambda: store.revoke(Revocation(scope=Scope.SERVER, value="x", at=clock.now())),
        "revocations": lambda: store.revocations(-1),
        "purge": lambda: store.purge(),
    }.items():
        doing.append(name)
        await step()
    writers = {name for name, write in asked.items() if write is True}
    assert writers == {"put", "take", "release", "keep_sessions", "revoke", "purge"}


async def test_a_reader_asks_again_until_there_is_news_and_gets_it_once(store, clock, monkeypatch):
    monkeypatch.setattr(sqlite, "_POLL_SECONDS", 0.001)
    first = Revocation(scope=Scope.SERVER, value="a", at=clock.now())
    await store.revoke(first)
    cursor, found = await store.revocations(-1)
    assert found == [first]
    waiting = asyncio.get_running_loop().create_task(store.revocations(cursor))
    for _ in range(20):
        await store.sessions()
    assert not waiting.done()
    second = attrs.evolve(first, value="b")
    await store.revoke(second)
    assert await waiting == (cursor + 1, [second])
    monkeypatch.setattr(sqlite, "WAIT_SECONDS", 0.0)
    assert await store.revocations(cursor + 1) == (cursor + 1, [])
    assert (await store.revocations(cursor + 9))[1] == [first, second], "a cursor of an earlier life"
