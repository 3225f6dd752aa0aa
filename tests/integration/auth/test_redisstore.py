"""What is the Redis store's own; the rules are in tests/contract, outages in test_redislink."""

from __future__ import annotations

import json
import logging

import pytest
from redisserver import RedisServer

from consolekit.auth.base import AccessContext
from consolekit.auth.redisstore import RedisTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import ConfigError, StoreUnavailable, TokenRefused
from consolekit.core.types import Revocation, Scope, SystemClock
from consolekit.testing import ManualClock, example_grant, example_hash, example_session

pytestmark = pytest.mark.external

BROWSER = AccessContext(resume_hash=example_hash("key"))


@pytest.fixture(scope="module")
def server():
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis(server):
    server.say("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
    server.say("FLUSHALL")
    return server


@pytest.fixture
async def store(redis):
    store = redis.store(SystemClock())
    yield store
    await store.aclose()


async def raw(store, *words):
    async with store._link.answering():
        return await store._link.command(*words)


async def whole_way(store, clock):
    """Everything that is ever done with a token."""
    tokens, grant = StoredTokens(store, clock=clock), example_grant(clock)
    token = await tokens.issue(grant)
    await tokens.validate(token, BROWSER)
    await store.keep_sessions("proxy", [example_session(grant, clock, id="s1")])
    await tokens.released(grant, "peer_closed", resumable=True)
    assert await tokens.outcome(token, BROWSER) == "peer_closed"
    await tokens.validate(token, BROWSER)
    assert await store.grants(grant_id=grant.id, server_id="web-1") == [grant]
    assert [info.id for info in await store.sessions()] == ["s1"]
    await store.revoke(Revocation(scope=Scope.SESSION, value="s1", at=clock.now()))
    with pytest.raises(TokenRefused):
        await tokens.validate(token, BROWSER)
    await store.purge()
    return token.reveal()


async def test_no_token_is_in_what_redis_is_told_or_keeps(redis, store, caplog):
    caplog.set_level(logging.DEBUG)
    kept = await StoredTokens(store, clock=SystemClock()).issue(example_grant(SystemClock()))
    with redis.monitored() as heard:
        used = await whole_way(store, SystemClock())
    redis.say("SAVE")
    seen = b"".join(heard) + (redis.directory / "dump.rdb").read_bytes() + caplog.text.encode()
    assert b"peer_closed" in seen, "it is the right place that was read"
    for token in (kept.reveal(), used):
        assert token.encode() not in seen
        assert token.removeprefix("ckt_").encode() not in seen


async def test_a_user_with_the_documented_rights_can_do_everything(redis, tmp_path, caplog):
    (tmp_path / "password").write_text("secret\n")
    rights = (
        "on >secret resetkeys resetchannels ~{site}* &{site}:news "
        "-@all +@connection +@read +@write +@pubsub -@dangerous +eval +evalsha +time"
    )
    assert b"OK" in redis.say("ACL", "SETUSER", "kit", *rights.split())
    table = {
        "url": f"unix://kit@{redis.socket}",
        "prefix": "site",
        "password_file": str(tmp_path / "password"),
    }
    store = RedisTokenStore.from_config(table, clock=SystemClock())
    await whole_way(store, SystemClock())
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING], (
        "INFO is not allowed: silent"
    )
    await store.aclose()
    redis.say("ACL", "SETUSER", "kit", "-evalsha")
    store = RedisTokenStore.from_config(table, clock=SystemClock())
    with pytest.raises(StoreUnavailable, match="NOPERM"):
        await store.put(example_hash("a"), example_grant(SystemClock()))
    await store.aclose()


async def test_a_user_who_may_not_publish_revokes_nothing(redis, tmp_path):
    """Else an order would be kept of which nobody hears."""
    (tmp_path / "password").write_text("secret")
    redis.say("ACL", "SETUSER", "mute", "on", ">secret", "~*", "resetchannels", "+@all")
    table = {"url": f"redis://mute@127.0.0.1:{redis.port}", "password_file": str(tmp_path / "password")}
    store = RedisTokenStore.from_config(table, clock=SystemClock())
    await store.put(example_hash("a"), example_grant(SystemClock()))
    order = Revocation(scope=Scope.SERVER, value="web-1", at=SystemClock().now())
    with pytest.raises(StoreUnavailable, match="NOPERM"):
        await store.revoke(order)
    assert await store.revocations(-1) == (0, [])
    assert len(await store.grants()) == 1
    await store.aclose()


