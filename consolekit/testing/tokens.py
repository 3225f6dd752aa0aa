"""Testing: what every token store must keep to, as one class of named checks. Knows no particular store.

Subclass it, say how a store is made, and pytest does the rest::

    class TestMyStore(TokenStoreContract):
        async def make_store(self, clock):
            return MyStore("redis://127.0.0.1", clock=clock)

The model test beside it, ``consolekit.testing.token_machine``, finds what no list of checks thinks of.
"""

from __future__ import annotations

import asyncio

from consolekit.auth.base import AccessContext, TokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Grant
from consolekit.testing.clock import ManualClock
from consolekit.testing.examples import SESSION, TTL, example_grant, example_hash
from consolekit.testing.storechecks import check, refused
from consolekit.testing.token_orders import OrderChecks

REDEEMERS = 64


class TokenStoreContract(OrderChecks):
    """The rules of ``TokenStore``, each with a name."""

    @check
    async def test_take_gives_the_grant_that_was_put(self, store: TokenStore, clock: ManualClock) -> None:
        """Every field comes back."""
        grant = example_grant(clock)
        await store.put(example_hash("a"), grant)
        assert await store.take(example_hash("a")) == grant

    @check
    async def test_inspect_changes_nothing(self, store: TokenStore, clock: ManualClock) -> None:
        """It tells what is kept, used or expired or neither; the token is still good for whom it was."""
        grant, key = example_grant(clock), example_hash("key")
        await refused(store.inspect(example_hash("a")), "to inspect what is not there")
        await store.put(example_hash("a"), grant)
        for _ in range(2):
            life = await store.inspect(example_hash("a"))
            assert (life.grant, life.used_at, life.outcome) == (grant, None, None)
        await store.take(example_hash("a"), resume_hash=key)
        life = await store.inspect(example_hash("a"))
        assert (life.grant, life.used_at, life.resume_hash) == (grant, clock.now(), key)
        await store.take(example_hash("a"), resume_hash=key)
        await store.put(example_hash("b"), grant)
        clock.advance(TTL)
        assert (await store.inspect(example_hash("b"))).used_at is None, "expired, not purged, not used"

    @check
    async def test_put_refuses_a_hash_that_is_there(self, store: TokenStore, clock: ManualClock) -> None:
        """A second grant under one token would be another console behind the same link."""
        first, second = example_grant(clock, server_id="web-1"), example_grant(clock, server_id="web-2")
        await store.put(example_hash("a"), first)
        try:
            await store.put(example_hash("a"), second)
        except ValueError:
            assert await store.take(example_hash("a")) == first
            return
        raise AssertionError("must be refused: a token hash that is already there")

    @check
    async def test_a_raw_token_is_never_kept(self, store: TokenStore, clock: ManualClock) -> None:
        """What is no SHA-256 in lower-case hex is refused: it may be the token itself."""
        for wrong in ("ckt_" + "A" * 43, example_hash("a").upper(), "", "a" * 63, "a" * 64 + "\n"):
            try:
                await store.put(wrong, example_grant(clock))
            except ValueError:
                continue
            raise AssertionError("must be refused: a token in place of its hash")
        assert await store.grants() == []

    @check
    async def test_only_the_exact_hash_opens(self, store: TokenStore, clock: ManualClock) -> None:
        """No other case, no prefix, no pattern."""
        token_hash = example_hash("a")
        await store.put(token_hash, example_grant(clock))
        for wrong in (token_hash.upper(), token_hash[:-1], token_hash + " ", "%", "*", "", example_hash("b")):
            await refused(store.take(wrong), f"{wrong!r} instead of {token_hash!r}")
        await store.take(token_hash)

    @check
    async def test_only_the_token_itself_opens(self, store: TokenStore, clock: ManualClock) -> None:
        """The whole way of a token over this store: issued, redeemed; its hash is no token."""
        tokens, grant, browser = StoredTokens(store, clock=clock), example_grant(clock), AccessContext()
        token = await tokens.issue(grant)
        await refused(store.take(token.reveal()), "the raw token in place of its hash")
        assert await tokens.validate(token, browser) == grant
        await refused(tokens.validate(token, browser), "the second use")

    @check
    async def test_a_grant_opens_until_just_before_expiry(
        self, store: TokenStore, clock: ManualClock
    ) -> None:
        """Alive while now < expires_at."""
        await store.put(example_hash("a"), example_grant(clock))
        clock.advance(TTL - 0.5)
        assert len(await store.grants()) == 1
        await store.take(example_hash("a"))

    @check
    async def test_a_grant_is_dead_at_expiry(self, store: TokenStore, clock: ManualClock) -> None:
        """Dead at expires_at, not after it."""
        await store.put(example_hash("a"), example_grant(clock))
        clock.advance(TTL)
        assert await store.grants() == [], "an expired grant is not listed"
        await refused(store.take(example_hash("a")), "a grant at the very instant of its expiry")

    @check
    async def test_a_token_opens_once(self, store: TokenStore, clock: ManualClock) -> None:
        """Whoever comes later, with another key or with none, gets nothing."""
        await store.put(example_hash("a"), example_grant(clock))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await refused(store.take(example_hash("a"), resume_hash=example_hash("other")), "another's key")

    @check
    async def test_one_of_many_at_once_wins(self, store: TokenStore, clock: ManualClock) -> None:
        """``take`` is atomic, also between two handles of a shared store."""
        handles = [store, await self.make_store(clock)] if store.shared else [store]
        try:
            await store.put(example_hash("a"), example_grant(clock))
            takes = (
                handles[number % len(handles)].take(
                    example_hash("a"), resume_hash=example_hash(f"key {number}")
                )
                for number in range(REDEEMERS)
            )
            answers = await asyncio.gather(*takes, return_exceptions=True)
        finally:
            for other in handles[1:]:
                await other.aclose()
        winners = [answer for answer in answers if isinstance(answer, Grant)]
        losers = [answer for answer in answers if isinstance(answer, TokenRefused)]
        assert (len(winners), len(losers)) == (1, REDEEMERS - 1), f"{len(winners)} redeemers won"

    @check
    async def test_the_same_browser_resumes(self, store: TokenStore, clock: ManualClock) -> None:
        """With its key, again and again, until just before the deadline."""
        grant = example_grant(clock)
        await store.put(example_hash("a"), grant)
        for pause in (0, TTL, SESSION - TTL - 0.5):
            clock.advance(pause)
            assert await store.take(example_hash("a"), resume_hash=example_hash("key")) == grant

    @check
    async def test_nobody_resumes_without_the_key(self, store: TokenStore, clock: ManualClock) -> None:
        """The token alone opens nothing any more."""
        await store.put(example_hash("a"), example_grant(clock))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await refused(store.take(example_hash("a")), "a resume without the key")

    @check
    async def test_no_key_is_no_key(self, store: TokenStore, clock: ManualClock) -> None:
        """Two empty keys are not the same key."""
        await store.put(example_hash("a"), example_grant(clock))
        await store.take(example_hash("a"))
        await refused(store.take(example_hash("a")), "a resume of a grant taken without a key")
        await refused(store.outcome(example_hash("a"), resume_hash=""), "an outcome without a key")

    @check
    async def test_no_resume_at_the_session_deadline(self, store: TokenStore, clock: ManualClock) -> None:
        """First take + session_seconds, whatever happened in between."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await store.release("g", outcome="peer_closed", resume_until=clock.now() + 2 * SESSION)
        clock.advance(SESSION)
        await refused(store.take(example_hash("a"), resume_hash=example_hash("key")), "an endless session")

    @check
    async def test_no_resume_at_the_release_deadline(self, store: TokenStore, clock: ManualClock) -> None:
        """What ``release`` says counts: possible before it, over at it."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await store.release("g", outcome="peer_closed", resume_until=clock.now() + 30)
        clock.advance(29.5)
        assert len(await store.grants()) == 1, "a grant that can be resumed is listed"
        clock.advance(0.5)
        assert await store.grants() == []
        await refused(store.take(example_hash("a"), resume_hash=example_hash("key")), "a resume too late")

    @check
    async def test_a_resume_opens_the_window_again(self, store: TokenStore, clock: ManualClock) -> None:
        """The old grace must not end a session that has come back since."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await store.release("g", outcome="peer_closed", resume_until=clock.now() + 30)
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        clock.advance(31)
        assert len(await store.grants()) == 1, "a grant with a live session is listed"
        await store.take(example_hash("a"), resume_hash=example_hash("key"))

    @check
    async def test_release_without_grace_ends_it(self, store: TokenStore, clock: ManualClock) -> None:
        """A deadline of now: no resume, not even at once."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        await store.release("g", outcome="limit_reached", resume_until=clock.now())
        await refused(
            store.take(example_hash("a"), resume_hash=example_hash("key")), "a resume after the end"
        )

    @check
    async def test_release_touches_only_a_taken_grant(self, store: TokenStore, clock: ManualClock) -> None:
        """No grant, or one that nobody has taken: no error, no change."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.release("nobody", outcome="peer_closed", resume_until=clock.now() + 30)
        await store.release("g", outcome="peer_closed", resume_until=clock.now())
        await store.take(example_hash("a"), resume_hash=example_hash("key"))
        assert await store.outcome(example_hash("a"), resume_hash=example_hash("key")) is None

    @check
    async def test_outcome_is_for_its_owner_alone(self, store: TokenStore, clock: ManualClock) -> None:
        """None, then the last one; refused to everybody else and before a take."""
        ours, theirs = example_hash("key"), example_hash("other")
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await refused(store.outcome(example_hash("a"), resume_hash=ours), "an outcome before any take")
        await store.take(example_hash("a"), resume_hash=ours)
        assert await store.outcome(example_hash("a"), resume_hash=ours) is None
        for code in ("connect_failed", "peer_closed"):
            await store.release("g", outcome=code, resume_until=clock.now() + 30)
            assert await store.outcome(example_hash("a"), resume_hash=ours) == code
        await refused(store.outcome(example_hash("a"), resume_hash=theirs), "an outcome with another's key")
        await refused(store.outcome(example_hash("b"), resume_hash=ours), "an outcome of another token")
