from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.core.errors import ConfigError
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.vsphere.settings import (
    VSPHERE_SCHEMA,
    FindBy,
    VSphereSettings,
    settings_from_config,
)

PIN = "ab" * 32
TABLE = {"host": "vc.example.org", "username": "gate@vsphere.local", "password_file": "/etc/vc.password"}


def built(**changes: object) -> VSphereSettings:
    return settings_from_config({**TABLE, **changes}, "vcenter")


def problems(**changes: object) -> list[str]:
    return [str(problem) for problem in problems_of(validator_of(VSPHERE_SCHEMA), {**TABLE, **changes})]


def test_what_is_not_set_is_sensible() -> None:
    settings = built()
    assert settings == VSphereSettings(
        host="vc.example.org", username="gate@vsphere.local", password_file=Path("/etc/vc.password")
    )
    assert (settings.port, settings.find_by, settings.call_seconds) == (443, FindBy.INSTANCE_UUID, 15.0)
    assert settings.tls == TlsPolicy()  # the system's CAs and the name


def test_the_schemas_defaults_are_the_classes() -> None:
    settings = built()
    for name, rule in VSPHERE_SCHEMA["properties"].items():
        if "default" in rule:
            value = getattr(settings, name)
            assert rule["default"] == (value.value if isinstance(value, FindBy) else value), name


def test_everything_can_be_set() -> None:
    table = {
        "port": 8443,
        "tls": {"ca_file": "/etc/ca.pem", "server_name": "vc", "pin_sha256": ":".join(["AB"] * 32)},
        "find_by": "bios_uuid",
        "call_seconds": 5,
        "workers": 2,
        "keep_alive_seconds": 60,
    }
    assert problems(**table) == []
    settings = built(**table)
    assert settings.tls == TlsPolicy(ca_file=Path("/etc/ca.pem"), server_name="vc", pin_sha256=PIN)
    assert (settings.port, settings.find_by, settings.workers) == (8443, FindBy.BIOS_UUID, 2)
    assert (settings.call_seconds, settings.keep_alive_seconds) == (5, 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 0},
        {"port": 65536},
        {"find_by": "name"},
        {"call_seconds": 0},
        {"workers": 0},
        {"workers": 33},
        {"tls": {"insecure": True}},
        {"tls": {"pin_sha256": "ab" * 20}},
        {"thumbprint": "ab"},
        {"username": ""},
    ],
    ids=str,
)
def test_the_schema_refuses(changes: dict[str, object]) -> None:
    assert len(problems(**changes)) == 1


def test_there_is_no_way_to_switch_certificates_off() -> None:
    assert set(VSPHERE_SCHEMA["properties"]["tls"]["properties"]) == {"ca_file", "server_name", "pin_sha256"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "x"}, "one of password and password_file"),
        ({"host": "https://vc"}, "no name and no address"),
        ({"host": "vc/sdk"}, "no name and no address"),
        ({"host": "vc:443"}, "no name and no address"),
        ({"host": "vc\r\nX: y"}, "no name and no address"),
    ],
)
def test_contradictions_name_their_place(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**changes)
    assert str(caught.value).startswith("vcenter: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("host", "kept"), [("192.0.2.7", "192.0.2.7"), ("[2001:db8::7]", "2001:db8::7"), ("::1", "::1")]
)
def test_addresses(host: str, kept: str) -> None:
    assert built(host=host).host == kept


def test_a_password_is_needed_and_never_printed() -> None:
    with pytest.raises(ValueError, match="one of password"):
        VSphereSettings(host="vc", username="gate")
    assert "s3cret" not in repr(VSphereSettings(host="vc", username="gate", password=Secret("s3cret")))


def test_sha1_is_no_pin_for_a_password() -> None:
    with pytest.raises(ValueError, match="SHA-256 only"):
        VSphereSettings(host="vc", username="gate", password=Secret("x"), tls=TlsPolicy(pin_sha1="ab" * 20))