@pytest.mark.parametrize(
    ("memory", "policy", "warned"),
    [("1gb", "allkeys-lru", True), ("1gb", "noeviction", False), ("0", "volatile-ttl", False)],
)
async def test_a_redis_that_may_evict_is_warned_of_once(memory, policy, warned, redis, store, caplog):
    redis.say("CONFIG", "SET", "maxmemory", memory, "maxmemory-policy", policy)
    for _ in range(2):
        await store.grants()
    assert caplog.text.count("maxmemory-policy") == warned


async def test_every_key_is_in_one_slot_and_goes_by_itself_long_after_our_clock(redis):
    clock = ManualClock()
    store = redis.store(clock)
    grant = example_grant(clock, id="g", session_seconds=7200)
    await store.put(example_hash("a"), grant)
    await store.take(example_hash("a"), resume_hash=example_hash("key"))
    await store.keep_sessions("proxy", [example_session(grant, clock)])
    await store.revoke(Revocation(scope=Scope.GRANT, value="nobody", at=clock.now()))
    keys = await raw(store, "KEYS", "*")
    assert {key.partition("}")[0] for key in keys} == {"{consolekit"}
    left = {key: await raw(store, "PTTL", key) for key in keys}
    for name in ("head", "schema", "grants"):
        assert left.pop(f"{{consolekit}}:{name}") == -1, "a few bytes that may stay"
    assert min(left.values()) > 86_000_000, "a day more than our clock gives"
    assert left[f"{{consolekit}}:grant:{example_hash('a')}"] > 7_200_000 + 86_000_000
    clock.advance(10**6)
    assert await store.purge() == 1
    assert sorted(await raw(store, "KEYS", "*")) == [
        f"{{consolekit}}:{x}" for x in ("grants", "head", "schema")
    ]
    await store.aclose()


async def test_purge_goes_on_until_all_is_done(redis):
    clock = ManualClock()
    store = redis.store(clock)
    for number in range(450):
        await store.put(example_hash(f"{number}"), example_grant(clock))
    clock.advance(60)
    assert await store.purge() == 450
    await store.aclose()


async def test_what_a_newer_version_wrote_is_not_opened_and_hides_nothing(store, caplog):
    clock = SystemClock()
    grant = example_grant(clock)
    await store.put(example_hash("a"), grant)
    await store.put(example_hash("b"), example_grant(clock))
    key = f"{{consolekit}}:grant:{example_hash('b')}"
    record = json.loads(await raw(store, "HGET", key, "grant")) | {"no_sundays": True}
    await raw(store, "HSET", key, "grant", json.dumps(record))
    with pytest.raises(StoreUnavailable, match="unknown fields no_sundays"):
        await store.take(example_hash("b"))
    assert await store.grants() == [grant]
    assert "left out of the list" in caplog.text
    assert await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=clock.now())) == 1
    with pytest.raises(TokenRefused):
        await store.take(example_hash("b"))


async def test_another_layout_is_left_alone(redis, store):
    redis.say("SET", "{consolekit}:schema", "2")
    with pytest.raises(StoreUnavailable, match="schema '2', this one knows 1"):
        await store.put(example_hash("a"), example_grant(SystemClock()))


async def test_two_sites_share_a_redis_by_their_prefix(redis, store):
    other = redis.store(SystemClock(), prefix="other")
    await store.put(example_hash("a"), example_grant(SystemClock()))
    assert await other.grants() == []
    await other.put(example_hash("a"), example_grant(SystemClock()))
    await other.aclose()


def test_a_wrong_table_is_told_without_redis():
    with pytest.raises(ConfigError, match="must begin with redis://"):
        RedisTokenStore.check_config({"url": "http://cache"})
    RedisTokenStore.check_config({"url": "redis://there-is-none.invalid"})


async def test_a_closed_store_says_so_and_closes_twice(redis):
    store = redis.store(SystemClock())
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.grants()
