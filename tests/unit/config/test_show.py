"""config.show: every value with its origin, no secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from consolekit.config.load import Loaded, load
from consolekit.config.model import settings
from consolekit.config.show import as_toml, has_secrets, shown

TEXT = """
[api.keys.portal]
sha256 = "%s"
[tokens]
path = "x.db"
[providers.lab]
use = "vnc"
[providers.lab.servers."web.1"]
address = "h:5900"
password = "s3cret"
[providers.gone]
use = "not installed"
url = "https://u:s3cret@h/"
api_token = "s3cret"
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    file = tmp_path / "c.toml"
    file.write_text(TEXT % ("ab" * 32))
    return load(file, env={"CONSOLEKIT_TOKENS__SECONDS": "90"}, flags={"--log-level": ("log.level", "debug")})


def test_every_value_is_there_and_no_secret(loaded: Loaded) -> None:
    text = as_toml(shown(loaded), origin=False)
    assert "s3cret" not in text
    data = tomllib.loads(text)
    for setting in settings():
        section, _, key = setting.path.partition(".")
        assert key in data[section]
    assert data["tokens"]["seconds"] == 90
    assert data["tokens"]["path"] == "x.db"
    assert data["api"]["keys"]["portal"]["sha256"] == "ab" * 32
    assert data["providers"]["lab"]["servers"]["web.1"] == {"address": "h:5900", "password": "***"}
    assert data["providers"]["gone"] == {
        "use": "not installed",
        "url": "https://***@h/",
        "api_token": "***",
    }


def test_origins(loaded: Loaded) -> None:
    lines = as_toml(shown(loaded), origin=True).splitlines()
    assert "seconds = 90  # env CONSOLEKIT_TOKENS__SECONDS" in lines
    assert 'level = "debug"  # flag --log-level' in lines
    assert "grace_seconds = 30  # default" in lines
    assert f'password = "***"  # file {loaded.file}' in lines


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    first = load(env={"CONSOLEKIT_LOG__FORMAT": "json"})
    file = tmp_path / "again.toml"
    file.write_text(as_toml(shown(first), origin=True))
    assert load(file, env={}).config == first.config


def test_secrets_of_the_file_are_noticed(loaded: Loaded, tmp_path: Path) -> None:
    assert has_secrets(loaded)
    file = tmp_path / "d.toml"
    file.write_text('[providers.lab]\nuse = "vnc"\nservers = {}\n')
    env = {"CONSOLEKIT_PROVIDERS__LAB__PASSWORD": "s3cret"}
    assert not has_secrets(load(file, env=env))


def test_secrets_of_validators_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text(
        """
[validators.cloud]
use = "nova"
vnc_provider = "lab"
[validators.cloud.auth]
auth_url = "https://u:s3cret@keystone.example/v3"
username = "consoles"
password = "s3cret"
application_credential_secret = "s3cret"
[validators.gone]
use = "not installed"
client_secret = "s3cret"
"""
    )
    loaded = load(file, env={})
    text = as_toml(shown(loaded), origin=True)
    assert "s3cret" not in text
    validators = tomllib.loads(text)["validators"]
    assert validators["cloud"] == {
        "use": "nova",
        "single_use": "",
        "vnc_provider": "lab",
        "auth": {
            "auth_url": "https://***@keystone.example/v3",
            "username": "consoles",
            "password": "***",
            "application_credential_secret": "***",
        },
    }
    assert validators["gone"] == {"use": "not installed", "single_use": "", "client_secret": "***"}
    assert has_secrets(loaded)
