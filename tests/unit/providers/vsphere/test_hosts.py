from __future__ import annotations

import pytest

from consolekit.core.errors import ConfigError
from consolekit.core.schema import problems_of, validator_of
from consolekit.providers.vsphere.hosts import (
    HOST_PROPERTIES,
    HostRules,
    canonical_host,
    host_rules_from_config,
    name_problems,
)

SCHEMA = {"type": "object", "properties": HOST_PROPERTIES}


def test_a_table() -> None:
    table = {
        "host_map": {"ESX1.lab": "10.0.0.5", "esx2": "[2001:db8::2]", "[2001:DB8:0::9]": "esx9.lab"},
        "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"],
    }
    assert not problems_of(validator_of(SCHEMA), table)
    rules = host_rules_from_config(table)
    assert rules == HostRules(
        host_map={"esx1.lab": "10.0.0.5", "esx2": "2001:db8::2", "2001:db8::9": "esx9.lab"},
        allowed_networks=("10.0.0.0/8", "2001:db8::/32"),
    )
    assert [rules.place_of(host) for host in ("esx1.LAB", "2001:db8:0:0::9", "esx3.lab")] == [
        "10.0.0.5",
        "esx9.lab",
        "esx3.lab",
    ]


def test_an_empty_table() -> None:
    assert host_rules_from_config({}) == HostRules()


def test_every_problem_at_once_and_no_value_quoted() -> None:
    table = {
        "host_map": {"a b": "10.0.0.1", "esx1": "s3cret@10.0.0.1", "esx2": "10.0.0.1:443", "ESX1": "b"},
        "allowed_networks": ["10.0.0.0/8", "10.0.0.1/8", "s3cret"],
    }
    with pytest.raises(ConfigError) as caught:
        host_rules_from_config(table)
    assert [problem.path for problem in caught.value.problems] == [
        "host_map",
        "host_map.ESX1",
        "host_map.esx1",
        "host_map.esx2",
        "allowed_networks.1",
        "allowed_networks.2",
    ]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("table", [{"host_map": {"a": 5}}, {"allowed_networks": "10.0.0.0/8"}])
def test_schema_refuses(table: dict[str, object]) -> None:
    assert problems_of(validator_of(SCHEMA), table)


@pytest.mark.parametrize(
    ("name", "form"),
    [("ESX1.lab", "esx1.lab"), ("[2001:DB8::0:9]", "2001:db8::9"), ("192.0.2.1", "192.0.2.1")],
)
def test_one_way_to_write_a_host(name: str, form: str) -> None:
    assert canonical_host(name) == form


def test_one_host_written_in_two_ways() -> None:
    (problem,) = name_problems("host_map", ["2001:db8::9", "[2001:db8:0::9]"])
    assert problem.path == "host_map.[2001:db8:0::9]"
