"""Testing: what every token validator must keep to, as one class of named checks. Knows no particular one.

Subclass it, say how a validator and a good token of it are made, and pytest does the rest::

    class TestMyTokens(TokenValidatorContract):
        async def make_validator(self, clock):
            self.tokens = MyTokens(clock=clock)
            return self.tokens

        async def make_token(self, wish):
            return self.tokens.sign(wish)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.life import GrantLife
from consolekit.core.errors import ConsoleKitError, TokenRefused
from consolekit.core.types import Grant, Secret
from consolekit.testing.clock import ManualClock
from consolekit.testing.validatorchecks import (
    MINE,
    NOBODY,
    OTHER,
    ValidatorChecks,
    all_logs,
    altered,
    answer,
    asked,
    check,
    skip,
    whole_text,
)

NO_TOKENS = (
    "", " ", "\0", "x", "../", "..", ".", "/", "../../etc/passwd", "%2e%2e%2f", "%00", "{}", "a b",
    "a\r\nb: c", "a;b", "\x7f", "ü", "\ud800", "\U0001f511", "' or 1=1 --", "*", "%", "A" * 100_000,
    "[" * 10_000,
)  # fmt: skip
"""Texts that are no token of anybody."""

_TURNS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512)


class TokenValidatorContract(ValidatorChecks):
    """The rules of ``TokenValidator``, each with a name."""

    @check
    async def test_a_good_token_gives_its_grant(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """What was wished for comes back, with a name and a life."""
        token, wish = await self.good(clock)
        grant: object = await tokens.validate(token, MINE)
        if not isinstance(grant, Grant):
            assert grant is None, f"gave {type(grant).__name__}"
            return  # test_never_none says so
        assert self.same(grant, wish), f"another grant: {grant!r}"
        assert grant.id
        assert grant.issued_at <= clock.now() < grant.expires_at
        assert grant.session_seconds > 0

    @check
    async def test_never_none(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """None is no answer to any token: a caller that forgets to look would open something."""
        token, _ = await self.good(clock)
        assert await answer(tokens.validate(token, MINE)) is not None, "for a good token"
        for text in [altered(token.reveal()), token.reveal()[:-1], *NO_TOKENS]:
            for ask in (tokens.validate, tokens.inspect):
                assert await answer(ask(Secret(text), MINE)) is not None, f"{ask.__name__} of no token"

    @check
    async def test_what_is_no_token_opens_nothing(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Empty, huge, with NUL, no Unicode, a path, a pattern."""
        await self.good(clock)
        for number, text in enumerate(NO_TOKENS):
            await _nothing(tokens, text, f"text {number} of NO_TOKENS")

    @check
    async def test_another_token_of_the_same_form_opens_nothing(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """One character is another."""
        token, _ = await self.good(clock)
        await _nothing(tokens, altered(token.reveal()), "one character replaced")

    @check
    async def test_another_case_opens_nothing(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Tokens are compared as they are."""
        text = (await self.good(clock))[0].reveal()
        for other in {text.upper(), text.lower(), text.swapcase()} - {text}:
            await _nothing(tokens, other, "another case")

    @check
    async def test_a_part_or_more_of_a_token_opens_nothing(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """Cut, doubled, with anything before or behind it, or as a step of a path."""
        text = (await self.good(clock))[0].reveal()
        parts = [text[:-1], text[1:], text[: len(text) // 2]]
        more = [
            text * 2,
            *(text + end for end in ("x", " ", "\n", "\0", "/", "=", "?x")),
            f" {text}",
            f"./{text}",
        ]
        for other in (*parts, *more, f"../{text}", f"{text},{text}", f"{text};{text}"):
            await _nothing(tokens, other, f"{len(other)} characters for {len(text)}")

    @check
    async def test_every_refusal_is_token_refused(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """No error of a library, of Python, or of one's own gets out."""
        async for what, said in self._refusals(tokens, clock):
            assert isinstance(said, TokenRefused | None), f"{what}: {type(said).__name__}"

    @check
    async def test_every_refusal_looks_the_same(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Nobody outside learns why."""
        faces = {
            (said.code, said.status, said.title, said.public_detail)
            async for _, said in self._refusals(tokens, clock)
            if isinstance(said, TokenRefused)
        }
        expected = (TokenRefused.code, TokenRefused.status, TokenRefused.title, "")
        assert faces <= {expected}, f"public faces: {faces}"

    @check
    async def test_a_token_opens_until_just_before_its_expiry(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """Alive while now < expires_at."""
        token, wish = await self._expiring(clock)
        clock.advance(wish.expires_at - clock.now() - 0.5)
        said = await answer(tokens.validate(token, MINE))
        assert said is None or self.same(said, wish), "refused before its expiry"

    @check
    async def test_a_token_is_dead_at_its_expiry(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Dead at expires_at, not after it."""
        token, wish = await self._expiring(clock)
        clock.advance(wish.expires_at - clock.now())
        said = await answer(tokens.validate(token, MINE))
        assert not isinstance(said, Grant), "opens at the very instant of its expiry"

    async def _expiring(self, clock: ManualClock) -> tuple[Secret, Grant]:
        if not self.expires:
            raise skip("these tokens do not expire by the validator's clock")
        return await self.good(clock)

    @check
    async def test_inspect_does_not_redeem(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """To look is not to take: the token is still good, for whoever comes."""
        token, wish = await self.good(clock)
        for context in (MINE, OTHER, NOBODY):
            said = await answer(tokens.inspect(token, context))
            assert isinstance(said, GrantLife), f"inspect gave {type(said).__name__}"
            assert self.same(said.grant, wish), "inspect tells of another grant"
            assert said.used_at is None, "inspect says that it is used"
        said = await answer(tokens.validate(token, MINE))
        assert not isinstance(said, ConsoleKitError), "refused after it was looked at"

    @check
    async def test_the_same_browser_has_the_same_grant(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """A reload is told from another viewer by its resume key, and ends its own older session."""
        token, _ = await self.good(clock)
        first, second = [await answer(tokens.validate(token, MINE)) for _ in range(2)]
        if isinstance(first, Grant) and isinstance(second, Grant):
            assert first.id == second.id, "another name for the same browser's grant"

    @check
    async def test_recognises_asks_nobody(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """By the form alone: never an error, no file, no socket, and the same answer whatever happens."""
        token, _ = await self.good(clock)
        with asked() as events:
            before = _recognised(tokens, token.reveal())
            for text in NO_TOKENS:
                _recognised(tokens, text)
        assert not events, f"recognises asked: {events}"
        await answer(tokens.validate(token, MINE))
        assert _recognised(tokens, token.reveal()) is before, "another answer after its use"
        assert before or not self.claims_form, "does not recognise its own token"

    @check
    async def test_no_log_holds_a_token(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """At no level, in no field of a record, in no traceback."""
        token, _ = await self.good(clock)
        other = altered(token.reveal())
        with all_logs() as texts:
            for text in (token.reveal(), other, token.reveal() + "x"):
                for call in _every_call(tokens):
                    await answer(call(Secret(text), MINE))
        for needle in (token.reveal(), other):
            assert not [text for text in texts if needle in text], "a token in the log"

    @check
    async def test_no_repr_holds_a_token(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Neither of the validator nor of what it gives."""
        token, _ = await self.good(clock)
        shown = [repr(await answer(call(token, MINE))) for call in _every_call(tokens)]
        for text in (repr(tokens), str(tokens), *shown):
            assert token.reveal() not in text, "a token in a repr"

    @check
    async def test_no_exception_text_holds_a_token(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Nor do the exceptions behind it."""
        token, _ = await self.good(clock)
        for text in (altered(token.reveal()), token.reveal() + "-behind"):
            for call in _every_call(tokens):
                said = await answer(call(Secret(text), MINE))
                assert not isinstance(said, Exception) or text not in whole_text(said), "a token in an error"

    @check
    async def test_cancelled_anywhere_it_works_on(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """A browser that goes away takes nothing with it, whatever the validator was waiting for."""
        for number, turns in enumerate(_TURNS):
            token, _ = await self.good(clock, number)
            task = asyncio.get_running_loop().create_task(_ask(tokens.validate(token, MINE)))
            for _ in range(turns):
                await asyncio.sleep(0)
            late = task.done()
            task.cancel()
            (said,) = await asyncio.gather(task, return_exceptions=True)
            assert late or isinstance(said, asyncio.CancelledError | Grant), f"cancelled, and gave {said!r}"
            if late:
                break
        token, _ = await self.good(clock, len(_TURNS))
        said = await answer(asyncio.wait_for(tokens.validate(token, MINE), 2 * tokens.seconds + 1))
        assert not isinstance(said, Exception), f"after a cancelled call: {type(said).__name__}"

    @check
    async def test_two_at_once_get_what_is_theirs(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """Different tokens are not mixed up; of one token, somebody gets its grant."""
        made = [await self.good(clock, number) for number in range(8)]
        calls = (answer(tokens.validate(token, MINE)) for token, _ in made)
        for said, (_, wish) in zip(await asyncio.gather(*calls), made, strict=True):
            assert said is None or self.same(said, wish), "not the grant of this token"
        token, wish = await self.good(clock, 8)
        both = await asyncio.gather(*(answer(tokens.validate(token, who)) for who in (MINE, OTHER)))
        assert all(isinstance(said, Grant | TokenRefused | None) for said in both), (
            "neither given nor refused"
        )
        assert any(not isinstance(said, Exception) for said in both), "refused to everybody"

    @check
    async def test_an_outcome_is_for_its_owner_alone(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """Nothing, or a refusal, for everybody else and before there is one."""
        token, wish = await self.good(clock)
        nothing = (TokenRefused, type(None))
        assert isinstance(await answer(tokens.outcome(token, MINE)), nothing), "an outcome before any use"
        grant = await answer(tokens.validate(token, MINE))
        ended = grant if isinstance(grant, Grant) else wish
        await answer(tokens.released(ended, "viewer_gone", resumable=True))
        assert await answer(tokens.outcome(token, MINE)) in (None, "viewer_gone")
        for context in (OTHER, NOBODY):
            assert isinstance(await answer(tokens.outcome(token, context)), nothing), "another's outcome"
        other = Secret(altered(token.reveal()))
        assert not isinstance(await answer(tokens.outcome(other, MINE)), str), "an outcome of no token"

    @check
    async def test_the_end_of_an_unknown_grant_is_no_error(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> None:
        """The session is over anyway."""
        _, wish = await self.good(clock)
        assert await answer(tokens.released(wish, "viewer_gone", resumable=False)) is None

    @check
    async def test_its_deadline_is_one(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """A browser waits that long for a refusal."""
        assert isinstance(tokens.seconds, int | float)
        assert math.isfinite(tokens.seconds)
        assert 0 < tokens.seconds <= 60

    @check
    async def test_closing_twice_is_no_error(self, tokens: TokenValidator, clock: ManualClock) -> None:
        """The check's end closes it once more."""
        token, _ = await self.good(clock)
        await answer(tokens.validate(token, MINE))
        for _ in range(2):
            assert await answer(tokens.aclose()) is None, "closing raises"

    async def _refusals(
        self, tokens: TokenValidator, clock: ManualClock
    ) -> AsyncIterator[tuple[str, object]]:
        """What every call says to texts that open nothing: an exception, or None for whatever it gave."""
        token, _ = await self.good(clock)
        for text in (altered(token.reveal()), token.reveal()[:-1], token.reveal() + "x", *NO_TOKENS):
            for call in _every_call(tokens):
                said = await answer(call(Secret(text), MINE))
                yield call.__name__, said if isinstance(said, Exception) else None


async def _ask(call: Awaitable[object]) -> object:
    return await call


def _every_call(tokens: TokenValidator) -> tuple[Callable[[Secret, AccessContext], Awaitable[object]], ...]:
    return (tokens.inspect, tokens.outcome, tokens.validate)


async def _nothing(tokens: TokenValidator, text: str, what: str) -> None:
    """Demand that a text opens nothing; that it is refused properly is for others to check."""
    for ask in (tokens.inspect, tokens.validate):
        said = await answer(ask(Secret(text), MINE))
        assert not isinstance(said, Grant | GrantLife), f"must be refused: {what}"


def _recognised(tokens: TokenValidator, text: str) -> bool:
    try:
        said = tokens.recognises(Secret(text))
    except Exception as exc:
        raise AssertionError(f"recognises raised {type(exc).__name__}") from None
    assert isinstance(said, bool), "recognises gives True or False"
    return said
