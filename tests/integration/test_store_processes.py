"""Every store that is shared, between real processes: each token opens for one of many, and none is lost."""

from __future__ import annotations

import asyncio

import databases
import pytest
import redisserver
from besides import Process

from consolekit.auth.base import TokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.plugins import STORES, load
from consolekit.core.types import SystemClock
from consolekit.testing import example_grant

CLOCK = SystemClock()
PROCESSES, REDEEMERS, TOKENS = 8, 8, 2000

# Which processes show token 0; those of the next token are one further. All go by the same order, so that the
# contenders of a token meet at it.
CONTENDERS = (0, 1, 3)

#: A shared store: its name, and the options of a fresh one, given a folder.
PLACES = {
    "sqlite": lambda folder: ("sqlite", {"path": str(folder / "tokens.db")}),
    "sql over sqlite": lambda folder: ("sql", {"url": databases.fresh("sqlite", folder)}),
    "sql over postgresql": lambda folder: ("sql", {"url": databases.fresh("postgresql", folder)}),
    "sql over mariadb": lambda folder: ("sql", {"url": databases.fresh("mariadb", folder)}),
    "redis": lambda folder: ("redis", redisserver.fresh_options()),
}

REDEEM = """
import asyncio, secrets
from consolekit.auth.base import AccessContext, TokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.plugins import STORES, load
from consolekit.core.types import Secret, SystemClock
from consolekit.testing import example_hash

async def redeemer(tokens, texts, won):
    for text in texts:
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

async def race(name, options, lots):
    clock, won = SystemClock(), []
    store = load(STORES, name, TokenStore).from_config(options, clock=clock)
    tokens = StoredTokens(store, clock=clock)
    async with asyncio.TaskGroup() as group:
        for texts in lots:
            group.create_task(redeemer(tokens, texts, won))
    await store.aclose()
    return won

tell("ready")
while line := sys.stdin.readline():
    tell(asyncio.run(race(*json.loads(line))))
"""


@pytest.fixture(scope="module")
def processes():
    started = [Process(REDEEM) for _ in range(PROCESSES)]
    assert [process.hear() for process in started] == ["ready"] * PROCESSES
    yield started
    for process in started:
        process.close()


async def issued(name, options):
    """The tokens, kept in a fresh store."""
    store = load(STORES, name, TokenStore).from_config(options, clock=CLOCK)
    tokens, texts = StoredTokens(store, clock=CLOCK), []
    while len(texts) < TOKENS:
        grants = (example_grant(CLOCK, ttl=600) for _ in range(50))
        texts += [token.reveal() for token in await asyncio.gather(*map(tokens.issue, grants))]
    await store.aclose()
    return texts


def lots_of(texts):
    """For each process, what each of its redeemers shows, in order."""
    lots = [[[] for _ in range(REDEEMERS)] for _ in range(PROCESSES)]
    for number, text in enumerate(texts):
        for contender in CONTENDERS:
            lots[(number + contender) % PROCESSES][number // PROCESSES % REDEEMERS].append(text)
    return lots


@pytest.mark.parametrize("place", PLACES)
async def test_each_token_has_one_winner_and_none_is_lost(place, processes, tmp_path):
    name, options = PLACES[place](tmp_path)
    texts = await issued(name, options)
    for process, lots in zip(processes, lots_of(texts), strict=True):
        process.tell([name, options, lots])
    won = [text for process in processes for text in process.hear()]
    assert len(won) == len(set(won)), "a token was won twice"
    assert set(won) == set(texts), "a token was lost"
