"""Another validator's tokens, spent in our store."""

import attrs
import pytest

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.life import GrantLife
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import SingleUse
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Grant, Revocation, Scope, Secret, Target
from consolekit.testing import ManualClock, example_grant

TOKEN, MINE, OTHER = (
    Secret("theirs"),
    AccessContext(resume_hash="a" * 64),
    AccessContext(resume_hash="b" * 64),
)
PLACE = Target(host="192.0.2.1", port=5900, access=Secret("ticket"))


@attrs.define(eq=False)
class Issuer(TokenValidator):
    """One token that can be used again and again."""

    grant: Grant
    closed: bool = False
    contexts: list[AccessContext] = attrs.Factory(list)

    def recognises(self, token):
        return token == TOKEN

    async def inspect(self, token, context):
        self.contexts.append(context)
        if token != TOKEN:
            raise TokenRefused("not mine")
        return GrantLife(grant=self.grant)

    async def validate(self, token, context):
        return (await self.inspect(token, context)).grant

    def provider_names(self):
        return ["lab"]

    async def aclose(self):
        self.closed = True


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return MemoryTokenStore(clock=clock)


@pytest.fixture
def inner(clock):
    return Issuer(attrs.evolve(example_grant(clock, id="g"), target=PLACE))


@pytest.fixture
def tokens(inner, store, clock):
    return SingleUse(inner, store, clock=clock, grace_seconds=30)


async def test_a_token_opens_one_session(tokens, inner):
    assert await tokens.validate(TOKEN, MINE) == inner.grant
    for context in (OTHER, AccessContext()):
        with pytest.raises(TokenRefused, match="used"):
            await tokens.validate(TOKEN, context)


async def test_the_same_browser_resumes_after_expiry_with_the_target(tokens, inner, clock):
    await tokens.validate(TOKEN, MINE)
    clock.advance(60)
    assert (await tokens.validate(TOKEN, MINE)).target == PLACE
    await tokens.released(inner.grant, "viewer_gone", resumable=True)
    assert await tokens.outcome(TOKEN, MINE) == "viewer_gone"
    clock.advance(30)
    with pytest.raises(TokenRefused, match="resume deadline"):
        await tokens.validate(TOKEN, MINE)


async def test_a_target_reaches_no_store(tokens, store):
    await tokens.validate(TOKEN, MINE)
    assert [grant.target for grant in await store.grants()] == [None]


async def test_an_expired_token_is_refused_and_leaves_nothing(tokens, store, clock):
    clock.advance(60)
    with pytest.raises(TokenRefused):
        await tokens.validate(TOKEN, MINE)
    assert await store.purge() == 0


async def test_a_purged_token_opens_nothing(tokens, store, inner, clock):
    await tokens.validate(TOKEN, MINE)
    await tokens.released(inner.grant, "viewer_closed", resumable=False)
    clock.advance(60)
    assert await store.purge() == 1
    with pytest.raises(TokenRefused):
        await tokens.validate(TOKEN, MINE)


async def test_the_grace_is_the_one_that_is_said_or_thirty_seconds(inner, store, clock):
    for tokens, seconds in ((SingleUse(inner, store, clock=clock, grace_seconds=5), 5),
                            (SingleUse(inner, store, clock=clock), 30)):  # fmt: skip
        await tokens.validate(TOKEN, MINE)
        await tokens.released(inner.grant, "viewer_gone", resumable=True)
        assert (await tokens.inspect(TOKEN, MINE)).resume_until == clock.now() + seconds


async def test_the_issuer_is_told_of_the_browser(tokens, inner):
    await tokens.inspect(TOKEN, OTHER)
    await tokens.validate(TOKEN, MINE)
    assert inner.contexts == [OTHER, MINE]


async def test_what_the_issuer_refuses_never_reaches_the_store(tokens, store):
    with pytest.raises(TokenRefused, match="not mine"):
        await tokens.validate(Secret("x"), MINE)
    assert await store.grants() == []


async def test_to_inspect_is_not_to_redeem(tokens, inner, clock):
    assert await tokens.inspect(TOKEN, MINE) == GrantLife(grant=inner.grant)
    await tokens.validate(TOKEN, MINE)
    life = await tokens.inspect(TOKEN, OTHER)
    assert (life.grant, life.used_at) == (inner.grant, clock.now())


async def test_a_grant_can_be_found_and_revoked(tokens, store, clock):
    await tokens.validate(TOKEN, MINE)
    assert await store.revoke(Revocation(scope=Scope.GRANT, value="g", at=clock.now())) == 1


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("scope", [Scope.GRANT, Scope.SERVER, Scope.SUBJECT])
async def test_what_is_revoked_opens_nothing(tokens, inner, store, clock, scope, used):
    """Used or not: the store never knew it, or knows it no more."""
    if used:
        await tokens.validate(TOKEN, MINE)
    value = {Scope.GRANT: "g", Scope.SERVER: "web-1", Scope.SUBJECT: "ann"}[scope]
    await store.revoke(Revocation(scope=scope, value=value, at=clock.now()))
    for ask in (tokens.validate, tokens.inspect):
        with pytest.raises(TokenRefused, match="revoked"):
            await ask(TOKEN, MINE)
    assert await store.grants() == []
    inner.grant = attrs.evolve(inner.grant, id="later", issued_at=clock.now() + 1)
    if scope is not Scope.GRANT:
        assert (await tokens.validate(TOKEN, MINE)).id == "later"


async def test_the_rest_is_the_issuers(tokens, inner):
    assert tokens.recognises(TOKEN)
    assert not tokens.recognises(Secret("x"))
    assert tokens.provider_names() == ["lab"]
    assert tokens.seconds == inner.seconds + 3 * 2
    await tokens.aclose()
    assert inner.closed


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 5000, "\0"])
def test_any_text_has_a_name(tokens, text):
    assert len(tokens.name_of(Secret(text))) == 64
