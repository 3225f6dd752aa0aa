"""Two kits in one process do not see each other: not their servers, tokens, sessions, hooks or figures."""

from __future__ import annotations

import logging

import pytest
from consolesite import PORTAL, make_site, session

from consolekit import BlockingConsoleKit, SessionInfo, hookimpl
from consolekit.core.errors import NotFound, PermitRefused, TokenRefused
from consolekit.core.types import Scope
from consolekit.proxy.engine import Engine, ProxySettings

GOOD = {"protocol": "vnc", "type": "novnc"}


class Closed:
    """Refuses everything, and notes what is revoked."""

    def __init__(self) -> None:
        self.revoked: list[object] = []

    @hookimpl
    def consolekit_permit(self) -> str:
        return "closed"

    @hookimpl
    def consolekit_revoked(self, revocation: object) -> None:
        self.revoked.append(revocation)

    @hookimpl
    def consolekit_session_closed(self, session: SessionInfo) -> None:
        raise AssertionError("none of ours")


async def test_tokens_sessions_and_revocations_are_their_own() -> None:
    one, other = make_site(), make_site()
    link = await one.kit.create("web-1", GOOD, caller=PORTAL)
    with pytest.raises(TokenRefused):
        await other.kit.inspect(link.token)
    with pytest.raises(NotFound):
        await other.kit.revoke(link.grant_id, caller=PORTAL)
    await one.store.keep_sessions("tests", [session("s-1")])
    assert await other.kit.sessions(caller=PORTAL) == []
    assert await other.kit.revoke_all(Scope.SERVER, "web-1") == 0
    assert (await one.kit.inspect(link.token)).grant.id == link.grant_id
    await one.kit.aclose()
    assert (one.rack.closed, other.rack.closed) == (True, False)
    await other.kit.aclose()


async def test_hooks_and_settings_are_their_own() -> None:
    one, other, closed = make_site(), make_site(base_url="https://other.example.org"), Closed()
    one.kit.hooks.register(closed)
    with pytest.raises(PermitRefused):
        await one.kit.create("web-1", GOOD, caller=PORTAL)
    link = await other.kit.create("web-1", GOOD, caller=PORTAL)
    assert link.url.reveal().startswith("https://other.example.org/console/")
    await other.kit.revoke(link.grant_id, caller=PORTAL)
    assert closed.revoked == []
    await one.kit.aclose()
    await other.kit.aclose()


async def test_figures_and_live_sessions_are_their_own() -> None:
    sites = [make_site(), make_site()]
    one, other = (Engine(site.kit, ProxySettings.of(site.kit)) for site in sites)
    one.metrics.refused("token_refused")
    name, labels = "consolekit_refusals_total", {"code": "token_refused"}
    assert one.metrics.registry.get_sample_value(name, labels) == 1
    assert not other.metrics.registry.get_sample_value(name, labels)
    one.sessions.draining = True
    other.sessions.admit("192.0.2.7")
    for site in sites:
        await site.kit.aclose()


def test_blocking_kits_have_threads_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with (
        BlockingConsoleKit(lambda: make_site().kit) as one,
        BlockingConsoleKit(lambda: make_site().kit) as other,
    ):
        link = one.create("web-1", GOOD, caller=PORTAL)
        with pytest.raises(TokenRefused):
            other.inspect(link.token)
        one.close()
        assert other.offers("web-1", caller=PORTAL)
    assert caplog.records == []
