import asyncio

import attrs
import pytest

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.life import GrantLife
from consolekit.core.errors import StoreUnavailable, TokenRefused
from consolekit.core.timings import Step, Timings
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant

CONTEXT = AccessContext()


@attrs.define(eq=False)
class Issuer(TokenValidator):
    """Knows the tokens that begin with its letter; may recognise them by it."""

    letter: str
    by_form: bool = False
    failure: Exception | None = None
    asked: list[str] = attrs.Factory(list)
    seconds: float = 2.0

    def recognises(self, token):
        return self.by_form and token.reveal().startswith(self.letter)

    async def inspect(self, token, context):
        return GrantLife(grant=await self.validate(token, context))

    async def validate(self, token, context):
        assert context is CONTEXT
        self.asked.append(token.reveal())
        if self.failure is not None:
            raise self.failure
        if not token.reveal().startswith(self.letter) or "bad" in token.reveal():
            raise TokenRefused(f"not of {self.letter}")
        return example_grant(ManualClock(), id=token.reveal())

    async def outcome(self, token, context):
        return (await self.validate(token, context)).id


@attrs.define(eq=False)
class Silent(Issuer):
    async def validate(self, token, context):
        await asyncio.Event().wait()


async def test_the_first_that_knows_a_token_decides():
    a, b, c = Issuer("a"), Issuer("b"), Issuer("c")
    validator, grant = await ValidatorChain([a, b, c]).redeem(Secret("b1"), CONTEXT)
    assert (validator, grant.id) == (b, "b1")
    assert (a.asked, c.asked) == (["b1"], [])


async def test_a_recognised_token_is_offered_to_nobody_else():
    a, b = Issuer("a"), Issuer("b", by_form=True)
    chain = ValidatorChain([a, b])
    assert (await chain.redeem(Secret("b1"), CONTEXT))[0] is b
    assert (await chain.inspect(Secret("b1"), CONTEXT)).grant.id == "b1"
    assert await chain.outcome(Secret("b1"), CONTEXT) == "b1"
    with pytest.raises(TokenRefused, match="not of b"):
        await chain.redeem(Secret("b bad"), CONTEXT)
    assert a.asked == []


async def test_the_last_refusal_is_told():
    with pytest.raises(TokenRefused, match="not of b"):
        await ValidatorChain([Issuer("a"), Issuer("b")]).redeem(Secret("x"), CONTEXT)


async def test_nobody_after_one_that_cannot_tell_is_asked():
    last = Issuer("c")
    chain = ValidatorChain([Issuer("a", failure=StoreUnavailable("away")), last])
    with pytest.raises(StoreUnavailable, match="away"):
        await chain.redeem(Secret("c1"), CONTEXT)
    assert last.asked == []


async def test_each_has_its_own_deadline():
    with pytest.raises(StoreUnavailable, match="token validator Silent gave no answer within 0 s"):
        await ValidatorChain([Silent("a", seconds=0)]).redeem(Secret("a1"), CONTEXT)


async def test_a_failure_opens_nothing(caplog):
    chain = ValidatorChain([Issuer("a", failure=KeyError("a1"))])
    with pytest.raises(StoreUnavailable, match="token validator Issuer failed: KeyError"):
        await chain.inspect(Secret("a1"), CONTEXT)


async def test_without_validators_everything_is_refused():
    with pytest.raises(TokenRefused, match=r": no validator is configured$"):
        await ValidatorChain([]).outcome(Secret("a1"), CONTEXT)


def test_the_validators_can_be_gone_through():
    a, b = Issuer("a"), Issuer("b")
    assert list(ValidatorChain([a, b])) == [a, b]


async def test_validators_have_the_names_that_they_are_given_and_are_measured_by_them():
    told = []
    timings = Timings(ManualClock())
    timings.listen(lambda timing: told.append((timing.step, timing.labels)))
    a, b = Issuer("a"), Issuer("b")
    chain = ValidatorChain({"second": a, "first": b}, timings=timings)
    assert chain.names == ("first", "second")
    assert list(chain) == [a, b]
    await chain.redeem(Secret("b1"), CONTEXT)
    assert told == [(Step.VALIDATOR, ("second",)), (Step.VALIDATOR, ("first",))]


def test_without_names_their_class_is_it():
    assert ValidatorChain([Issuer("a"), Issuer("b"), Silent("c")]).names == ("Issuer", "Silent")
