from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from consolekit.core.address import Address
from consolekit.core.errors import ConfigError
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.servers import servers_from_config
from consolekit.providers.vnc.servers import CONFIG_SCHEMA, VncServer, server_from_config

PIN = "ab" * 32


def test_nothing_secret_in_repr() -> None:
    server = VncServer(address=Address("h", 1), password=Secret("hunter2"))
    assert "hunter2" not in repr(server)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"password": Secret("a"), "password_file": Path("/x")}, "one of them is enough"),
        ({"username": "u", "tls": TlsPolicy()}, "no password"),
        ({"username": "u", "password": Secret("a")}, "no tls"),
    ],
)
def test_contradictions(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        VncServer(**{"address": "h:1", **settings})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        ({}, False),
        ({"tls": TlsPolicy()}, True),
        ({"allow_anonymous_tls": True}, True),
    ],
)
def test_tls_required(settings: dict[str, object], required: bool) -> None:
    server = VncServer(**{"address": "h:1", **settings})  # type: ignore[arg-type]  # by name
    assert server.tls_required is required


@pytest.mark.parametrize(
    ("address", "tls", "name"),
    [
        ("h:1", None, None),
        ("h:1", TlsPolicy(server_name="kvm"), "kvm"),
        ("unix:/s", None, "localhost"),
        ("unix:/s", TlsPolicy(pin_sha256=PIN), "localhost"),
        ("unix:/s", TlsPolicy(server_name="kvm"), "kvm"),
    ],
)
def test_the_name_to_verify(address: str, tls: TlsPolicy | None, name: str | None) -> None:
    """A unix socket has no host; without a name nothing could be verified."""
    policy = VncServer(address=Address.parse(address), tls=tls).tls_policy
    assert policy == attrs.evolve(tls or TlsPolicy(), server_name=name)


FULL = {
    "servers": {
        "web-1": {"address": "kvm-1:5901"},
        "db.2": {"address": "unix:/run/db.sock", "password_file": "/etc/ck/db"},
        "win": {
            "address": "[::1]:5900",
            "password": "s3cret",
            "username": "ops",
            "tls": {
                "ca_file": "/etc/ck/ca.pem",
                "server_name": "kvm",
                "pin_sha256": ":".join(["AB"] * 32),
                "client_cert": "/etc/ck/c.pem",
                "client_key": "/etc/ck/k.pem",
                "allow_anonymous": True,
            },
        },
        "sys": {"address": "h:1", "tls": {}},
    }
}


def test_table() -> None:
    assert not problems_of(validator_of(CONFIG_SCHEMA), FULL)
    servers = servers_from_config(FULL, server_from_config)
    assert servers["web-1"] == VncServer(address=Address("kvm-1", 5901))
    assert servers["db.2"].password_file == Path("/etc/ck/db")
    assert servers["sys"].tls == TlsPolicy()
    assert servers["sys"].allow_anonymous_tls is False
    assert servers["win"] == VncServer(
        address=Address("::1", 5900),
        password=Secret("s3cret"),
        username="ops",
        tls=TlsPolicy(
            ca_file=Path("/etc/ck/ca.pem"),
            server_name="kvm",
            pin_sha256=PIN,
            client_cert=Path("/etc/ck/c.pem"),
            client_key=Path("/etc/ck/k.pem"),
        ),
        allow_anonymous_tls=True,
    )


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({}, "servers"),
        ({"servers": {}, "server": {}}, "server"),
        ({"servers": {"a b": {"address": "h:1"}}}, "servers"),
        ({"servers": {"../etc": {"address": "h:1"}}}, "servers"),
        ({"servers": {"a": {}}}, "servers.a.address"),
        ({"servers": {"a": {"address": 5}}}, "servers.a.address"),
        ({"servers": {"a": {"address": "h:1", "pasword": "x"}}}, "servers.a.pasword"),
        ({"servers": {"a": {"address": "h:1", "password": ""}}}, "servers.a.password"),
        ({"servers": {"a": {"address": "h:1", "tls": True}}}, "servers.a.tls"),
        (
            {"servers": {"a": {"address": "h:1", "tls": {"verify": False}}}},
            "servers.a.tls.verify",
        ),
        (
            {"servers": {"a": {"address": "h:1", "tls": {"pin_sha256": "abcd"}}}},
            "servers.a.tls.pin_sha256",
        ),
        (
            {"servers": {"a": {"address": "h:1", "tls": {"client_key": "/k"}}}},
            "servers.a.tls",
        ),
    ],
)
def test_schema_refuses(table: dict[str, object], path: str) -> None:
    problems = problems_of(validator_of(CONFIG_SCHEMA), table)
    assert [problem.path for problem in problems] == [path]


def test_every_setting_is_described() -> None:
    server = CONFIG_SCHEMA["properties"]["servers"]["additionalProperties"]["properties"]
    for name, schema in [*server.items(), *server["tls"]["properties"].items()]:
        assert schema["description"], name


def test_every_problem_at_once_and_no_value_quoted() -> None:
    table = {
        "servers": {
            "a": {"address": "s3cret@host"},
            "b": {"address": "h:1"},
            "c": {"address": "h:1", "password": "s3cret", "password_file": "/x"},
        }
    }
    with pytest.raises(ConfigError) as caught:
        servers_from_config(table, server_from_config)
    assert [problem.path for problem in caught.value.problems] == ["servers.a", "servers.c"]
    assert "s3cret" not in str(caught.value)
