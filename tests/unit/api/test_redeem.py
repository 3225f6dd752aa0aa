"""api.redeem: who may, what is told, and what becomes of the grant."""

from __future__ import annotations

import asyncio
import logging

import attrs
import pytest
from consolesite import PORTAL, VNC, Rack, Site, make_site

from consolekit.api import policy
from consolekit.api.redeem import redeem
from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.life import GrantLife
from consolekit.auth.stored import new_token
from consolekit.core.errors import (
    ConsoleConflict,
    ConsoleKitError,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    PermitRefused,
    TokenRefused,
)
from consolekit.core.hooks import hookimpl
from consolekit.core.types import (
    Action,
    Caller,
    ConsoleRequest,
    Endpoint,
    Grant,
    Mode,
    Secret,
    Target,
    Transport,
)

SEER = Caller(name="seer", see_secrets=True)


@attrs.define
class Other(TokenValidator):
    """Another issuer with one token, and a target that it names."""

    token: str
    outcomes: list[tuple[str, bool]] = attrs.Factory(list)

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        return GrantLife(grant=await self.validate(token, context))

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        if token.reveal() != self.token:
            raise TokenRefused("not of this issuer")
        return Grant(
            id="g-other",
            request=ConsoleRequest(key=VNC, server_id="web-1", subject="nova"),
            provider="rack",
            issued_at=0.0,
            expires_at=60.0,
            session_seconds=60,
            target=Target(host="192.0.2.5", port=902, access=Secret("ticket")),
        )

    async def released(self, grant: Grant, outcome: str, *, resumable: bool) -> None:
        self.outcomes.append((outcome, resumable))


@pytest.fixture
def site() -> Site:
    return make_site()


async def token_of(site: Site) -> Secret:
    link = await site.kit.create("web-1", {"protocol": "vnc", "type": "novnc"}, caller=PORTAL)
    fields = dict(part.split("=", 1) for part in link.url.reveal().partition("#")[2].split("&"))
    return Secret(fields["token"])


async def test_names_the_console_and_its_grant(site: Site) -> None:
    grant, target = await redeem(site.kit, await token_of(site), caller=SEER)
    assert grant.request.server_id == "web-1"
    assert (target.host, target.port, target.access) == ("192.0.2.1", 5900, None)


async def test_a_link_for_looking_leads_through_the_gateway_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rack, "modes", tuple(Mode))
    data = {"protocol": "vnc", "type": "novnc", "mode": "view"}
    link = await site.kit.create("web-1", data, caller=PORTAL)
    with pytest.raises(PermitRefused, match="view-only"):
        await redeem(site.kit, link.token, caller=SEER)


async def test_a_caller_for_looking_is_told_no_place(site: Site) -> None:
    policy.enforce(site.kit.hooks)
    with pytest.raises(PermitRefused, match="mode interact"):
        await redeem(site.kit, await token_of(site), caller=attrs.evolve(SEER, modes=(Mode.VIEW,)))


async def test_a_caller_that_may_not_see_secrets_uses_nothing_up(site: Site) -> None:
    token = await token_of(site)
    with pytest.raises(PermitRefused):
        await redeem(site.kit, token, caller=PORTAL)
    await redeem(site.kit, token, caller=SEER)


async def test_one_of_many_at_once_has_it(site: Site) -> None:
    token = await token_of(site)
    results = await asyncio.gather(
        *(redeem(site.kit, token, caller=SEER) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, TokenRefused) for result in results) == 9


async def test_nobody_can_resume_what_was_redeemed(site: Site) -> None:
    token = await token_of(site)
    await redeem(site.kit, token, caller=SEER)
    for context in (AccessContext(), AccessContext(resume_hash="ab" * 32)):
        with pytest.raises(TokenRefused):
            await site.kit.validators.redeem(token, context)


async def test_a_token_of_nobody(site: Site) -> None:
    for token in (new_token(), Secret(""), Secret("x")):
        with pytest.raises(TokenRefused):
            await redeem(site.kit, token, caller=SEER)
    site.kit.validators = ValidatorChain([])
    with pytest.raises(TokenRefused, match="no validator"):
        await redeem(site.kit, new_token(), caller=SEER)


async def test_every_issuer_is_asked_and_its_own_target_told(site: Site) -> None:
    other = Other(token="of-nova")
    site.kit.validators = ValidatorChain([*site.kit.validators, other])
    grant, target = await redeem(site.kit, Secret("of-nova"), caller=SEER)
    assert grant.id == "g-other"
    assert (target.host, target.port) == ("192.0.2.5", 902)
    assert site.rack.checked == []
    assert other.outcomes == [("redeemed", False)]


@pytest.mark.parametrize(
    "fault",
    [ConsoleConflict("off"), ConsoleUnavailable("starting"), ConsoleNotImplemented("no way")],
)
async def test_a_fault_is_the_outcome_and_the_token_is_used_up(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: ConsoleKitError
) -> None:
    async def failing(_: ConsoleRequest) -> Endpoint:
        raise fault

    outcomes: list[str] = []

    async def released(grant: Grant, outcome: str, *, resumable: bool) -> None:
        assert not resumable
        outcomes.append(outcome)

    token = await token_of(site)
    monkeypatch.setattr(site.rack, "open", failing)
    monkeypatch.setattr(next(iter(site.kit.validators)), "released", released)
    with pytest.raises(type(fault)):
        await redeem(site.kit, token, caller=SEER)
    assert outcomes == [fault.code]
    with pytest.raises(TokenRefused):
        await redeem(site.kit, token, caller=SEER)


async def test_a_unix_socket_is_for_nobody_elsewhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def local(_: ConsoleRequest) -> Endpoint:
        return Endpoint(transport=Transport.UNIX, path="/run/vnc.sock")

    token = await token_of(site)
    monkeypatch.setattr(site.rack, "open", local)
    with pytest.raises(ConsoleNotImplemented):
        await redeem(site.kit, token, caller=SEER)


async def test_policies_are_asked(site: Site) -> None:
    asked: list[tuple[str, Action, str | None, str | None]] = []

    class Policy:
        @hookimpl
        def consolekit_permit(
            self, caller: Caller, action: Action, server_id: str | None, subject: str | None
        ) -> str | None:
            asked.append((caller.name, action, server_id, subject))
            return "not now" if action is Action.CONNECT_INFO else None

    site.kit.hooks.register(Policy(), "policy")
    token = await token_of(site)
    with pytest.raises(PermitRefused):
        await redeem(site.kit, token, caller=SEER)
    assert asked[-1] == ("seer", Action.CONNECT_INFO, "web-1", "portal")


async def test_what_is_logged_names_the_grant_and_no_secret(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await token_of(site)
    grant, _ = await redeem(site.kit, token, caller=SEER)
    written = "".join(str(vars(record)) for record in caplog.records)
    assert grant.id in written
    assert token.reveal() not in written
    assert "of the rack" not in written
