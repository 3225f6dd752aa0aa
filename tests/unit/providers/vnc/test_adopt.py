"""providers.vnc: servers that somebody else has named, where the configuration allows it."""

from __future__ import annotations

import pytest

from consolekit.core.errors import ConfigError, ConsoleNotImplemented, ConsoleUnavailable
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Secret, Target
from consolekit.providers.vnc.provider import VncProvider

REQUEST = ConsoleRequest(key=ConsoleKey("vnc", "novnc"), server_id="a", subject="s")


async def test_a_named_server_gets_the_table_s_login() -> None:
    table = {"password": "p", "tls": {}, "allowed_networks": ["10.0.0.0/8"]}
    provider = VncProvider.from_config({"adopt": table}, shared=Shared())
    endpoint = await provider.adopt(REQUEST, Target(host="fd00::1", port=5901))
    assert (endpoint.host, endpoint.port, endpoint.secret) == ("fd00::1", 5901, Secret("p"))
    assert endpoint.tls_required
    assert endpoint.allowed_networks == ("10.0.0.0/8",)
    assert provider.named(endpoint) == Target(host="fd00::1", port=5901)


async def test_without_the_table_nothing_is_adopted() -> None:
    provider = VncProvider.from_config({"servers": {}}, shared=Shared())
    with pytest.raises(ConsoleNotImplemented):
        await provider.adopt(REQUEST, Target(host="h", port=5901))


@pytest.mark.parametrize(
    "target",
    [
        Target(host="h", port=0),
        Target(host="a b", port=5901),
        Target(host="user@h", port=5901),
        Target(host="unix:/run/x", port=5901),
        Target(host="h", port=5901, access=Secret("x")),
    ],
)
async def test_places_that_cannot_be_meant(target: Target) -> None:
    with pytest.raises(ConsoleUnavailable):
        await VncProvider.from_config({"adopt": {}}, shared=Shared()).adopt(REQUEST, target)


@pytest.mark.parametrize("table", [{"allowed_networks": ["10.0.0.1/8"]}, {"username": "u"}])
def test_tables_that_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="adopt"):
        VncProvider.from_config({"adopt": table}, shared=Shared())
