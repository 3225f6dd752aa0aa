"""Catalogue, case 45: the token store is away: live consoles live, nobody gets in, and it heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import databases
import pytest
from gateway import Gateway, PipeProvider, echo, running, target
from hostile import PATIENCE, ask
from redisserver import RedisServer

from consolekit.auth.base import TokenStore
from consolekit.auth.sql import SqlTokenStore
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import SystemClock

CLOCK = SystemClock()


@attrs.frozen
class Shared:
    """A store's server, which can be taken away."""

    make: Callable[[], TokenStore]
    stop: Callable[[], None]
    start: Callable[[], object]


@contextmanager
def _redis() -> Iterator[Shared]:
    server = RedisServer(appendonly="yes", appendfsync="always")
    try:
        yield Shared(make=lambda: server.store(CLOCK), stop=server.kill, start=server.start)
    finally:
        server.close()


def _database(kind: str) -> Callable[[], contextlib.AbstractContextManager[Shared]]:
    @contextmanager
    def kept() -> Iterator[Shared]:
        server = databases.server_of(kind)
        url = server.url(server.database())
        yield Shared(
            make=lambda: SqlTokenStore.from_config({"url": url}, clock=CLOCK),
            stop=server.stop,
            start=server.start,
        )

    return kept


KINDS = {"redis": _redis, "postgresql": _database("postgresql"), "mariadb": _database("mariadb")}


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest, diary: Any) -> Iterator[Shared]:
    diary.allowed += ["sqlalchemy.pool."]  # it shouts when a connection dies under it
    with KINDS[request.param]() as server:
        yield server


@asynccontextmanager
async def gateway_over(shared: Shared) -> AsyncIterator[Gateway]:
    store = shared.make()
    try:
        async with (
            target(echo) as endpoint,
            running(PipeProvider({"demo": endpoint}), store=store) as gateway,
        ):
            yield gateway
    finally:
        await store.aclose()


async def status(gateway: Gateway, token: str) -> int:
    return (await ask(gateway, gateway.handshake(token))).status


async def test_case_45_a_store_that_is_killed_costs_no_live_console_and_heals(shared: Shared) -> None:
    async with gateway_over(shared) as gateway:
        tokens = [await gateway.token() for _ in range(3)]
        async with gateway.open(tokens[0]) as viewer:
            shared.stop()
            try:
                for token in (tokens[1], "ckt_" + secrets.token_urlsafe(32)):
                    answer = await ask(gateway, gateway.handshake(token))
                    assert (answer.status, answer.code) == (503, "store_unavailable")
                    assert int(answer.headers["retry-after"]) > 0
                with pytest.raises(StoreUnavailable):
                    await gateway.link()
                await viewer.send(b"still here")
                assert await viewer.recv() == b"still here"
            finally:
                shared.start()
            async with asyncio.timeout(PATIENCE):
                while (healed := await status(gateway, tokens[2])) == 503:
                    pass
            assert healed == 101
            assert await status(gateway, tokens[0]) == 401, "a used token lives again"
            await gateway.link()
            await viewer.send(b"and still")
            assert await viewer.recv() == b"and still"
        await gateway.until_no_sessions()


async def test_case_45_a_store_that_is_away_at_the_start_is_said(shared: Shared) -> None:
    shared.stop()
    try:
        with pytest.raises(StoreUnavailable):
            async with gateway_over(shared):
                raise AssertionError("it serves")
    finally:
        shared.start()
    async with gateway_over(shared) as gateway:
        assert await status(gateway, await gateway.token()) == 101
        await gateway.until_no_sessions()
