from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest

from consolekit.core.errors import ConsoleNotImplemented
from consolekit.core.provider import API_VERSION, NOTHING, ConsoleProvider
from consolekit.core.schema import validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Secret, Transport


class Smallest(ConsoleProvider):
    """The two members that a provider must have."""

    keys = (ConsoleKey("vnc", "novnc"),)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        return Endpoint(host="192.0.2.1", port=5900)


class Configured(Smallest):
    config_schema: ClassVar[Any] = {"type": "object", "properties": {"host": {"type": "string"}}}

    def __init__(self, host: str = "") -> None:
        self.host = host


REQUEST = ConsoleRequest(key=Smallest.keys[0], server_id="a", subject="b")


def test_open_is_required() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ConsoleProvider()  # type: ignore[abstract]  # that is the point


async def test_everything_else_has_a_default_that_does_nothing() -> None:
    provider = Smallest()
    await provider.check(REQUEST)
    endpoint = await provider.open(REQUEST)
    assert provider.handshake(endpoint) is None
    assert provider.refused(endpoint, 403) is None
    await provider.close(endpoint)
    await provider.aclose()
    assert provider.api_version == API_VERSION
    assert provider.refused_keys == {}


def test_no_parameter_and_no_setting_is_known_by_default() -> None:
    assert Smallest.params_schema is Smallest.config_schema is NOTHING
    nothing = validator_of(NOTHING)
    assert nothing.is_valid({})
    assert not nothing.is_valid({"a": 1})
    assert not nothing.is_valid([])


def test_is_built_from_its_table() -> None:
    assert Configured.from_config({"host": "h"}, shared=Shared()).host == "h"
    assert isinstance(Smallest.from_config({}, shared=Shared()), Smallest)


def test_a_place_is_named_for_others_only_where_they_can_reach_it() -> None:
    provider = Smallest()
    place = Endpoint(
        transport=Transport.WSS, host="192.0.2.1", port=443, path="/t/{secret}", secret=Secret("x")
    )
    access = provider.named(place).access
    assert access is not None
    assert access.reveal() == "/t/x"
    headers = (("Authorization", Secret("Bearer x")),)
    for out_of_reach in (Endpoint(transport=Transport.UNIX, path="/s"), attrs.evolve(place, headers=headers)):
        with pytest.raises(ConsoleNotImplemented):
            provider.named(out_of_reach)
