"""A real Redis in trouble: what each call says, that it heals, and that no answer goes astray."""

from __future__ import annotations

import asyncio
import logging
import threading
from random import Random  # noqa: TID251 - seeded

import pytest
import trustme
from redisserver import RedisServer

from consolekit.auth.redissettings import RedisSettings, settings_from_config
from consolekit.auth.redisstore import RedisTokenStore
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Revocation, Scope, SystemClock
from consolekit.testing import example_grant, example_hash

pytestmark = pytest.mark.external

CLOCK = SystemClock()
CANARY = "canary-9d2e"
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


async def refusals(store):
    """What all calls that write say, at once; each must say it in time."""
    calls = [
        store.put(example_hash("other"), example_grant(CLOCK)),
        store.take(example_hash("a")),
        store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=CLOCK.now())),
    ]
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(calls), answers
    return {str(answer).rpartition(": ")[2] for answer in answers}


async def healed(store, grant):
    """Ask until the token opens: the very store object that was refused, and the token is not spent."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await store.take(example_hash("a")) == grant
                return
            except StoreUnavailable:
                await asyncio.sleep(0.05)


TROUBLES = {
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "NOREPLICAS": (
        ["CONFIG", "SET", "min-replicas-to-write", "1"],
        ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
}


@pytest.mark.parametrize("code", TROUBLES)
async def test_case_45_a_server_that_does_not_write_is_unavailable_then_heals(code, redis, store, caplog):
    begin, end = TROUBLES[code]
    grant = example_grant(CLOCK, ttl=600)
    await store.put(example_hash("a"), grant)
    redis.say(*begin)
    assert await refusals(store) == {f"it answers {code}"}
    assert (await store.inspect(example_hash("a"))).grant == grant, "it can still be read"
    await refusals(store)
    redis.say(*end)
    await healed(store, grant)
    said = [each.message for each in caplog.records if each.name == "consolekit.auth.redislink"]
    assert [("unavailable" in each, "works again" in each) for each in said] == [(True, False), (False, True)]


async def test_a_server_whose_script_hangs_is_unavailable_then_heals(redis, store):
    grant = example_grant(CLOCK, ttl=600)
    await store.put(example_hash("a"), grant)
    redis.say("CONFIG", "SET", "busy-reply-threshold", "10")
    hanging = threading.Thread(target=redis.say, args=("EVAL", "while true do end", "0"))
    hanging.start()
    while b"BUSY" not in await asyncio.to_thread(redis.say, "PING"):
        await asyncio.sleep(0.01)
    assert await refusals(store) == {"it answers BUSY"}
    redis.say("SCRIPT", "KILL")
    hanging.join()
    await healed(store, grant)


async def test_case_45_a_server_that_loads_is_unavailable_then_heals(redis, store):
    grant = example_grant(CLOCK, ttl=600)
    await store.put(example_hash("a"), grant)
    redis.say("DEBUG", "POPULATE", "20000")
    redis.say("SAVE")
    await asyncio.to_thread(redis.kill)
    redis.start(key_load_delay="100", loading_process_events_interval_bytes="1024")
    assert await refusals(store) == {"it answers LOADING"}
    await healed(store, grant)


async def test_case_45_a_frozen_server_is_unavailable_then_heals(redis, store):
    grant = example_grant(CLOCK, ttl=600)
    await store.put(example_hash("a"), grant)
    with redis.frozen():
        assert await refusals(store) == {"no answer within 2 s"}
    # what it was told before it froze it does when it wakes: the token may be spent, never twice
    fresh = example_grant(CLOCK, ttl=600, server_id="web-9")
    async with asyncio.timeout(PATIENCE):
        await store.put(example_hash("b"), fresh)
    assert await store.take(example_hash("b")) == fresh
    with pytest.raises(TokenRefused):
        await store.take(example_hash("b"))


async def test_case_45_a_killed_server_is_unavailable_and_a_new_one_is_found(redis, store):
    await store.put(example_hash("a"), example_grant(CLOCK))
    await asyncio.to_thread(redis.kill)
    assert await refusals(store) == {"Connection refused"}
    redis.start()
    grant = example_grant(CLOCK)
    await store.put(example_hash("b"), grant)
    assert await store.grants() == [grant], "what was in memory is gone, and nothing else is wrong"


async def test_a_connection_that_was_closed_meanwhile_costs_no_call(redis, store):
    grant = example_grant(CLOCK)
    await store.put(example_hash("a"), grant)
    await asyncio.to_thread(redis.say, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.to_thread(redis.say, "SCRIPT", "FLUSH")
    assert await store.take(example_hash("a")) == grant


async def test_a_wrong_password_is_named_and_not_told(redis, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    redis.say("CONFIG", "SET", "requirepass", "right")
    file = tmp_path / "password"
    file.write_text(CANARY)
    url = f"redis://127.0.0.1:{redis.port}"
    for options in ({"password_file": str(file)}, {}):
        store = RedisTokenStore.from_config({"url": url, **options}, clock=CLOCK)
        with pytest.raises(StoreUnavailable, match=r"refuses the login: .*tokens\.password_file") as caught:
            await store.revocations(-1)
        assert CANARY not in f"{caught.value!r} {store!r} {caplog.text}"
        await store.aclose()
    file.write_text("right\n")
    store = RedisTokenStore.from_config({"url": url, "password_file": str(file)}, clock=CLOCK)
    assert await store.revocations(-1) == (0, [])
    await store.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_place_without_a_server_is_named(host, redis):
    redis.kill()
    store = RedisTokenStore.from_config({"url": f"redis://{host}:{redis.port}"}, clock=CLOCK)
    with pytest.raises(StoreUnavailable, match=rf"redis://{host}:{redis.port}/0: .*: Connection refused$"):
        await store.revocations(-1)
    await store.aclose()


async def test_a_password_file_that_went_away_is_named(redis, tmp_path):
    file = tmp_path / "password"
    file.write_text("x")
    settings = settings_from_config({"url": f"unix://{redis.socket}", "password_file": str(file)})
    file.unlink()
    store = RedisTokenStore(settings, clock=CLOCK)
    with pytest.raises(StoreUnavailable, match="password: No such file"):
        await store.grants()
    await store.aclose()


async def test_tls_is_checked_by_name_and_authority(tmp_path):
    ca, other = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("other", other)):
        authority.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    for name in ("localhost", "us"):
        ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    server = RedisServer(
        tls_port="0",
        tls_cert_file=str(tmp_path / "localhost.pem"),
        tls_key_file=str(tmp_path / "localhost.pem"),
        tls_ca_cert_file=str(tmp_path / "ca.pem"),
    )
    server.say("CONFIG", "SET", "port", "0", "tls-port", str(server.port))
    mine = {"tls": True, "port": server.port, "cert_file": tmp_path / "us.pem"}
    cases = [
        ("localhost", "ca", None),
        ("localhost", "other", "unable to get local issuer certificate|self-signed"),
        ("127.0.0.1", "ca", "IP address mismatch"),
    ]
    try:
        for host, authority, told in cases:
            settings = RedisSettings(host=host, ca_file=tmp_path / f"{authority}.pem", **mine)
            store = RedisTokenStore(settings, clock=CLOCK)
            if told is None:
                assert await store.grants() == []
            else:
                with pytest.raises(StoreUnavailable, match=told):
                    await store.grants()
            await store.aclose()
    finally:
        server.close()


async def test_a_cancelled_call_leaves_its_answer_to_nobody(store):
    """Hundreds of calls cancelled at any step, while others ask: each gets its own grant or none."""
    chance = Random(20230328)
    servers = [f"web-{number}" for number in range(40)]
    for server in servers:
        await store.put(example_hash(server), example_grant(CLOCK, ttl=600, server_id=server))
    cancelled = 0

    async def asks(server):
        life = await store.inspect(example_hash(server))
        assert life.grant.request.server_id == server, "another's answer"
        (grant,) = await store.grants(server_id=server)
        assert grant.request.server_id == server, "another's answer"

    async def cancels(server, steps):
        nonlocal cancelled
        task = asyncio.get_running_loop().create_task(asks(server))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        cancelled += task.cancelled()
        if not task.cancelled():
            await task

    async with asyncio.timeout(60):
        for _ in range(25):
            async with asyncio.TaskGroup() as group:
                for server in chance.sample(servers, 20):
                    group.create_task(cancels(server, chance.randrange(40)))
                for server in chance.sample(servers, 10):
                    group.create_task(asks(server))
    assert cancelled > 100, "enough of them were cancelled in the middle"
    for server in servers:
        await asks(server)
