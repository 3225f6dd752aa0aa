"""The store contract over Redis, and over a store on Redis that is wrong on purpose."""

from __future__ import annotations

import itertools

import pytest
from redisserver import RedisServer

from consolekit.auth.redisstore import RedisTokenStore
from consolekit.testing import TokenStoreContract

PREFIXES = (f"site{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def redis():
    server = RedisServer()
    yield server
    server.close()


@pytest.mark.external
class TestRedisTokenStore(TokenStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, redis):
        self.redis, self.prefix = redis, next(PREFIXES)

    async def make_store(self, clock):
        return self.redis.store(clock, prefix=self.prefix)


class GetThenDelete(RedisTokenStore):
    """Looks at the grant, then writes it: nobody asks whether it is still as it was seen."""

    async def _replace(self, kept, life):
        number, old, *_ = await self._link.command(
            "HMGET", f"{self._base}:grant:{kept.token_hash}", "number", "life"
        )
        now = type(kept)(kept.token_hash, number, old, kept.life)
        return await super()._replace(now, life)


@pytest.mark.external
def test_get_then_delete_fails_the_check_that_names_it(redis):
    class Contract(TokenStoreContract):
        def __init__(self):
            self.prefix = next(PREFIXES)

        async def make_store(self, clock):
            store = redis.store(clock, prefix=self.prefix)
            store.__class__ = GetThenDelete
            return store

    failed = set()
    for name in sorted(name for name in dir(Contract) if name.startswith("test_")):
        try:
            getattr(Contract(), name)()
        except AssertionError:
            failed.add(name)
    assert failed == {"test_one_of_many_at_once_wins"}
