"""providers.stream: where a serial line or a SPICE server is; the bytes are nobody's business here."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.core.errors import ConfigError, ConsoleNotImplemented, ConsoleUnavailable, UnknownServer
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Secret, Target, TlsPolicy, Transport
from consolekit.providers.stream.provider import (
    CONFIG_SCHEMA,
    SerialProvider,
    SpiceProvider,
    StreamProvider,
)

SERIAL, SPICE = ConsoleKey("serial", "serial"), ConsoleKey("spice", "spice-html5")
CONFIG = {
    "servers": {
        "tcp": {"address": "kvm-1:10000"},
        "unix": {"address": "unix:/run/vm/1.serial"},
        "tls": {"address": "[2001:db8::1]:5901", "tls": {"ca_file": "/ca.pem", "server_name": "kvm"}},
    },
    "adopt": {"allowed_networks": ["10.0.0.0/8"]},
}


def provider(config: dict[str, object] = CONFIG) -> SerialProvider:
    assert not problems_of(validator_of(CONFIG_SCHEMA), config)
    return SerialProvider.from_config(config, shared=Shared())


def wish(server_id: str) -> ConsoleRequest:
    return ConsoleRequest(key=SERIAL, server_id=server_id, subject="a")


@pytest.mark.parametrize(("cls", "key"), [(SerialProvider, SERIAL), (SpiceProvider, SPICE)])
def test_the_pairs(cls: type[StreamProvider], key: ConsoleKey) -> None:
    assert cls.keys == (key,)
    assert cls.from_config(CONFIG, shared=Shared()).handshake(Endpoint()) is None


@pytest.mark.parametrize(
    ("server_id", "endpoint"),
    [
        ("tcp", Endpoint(transport=Transport.TCP, host="kvm-1", port=10000)),
        ("unix", Endpoint(transport=Transport.UNIX, path="/run/vm/1.serial")),
        (
            "tls",
            Endpoint(
                transport=Transport.TLS,
                host="2001:db8::1",
                port=5901,
                tls=TlsPolicy(ca_file=Path("/ca.pem"), server_name="kvm"),
            ),
        ),
    ],
)
async def test_where_a_server_is(server_id: str, endpoint: Endpoint) -> None:
    lines = provider()
    await lines.check(wish(server_id))
    assert await lines.open(wish(server_id)) == endpoint


async def test_an_unknown_server() -> None:
    with pytest.raises(UnknownServer):
        await provider().check(wish("other"))
    with pytest.raises(UnknownServer):
        await provider().open(wish("other"))


async def test_a_place_that_was_named() -> None:
    endpoint = await provider().adopt(wish("any"), Target(host="10.1.2.3", port=10000))
    assert endpoint == Endpoint(host="10.1.2.3", port=10000, allowed_networks=("10.0.0.0/8",))


async def test_what_is_not_adopted() -> None:
    with pytest.raises(ConsoleNotImplemented):
        await provider({"servers": {}}).adopt(wish("any"), Target(host="h", port=1))
    for target in (Target(host="h", port=1, access=Secret("/a")), Target(host="a b", port=1)):
        with pytest.raises(ConsoleUnavailable):
            await provider().adopt(wish("any"), target)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"servers": {"a": {"address": "nowhere"}}}, "servers.a"),
        ({"servers": {"a": {"address": "unix:/a", "tls": {}}}}, "servers.a"),
        ({"adopt": {"allowed_networks": ["10.0.0.1/8"]}}, "adopt.allowed_networks"),
    ],
)
def test_what_cannot_be_meant(config: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(config)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, ""),
        ({"servers": {"a": {}}}, "servers.a.address"),
        ({"servers": {"a": {"address": "h:1", "password": "x"}}}, "servers.a.password"),
        (
            {"servers": {"a": {"address": "h:1", "tls": {"allow_anonymous": True}}}},
            "servers.a.tls.allow_anonymous",
        ),
        ({"adopt": {"password": "x"}}, "adopt.password"),
    ],
)
def test_schema_refuses(config: dict[str, object], path: str) -> None:
    problems = problems_of(validator_of(CONFIG_SCHEMA), config)
    assert [problem.path for problem in problems] == [path]
