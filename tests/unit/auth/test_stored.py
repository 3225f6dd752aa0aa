import asyncio
import hashlib
import logging
import re

import pytest

from consolekit.auth import stored
from consolekit.auth.base import AccessContext
from consolekit.auth.life import GrantLife
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens, hash_token, new_token
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant

MINE = AccessContext(resume_hash="a" * 64)
OTHER = AccessContext(resume_hash="b" * 64)


class SilentStore(MemoryTokenStore):
    """Never answers, whatever is asked."""

    async def _silent(self, *args, **kwargs):
        await asyncio.Event().wait()

    put = take = inspect = release = outcome = _silent


class BrokenStore(MemoryTokenStore):
    """Raises what no contract allows."""

    async def _broken(self, *args, **kwargs):
        raise OSError("connection lost")

    put = take = inspect = release = outcome = _broken


class UntouchedStore(MemoryTokenStore):
    async def _touched(self, *args, **kwargs):
        raise AssertionError("the store was asked")

    put = take = inspect = release = outcome = _touched


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return MemoryTokenStore(clock=clock)


@pytest.fixture
def tokens(store, clock):
    return StoredTokens(store, clock=clock, grace_seconds=30)


def test_tokens_are_256_random_bits():
    texts = [new_token().reveal() for _ in range(2000)]
    assert len(set(texts)) == 2000
    assert all(re.fullmatch(r"ckt_[A-Za-z0-9_-]{43}", text) for text in texts)
    for place in range(4, 46):  # the last character carries four bits only
        assert len({text[place] for text in texts}) == 64


def test_the_hash_is_the_plain_sha256_of_the_whole_token():
    token = new_token()
    assert hash_token(token) == hashlib.sha256(token.reveal().encode()).hexdigest()


GOOD = "ckt_" + "A" * 43
MALFORMED = [
    "",
    "ckt_",
    GOOD[:-1],
    GOOD + "A",
    GOOD + "\n",
    " " + GOOD,
    GOOD.replace("ckt_", "CKT_"),
    "ckt_" + "A" * 42 + "=",
    "ckt_" + "A" * 42 + "+",
    "ckt_" + "A" * 42 + "\0",
    "ckt_" + "A" * 42 + "é",
    "ckt_" + "A" * 42 + "\u0661",
    "ckt_" + "A" * 42 + "\udcff",
    f"{GOOD};{GOOD}",
    "A" * 10240,
    "%" * 47,
]


@pytest.mark.parametrize("text", MALFORMED)
async def test_a_malformed_token_never_reaches_the_store(text, clock):
    tokens = StoredTokens(UntouchedStore(clock=clock), clock=clock)
    for call in (tokens.validate, tokens.inspect, tokens.outcome):
        with pytest.raises(TokenRefused) as caught:
            await call(Secret(text), MINE)
        assert caught.value.why == "malformed"
    assert not tokens.recognises(Secret(text))


async def test_issue_then_validate_gives_the_grant_once(tokens, clock):
    grant = example_grant(clock)
    token = await tokens.issue(grant)
    assert tokens.recognises(token)
    assert await tokens.inspect(token, MINE) == GrantLife(grant=grant)
    assert await tokens.validate(token, MINE) == grant
    with pytest.raises(TokenRefused):
        await tokens.validate(token, OTHER)


async def test_the_store_never_sees_the_token(store, tokens, clock):
    token = await tokens.issue(example_grant(clock))
    await tokens.validate(token, MINE)
    assert token.reveal() not in repr(vars(store))
    assert hash_token(token) in repr(vars(store))


async def test_every_refusal_looks_the_same_outside(store, tokens, clock):
    expired = await tokens.issue(example_grant(clock))
    used = await tokens.issue(example_grant(clock, ttl=600))
    unknown = new_token()
    await tokens.validate(used, MINE)
    clock.advance(60)
    seen = set()
    for token in (expired, used, unknown, Secret("x")):
        with pytest.raises(TokenRefused) as caught:
            await tokens.validate(token, OTHER)
        seen.add((caught.value.code, caught.value.status, caught.value.title, caught.value.public_detail))
    assert len(seen) == 1


@pytest.mark.parametrize(("pause", "back"), [(0, True), (29.5, True), (30, False)])
async def test_a_resumable_end_opens_the_grace(tokens, clock, pause, back):
    grant = example_grant(clock)
    token = await tokens.issue(grant)
    await tokens.validate(token, MINE)
    await tokens.released(grant, "peer_closed", resumable=True)
    assert await tokens.outcome(token, MINE) == "peer_closed"
    clock.advance(pause)
    if back:
        assert await tokens.validate(token, MINE) == grant
    else:
        with pytest.raises(TokenRefused):
            await tokens.validate(token, MINE)


async def test_any_other_end_is_the_end(tokens, clock):
    grant = example_grant(clock)
    token = await tokens.issue(grant)
    await tokens.validate(token, MINE)
    await tokens.released(grant, "limit_reached", resumable=False)
    with pytest.raises(TokenRefused):
        await tokens.validate(token, MINE)
    assert await tokens.outcome(token, MINE) == "limit_reached"
    with pytest.raises(TokenRefused):
        await tokens.outcome(token, OTHER)


@pytest.mark.parametrize("kind", [SilentStore, BrokenStore])
async def test_a_store_in_trouble_fails_closed(kind, clock, monkeypatch, caplog):
    monkeypatch.setattr(stored, "STORE_SECONDS", 0.0)
    tokens, grant, token = StoredTokens(kind(clock=clock), clock=clock), example_grant(clock), new_token()
    for call in (
        lambda: tokens.issue(grant),
        lambda: tokens.validate(token, MINE),
        lambda: tokens.inspect(token, MINE),
        lambda: tokens.outcome(token, MINE),
    ):
        with pytest.raises(StoreUnavailable, match=r"^the token store ") as caught:
            await call()
        assert token.reveal() not in str(caught.value)
    assert token.reveal() not in caplog.text


async def test_the_end_of_a_session_is_not_held_up_by_the_store(clock, monkeypatch, caplog):
    monkeypatch.setattr(stored, "STORE_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING):
        await StoredTokens(SilentStore(clock=clock), clock=clock).released(
            example_grant(clock, id="g1"), "peer_closed", resumable=True
        )
    (record,) = caplog.records
    assert record.getMessage() == (
        "the end of a session could not be noted: the token store gave no answer within 0 s"
    )
    assert record.grant_id == "g1"


async def test_the_grace_is_thirty_seconds_if_nobody_says(store, clock):
    grant, tokens = example_grant(clock), StoredTokens(store, clock=clock)
    token = await tokens.issue(grant)
    await tokens.validate(token, MINE)
    await tokens.released(grant, "peer_closed", resumable=True)
    assert (await tokens.inspect(token, MINE)).resume_until == clock.now() + 30


def test_the_deadline_is_two_seconds():
    assert stored.STORE_SECONDS == 2.0
