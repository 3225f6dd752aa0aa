from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.core.errors import ConfigError
from consolekit.core.schema import problems_of, validator_of
from consolekit.providers.webmks.settings import CONFIG_SCHEMA, rules_from_config
from consolekit.providers.webmks.ticket import TicketRules

VCENTER = {"host": "vc.lab", "username": "consoles@vsphere.local", "password": "s3cret"}
FULL = {
    "vcenter": VCENTER,
    "ticket": "mks",
    "allow_sha1": True,
    "ca_file": "/etc/ck/esx.pem",
    "host_pins": {"ESX1.lab": ":".join(["AB"] * 32), "[2001:DB8:0::9]": "cd" * 32},
    "host_map": {"ESX1.lab": "10.0.0.5", "esx2": "[2001:db8::2]", "[2001:db8::9]": "esx9.lab"},
    "allowed_networks": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"],
    "console_port": 7331,
}


def test_table() -> None:
    assert not problems_of(validator_of(CONFIG_SCHEMA), FULL)
    assert rules_from_config(FULL) == TicketRules(
        allow_sha1=True,
        ca_file=Path("/etc/ck/esx.pem"),
        host_pins={"esx1.lab": "ab" * 32, "2001:db8::9": "cd" * 32},
        host_map={"esx1.lab": "10.0.0.5", "esx2": "2001:db8::2", "2001:db8::9": "esx9.lab"},
        allowed_networks=("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"),
    )


def test_defaults_are_the_strict_ones() -> None:
    table = {"vcenter": VCENTER}
    assert not problems_of(validator_of(CONFIG_SCHEMA), table)
    assert rules_from_config(table) == TicketRules()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"vcenter": {"host": "vc"}}, "vcenter.username"),
        ({"vcenter": {**VCENTER, "port": 0}}, "vcenter.port"),
        ({"ticket": "device"}, "ticket"),
        ({"allow_sha1": "yes"}, "allow_sha1"),
        ({"host_map": {"a": 5}}, "host_map.a"),
        ({"host_pins": {"a": "ab" * 20}}, "host_pins.a"),
        ({"host_pins": {"a": "ab" * 31 + "a"}}, "host_pins.a"),
        ({"allowed_networks": "10.0.0.0/8"}, "allowed_networks"),
        ({"console_port": 443}, "console_port"),
        ({"verify": False}, "verify"),
    ],
)
def test_schema_refuses(change: dict[str, object], path: str) -> None:
    problems = problems_of(validator_of(CONFIG_SCHEMA), {"vcenter": VCENTER, **change})
    assert [problem.path for problem in problems] == [path]


def test_every_problem_at_once_and_no_value_quoted() -> None:
    table = {
        "host_pins": {"a b": "ab" * 32, "esx1": "ab" * 32, "ESX1": "cd" * 32},
        "host_map": {
            "a b": "10.0.0.1",
            "esx1": "s3cret@10.0.0.1",
            "esx2": "10.0.0.1:443",
            "ESX1": "b",
            "v6": "::g",
        },
        "allowed_networks": ["10.0.0.0/8", "10.0.0.1/8", "s3cret"],
    }
    with pytest.raises(ConfigError) as caught:
        rules_from_config(table)
    assert [problem.path for problem in caught.value.problems] == [
        "host_pins",
        "host_pins.ESX1",
        "host_map",
        "host_map.ESX1",
        "host_map.esx1",
        "host_map.esx2",
        "host_map.v6",
        "allowed_networks.1",
        "allowed_networks.2",
    ]
    assert "s3cret" not in str(caught.value)


def test_every_setting_is_described() -> None:
    for name, schema in CONFIG_SCHEMA["properties"].items():
        assert schema["description"], name
