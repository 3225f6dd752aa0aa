"""testing.providerchecks: what an author is told who has not said enough, and what counts as secret."""

from __future__ import annotations

import asyncio

import pytest
from lightsout import LightsOut

from consolekit import Endpoint, Secret, Target
from consolekit.testing import ProviderContract
from consolekit.testing.providerchecks import ProviderChecks


def test_who_does_not_say_how_it_is_made_is_told() -> None:
    class Unsaid(ProviderContract):
        pass

    with pytest.raises(NotImplementedError, match="Unsaid must say how its provider is made: make_provider"):
        Unsaid().test_its_keys_are_pairs()
    with pytest.raises(NotImplementedError, match=r"make_provider_at.*or asks_nobody = True"):
        asyncio.run(Unsaid().make_provider_at("192.0.2.1", 1))


def test_a_console_that_cannot_be_had_is_told_with_the_server() -> None:
    class Away(LightsOut):
        async def open(self, request):
            raise LookupError("gone")

    checks = ProviderChecks()
    provider = Away(host="192.0.2.1", port=1, password=Secret("x"))
    with pytest.raises(
        AssertionError, match=r"open of web-1 gave LookupError\('gone'\) instead of an Endpoint"
    ):
        asyncio.run(checks.good(provider))


def test_a_request_is_as_the_gateway_makes_it() -> None:
    checks = ProviderChecks()
    provider = LightsOut(host="192.0.2.1", port=1, password=Secret("x"))
    request = checks.request(provider, params={"line": 1})
    assert (str(request.key), request.server_id, dict(request.params)) == (
        "serial/lights-out",
        "web-1",
        {"line": 1},
    )


def test_what_is_a_secret_somewhere_may_be_seen_nowhere() -> None:
    checks = ProviderChecks()
    checks.secrets = ("pass",)
    endpoint = Endpoint(secret=Secret("ticket"), headers=(("a", Secret("bearer")),))
    target = Target(host="192.0.2.1", port=1, access=Secret("access"))
    info = {"login": Secret("clone"), "parts": [Secret("part"), 1], "empty": Secret("")}
    hidden = checks.hidden(endpoint, target, info, None, LookupError("x"))
    assert hidden == {"pass", "ticket", "bearer", "access", "clone", "part"}


async def test_what_is_held_is_waited_for() -> None:
    class Slow(ProviderChecks):
        left = 5

        def held(self):
            self.left -= 1
            return self.left

    assert await Slow().settled(0) == 0
