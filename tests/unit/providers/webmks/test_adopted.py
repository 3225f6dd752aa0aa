"""providers.webmks.adopted: Nova's two forms of a ticket, there and back, and what is neither."""

from __future__ import annotations

import json

import pytest

from consolekit.core.errors import ConsoleNotImplemented, HypervisorProtocol
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Secret, Target, TlsPolicy, Transport
from consolekit.providers.webmks.adopted import NoMachines, ticket_of
from consolekit.providers.webmks.provider import WebMksProvider

REQUEST = ConsoleRequest(key=ConsoleKey("mks", "webmks"), server_id="a", subject="s")
MKS = {"ticket": "52-ab", "cfgFile": "/vmfs/a.vmx", "thumbprint": "ab" * 20}


def target(access: str, port: int = 902) -> Target:
    return Target(host="esx-1", port=port, access=Secret(access))


async def test_an_mks_ticket_there_and_back() -> None:
    config = {"adopt": True, "allow_sha1": True, "allowed_networks": ["10.0.0.0/8"]}
    provider = WebMksProvider.from_config(config, shared=Shared())
    endpoint = await provider.adopt(REQUEST, target(json.dumps(MKS)))
    assert (endpoint.host, endpoint.port, endpoint.transport) == ("esx-1", 902, Transport.TCP)
    assert endpoint.tls.pin_sha1 == "ab" * 20
    assert endpoint.allowed_networks == ("10.0.0.0/8",)
    assert json.loads(provider.named(endpoint).access.reveal()) == MKS


async def test_a_webmks_ticket_there_and_back() -> None:
    provider = WebMksProvider(NoMachines(), adopt=True)
    endpoint = await provider.adopt(REQUEST, target("/ticket/52-ab", 443))
    assert (endpoint.transport, endpoint.path) == (Transport.WSS, "/ticket/{secret}")
    assert endpoint.tls.server_name == "esx-1"
    assert not endpoint.moves, "nobody can ask for another ticket"
    assert provider.named(endpoint) == target("/ticket/52-ab", 443)


async def test_an_adopted_ticket_is_judged_by_the_pin_of_its_host() -> None:
    config = {"adopt": True, "host_pins": {"ESX-1": "AB" * 32}}
    assert not problems_of(validator_of(WebMksProvider.config_schema), config)
    provider = WebMksProvider.from_config(config, shared=Shared())
    for access in ("/ticket/52-ab", json.dumps(MKS)):
        endpoint = await provider.adopt(REQUEST, target(access))
        assert endpoint.tls == TlsPolicy(pin_sha256="ab" * 32)


async def test_without_the_setting_nothing_is_adopted() -> None:
    with pytest.raises(ConsoleNotImplemented):
        await WebMksProvider(NoMachines()).adopt(REQUEST, target("/ticket/52-ab"))


@pytest.mark.parametrize("access", ["", "x", "[]", "{}", '{"ticket": 1, "cfgFile": "a"}', "[" * 9999])
def test_what_is_no_ticket(access: str) -> None:
    with pytest.raises(HypervisorProtocol):
        ticket_of(target(access))


@pytest.mark.parametrize("change", [{"ticket": "a b"}, {"cfgFile": "a\r\nb"}, {"thumbprint": "zz"}])
async def test_fields_that_would_say_something_else(change: dict[str, str]) -> None:
    provider = WebMksProvider.from_config({"adopt": True, "allow_sha1": True}, shared=Shared())
    with pytest.raises(HypervisorProtocol):
        await provider.adopt(REQUEST, target(json.dumps({**MKS, **change})))
