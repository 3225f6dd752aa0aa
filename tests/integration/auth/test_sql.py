"""The ``sql`` store over real databases: names from outside, order of revocations, what lies there."""

import asyncio
import json
import logging
import sqlite3
from contextlib import closing

import databases
import pytest
from sqlalchemy import select, update

from consolekit.auth.base import AccessContext
from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlschema import GRANTS
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import ConfigError, StoreUnavailable, TokenRefused
from consolekit.core.types import Revocation, Scope
from consolekit.testing import ManualClock, example_grant, example_hash, example_session

HASH = example_hash("a")
NAMES = [
    "web\0one",
    "web\0two",
    "Web",
    "web",
    "web ",
    "wéb",
    "we\u0301b",
    "🖥",
    "x" * 20_000,
    "x" * 20_001,
    "",
    "%",
]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=databases.KINDS)
def kind(request):
    return request.param


@pytest.fixture
def url(kind, tmp_path):
    return databases.fresh(kind, tmp_path)


@pytest.fixture
async def store(url, clock):
    store = SqlTokenStore.from_config({"url": url}, clock=clock)
    yield store
    await store.aclose()


@pytest.fixture
async def other(url, clock):
    other = SqlTokenStore.from_config({"url": url}, clock=clock)
    yield other
    await other.aclose()


async def test_names_are_exact_whatever_they_hold(store, clock):
    for number, name in enumerate(NAMES):
        grant = example_grant(clock, id=f"g{number}", server_id=name, subject=name)
        await store.put(example_hash(name), grant)
    for number, name in enumerate(NAMES):
        assert [grant.id for grant in await store.grants(server_id=name)] == [f"g{number}"]
        assert [grant.request.server_id for grant in await store.grants(subject=name)] == [name]
    for scope, name in [(Scope.SERVER, name) for name in NAMES[::2]] + [
        (Scope.SUBJECT, n) for n in NAMES[1::2]
    ]:
        assert await store.revoke(Revocation(scope=scope, value=name, at=clock.now())) == 1
    assert [kept.value for kept in (await store.revocations(-1))[1]] == NAMES[::2] + NAMES[1::2]


async def test_instants_come_back_to_the_last_bit(store, clock):
    clock.advance(0.1 + 0.2)
    await store.put(HASH, example_grant(clock))
    clock.advance(1 / 3)
    await store.take(HASH, resume_hash=example_hash("key"))
    life = await store.inspect(HASH)
    assert (life.used_at, life.resume_until) == (clock.now(), clock.now() + life.grant.session_seconds)


async def test_a_long_list_of_sessions_is_kept(store, clock):
    infos = [example_session(example_grant(clock), clock, id=f"s{number:04}") for number in range(2000)]
    await store.keep_sessions("proxy", infos)
    assert await store.sessions() == infos


async def test_a_grant_of_a_newer_version_opens_nothing_and_hides_no_other(store, clock, caplog):
    await store.put(HASH, example_grant(clock, id="new"))
    await store.put(example_hash("b"), example_grant(clock, id="old"))

    async def add_field(db):
        row = (await db.execute(select(GRANTS).where(GRANTS.c.token_hash == HASH))).one()
        record = json.dumps(json.loads(row.record) | {"two_eyes": True})
        await db.execute(update(GRANTS).where(GRANTS.c.number == row.number).values(record=record))

    await store._pool.call(add_field, write=True)
    with pytest.raises(StoreUnavailable, match="two_eyes"):
        await store.take(HASH)
    assert [grant.id for grant in await store.grants()] == ["old"]
    assert "a grant is left out of the list" in caplog.text
    assert await store.revoke(Revocation(scope=Scope.GRANT, value="new", at=clock.now())) == 1


async def test_numbers_are_seen_in_the_order_of_commits(store, other, clock):
    """One has its number and is not committed; another cannot overtake it; the follower misses neither."""
    orders = [Revocation(scope=Scope.GRANT, value=f"g{number}", at=clock.now()) for number in range(2)]
    cursor, _ = await store.revocations(-1)
    numbered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(db):
        await store._keep(db, orders[0], clock.now())
        numbered.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(store._pool.call(slow, write=True))
        await numbered.wait()
        second = group.create_task(other.revoke(orders[1]))
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done, "the second got a number while the first was not committed"
        go_on.set()
    found = []
    while len(found) < 2:
        cursor, more = await other.revocations(cursor)
        found += more
    assert found == orders
    assert cursor == 2


async def test_a_follower_misses_none_of_many_at_once(store, other, clock):
    cursor, _ = await store.revocations(-1)
    names = [f"g{number}" for number in range(60)]
    found = []

    async def follow(cursor):
        while len(found) < len(names):
            cursor, more = await store.revocations(cursor)
            found.extend(kept.value for kept in more)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(follow(cursor))
        for number, name in enumerate(names):
            order = Revocation(scope=Scope.GRANT, value=name, at=clock.now())
            group.create_task((store, other)[number % 2].revoke(order))
    assert sorted(found) == sorted(names)


async def test_neither_tokens_nor_passwords_lie_or_are_told_anywhere(
    kind, url, store, clock, caplog, tmp_path
):
    caplog.set_level(logging.DEBUG)
    tokens, key = StoredTokens(store, clock=clock), AccessContext(resume_hash=example_hash("key"))
    texts = []
    for number in range(3):
        token = await tokens.issue(example_grant(clock, id=f"g{number}"))
        texts.append(token.reveal())
    await tokens.validate(token, key)
    with pytest.raises(TokenRefused):
        await tokens.validate(token, AccessContext())
    with pytest.raises(ValueError, match="already there"):
        await store.put(example_hash(texts[0]), example_grant(clock))
    await store.revoke(Revocation(scope=Scope.GRANT, value="g1", at=clock.now()))
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "tokens.sqlite")) as db:
            seen = "\n".join(db.iterdump())
    else:
        server = databases.server_of(kind)
        seen = server.dump(url.rpartition("/")[2]) + server.log
    assert "web-1" in seen, "it is the right database that was read"
    told = seen + caplog.text + repr(store._pool.__dict__) + store._pool.name
    assert not [text for text in texts if text in told or text[4:] in told]
    assert "c4n4ry" not in caplog.text + repr(store._pool._url) + store._pool.name


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_a_wrong_password_is_told_without_it(kind, clock, tmp_path, caplog):
    server = databases.server_of(kind)
    (tmp_path / "password").write_text("wr0ng-c4n4ry")
    config = {
        "url": server.url(server.database(), password=None),
        "password_file": str(tmp_path / "password"),
    }
    store = SqlTokenStore.from_config(config, clock=clock)
    with pytest.raises(StoreUnavailable, match=r"InvalidPasswordError|OperationalError \(1045\)") as caught:
        await store.grants()
    assert "c4n4ry" not in str(caught.value) + caplog.text
    await store.aclose()


def test_nothing_is_connected_before_the_first_call(clock):
    assert SqlTokenStore.from_config({"url": "postgresql://u@192.0.2.1/d"}, clock=clock).shared is True
    for read in (SqlTokenStore.check_config, lambda config: SqlTokenStore.from_config(config, clock=clock)):
        with pytest.raises(ConfigError):
            read({"url": "nonsense"})
