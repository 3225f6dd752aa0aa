"""auth.nova without a socket: shapes, settings, and what becomes of an answer."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from consolekit.auth.base import AccessContext
from consolekit.auth.nova import NovaTokens
from consolekit.auth.novaschema import ANSWER, CONFIG_SCHEMA
from consolekit.core.errors import ConfigError, TokenRefused
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Secret
from consolekit.testing.clock import ManualClock

AUTH = {"auth_url": "https://keystone.example.org/v3", "username": "u", "password": "p"}
SAMPLE = {"instance_uuid": "b48316c5-71e8-45e4-9884-6c78055b9b13", "host": "localhost", "port": 5900}


def make(**options: object) -> NovaTokens:
    given = {"auth": AUTH, **options}
    return NovaTokens.from_config(given, clock=ManualClock())


@pytest.mark.parametrize(
    "token", ["", "x", "ckt_" + "a" * 43, "B48316C5-71E8-45E4-9884-6C78055B9B13", "../servers", "a" * 36]
)
async def test_what_has_not_nova_s_shape_is_never_asked_for(token: str) -> None:
    tokens = make()
    with pytest.raises(TokenRefused):
        await tokens.validate(Secret(token), AccessContext())
    await tokens.aclose()


async def test_names_the_providers_of_its_grants() -> None:
    for options, names in (({}, []), ({"vnc_provider": "a", "mks_provider": "b"}, ["a", "b"])):
        tokens = make(**options)
        assert tokens.provider_names() == names
        await tokens.aclose()


@pytest.mark.parametrize("name", ["vnc_provider", "spice_provider", "serial_provider"])
async def test_vmware_s_may_stand_beside_any(name: str) -> None:
    tokens = make(**{name: "a", "mks_provider": "b"})
    assert tokens.provider_names() == ["a", "b"]
    await tokens.aclose()


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (("vnc_provider", "serial_provider"), "serial_provider"),
        (("vnc_provider", "spice_provider"), "spice_provider"),
        (("spice_provider", "serial_provider", "mks_provider"), "serial_provider"),
    ],
)
def test_types_that_nova_does_not_tell_apart_exclude_each_other(names: tuple[str, ...], path: str) -> None:
    with pytest.raises(ConfigError, match="run one proxy for each") as caught:
        make(**dict.fromkeys(names, "a"))
    assert [problem.path for problem in caught.value.problems] == [path]


async def test_a_password_file_is_read_and_a_missing_one_told(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p\n")
    auth = {"auth_url": AUTH["auth_url"], "username": "u", "password_file": str(file)}
    await make(auth=auth).aclose()
    file.unlink()
    with pytest.raises(ConfigError, match="password_file"):
        make(auth=auth)


def test_an_unknown_plug_in_is_told() -> None:
    with pytest.raises(ConfigError, match="keystoneauth1 refuses it"):
        make(auth={**AUTH, "auth_type": "no-such"})


@pytest.mark.parametrize("table", [{}, {"auth": {}}, {"auth": AUTH, "x": 1}, {"auth": AUTH, "seconds": 0}])
def test_settings_that_are_refused(table: dict[str, object]) -> None:
    assert problems_of(validator_of(CONFIG_SCHEMA), table)


def test_answers_as_nova_s_samples_have_them() -> None:
    for more in ({"internal_access_path": None}, {"internal_access_path": None, "tls_port": 5901}):
        assert problems_of(ANSWER, {"console": {**SAMPLE, **more}}) == []
    for name in SAMPLE:
        console = {key: value for key, value in SAMPLE.items() if key != name}
        assert problems_of(ANSWER, {"console": console})


async def test_urllib3_s_log_of_paths_is_masked() -> None:
    await make().aclose()
    record = logging.LogRecord("x", 10, "", 1, '%s "%s"', ("h", "/v2.1/os-console-auth-tokens/abc?x"), None)
    assert logging.getLogger("urllib3.connectionpool").filter(record)
    assert record.getMessage() == 'h "/v2.1/os-console-auth-tokens/***?x"'
