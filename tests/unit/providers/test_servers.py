"""providers.servers: tables of servers, and places that others have named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consolekit.core.address import Address
from consolekit.core.errors import ConfigError, ConsoleNotImplemented, ConsoleUnavailable
from consolekit.core.types import Secret, Target, TlsPolicy
from consolekit.providers.servers import (
    Adoption,
    Server,
    adopted,
    adoption_from_config,
    servers_from_config,
    tls_policy,
)


def make(table: Mapping[str, Any], address: Address) -> Server:
    if table.get("tls") is False:
        raise ValueError("has no tls")
    return Server(address=address)


def test_every_server_that_is_wrong_is_told_at_once() -> None:
    servers = {"a": {"address": "s3cret"}, "b": {"address": "h:1"}, "c": {"address": "h:1", "tls": False}}
    with pytest.raises(ConfigError) as caught:
        servers_from_config({"servers": servers}, make)
    assert [problem.path for problem in caught.value.problems] == ["servers.a", "servers.c"]
    assert "s3cret" not in str(caught.value)


def test_a_table_of_servers() -> None:
    config = {"servers": {"a": {"address": "h:1"}, "b": {"address": "unix:/run/b"}}}
    assert servers_from_config(config, make) == {
        "a": Server(address=Address("h", 1)),
        "b": Server(address=Address(path="/run/b")),
    }
    assert servers_from_config({}, make) == {}


def test_a_place_that_was_named() -> None:
    adoption = adoption_from_config({"adopt": {"allowed_networks": ["10.0.0.0/8"]}}, make)
    found, networks = adopted(adoption, Target(host="10.1.2.3", port=10000))
    assert (found.address, networks) == (Address("10.1.2.3", 10000), ("10.0.0.0/8",))


def test_without_the_table_nothing_is_adopted() -> None:
    assert adoption_from_config({}, make) is None
    with pytest.raises(ConsoleNotImplemented):
        adopted(None, Target(host="h", port=1))


@pytest.mark.parametrize(
    "target",
    [Target(host="h", port=1, access=Secret("/path")), Target(host="a b", port=1), Target(host="h", port=0)],
)
def test_what_cannot_be_adopted(target: Target) -> None:
    with pytest.raises(ConsoleUnavailable) as caught:
        adopted(Adoption(server=Server(address=Address())), target)
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "path"),
    [({"allowed_networks": ["10.0.0.1/8"]}, "adopt.allowed_networks"), ({"tls": False}, "adopt")],
)
def test_what_an_adopt_table_cannot_say(table: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        adoption_from_config({"adopt": table}, make)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_a_certificate_policy() -> None:
    pin = ":".join(["AB"] * 32)
    files = {"ca_file": "/ca", "client_cert": "/c", "client_key": "/k"}
    assert tls_policy({**files, "server_name": "kvm", "pin_sha256": pin}) == TlsPolicy(
        ca_file=Path("/ca"),
        server_name="kvm",
        pin_sha256="ab" * 32,
        client_cert=Path("/c"),
        client_key=Path("/k"),
    )
    assert tls_policy({}) == TlsPolicy()
