"""Redis against the one model of all stores."""

from __future__ import annotations

import itertools

import pytest
from profiles import examples
from redisserver import RedisServer

from consolekit.testing.token_machine import TokenStoreMachine

PREFIXES = (f"site{number}" for number in itertools.count())
SERVERS: list[RedisServer] = []


class RedisMachine(TokenStoreMachine):
    async def make_store(self, clock):
        return SERVERS[0].store(clock, prefix=next(PREFIXES))


@pytest.mark.external
class TestRedis(RedisMachine.TestCase):
    settings = examples(30)

    @classmethod
    def setup_class(cls):
        SERVERS.append(RedisServer())

    @classmethod
    def teardown_class(cls):
        SERVERS.pop().close()
