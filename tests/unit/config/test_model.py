"""config.model: what is promised to operators: names, defaults, documentation."""

from __future__ import annotations

import attrs
import pytest

from consolekit.config.model import ApiKey, Config, TokensConfig, settings
from consolekit.core.address import Address

DEFAULTS = {
    "proxy.listen": Address("127.0.0.1", 6080),
    "proxy.base_url": "",
    "proxy.base_urls": {},
    "proxy.cert": None,
    "proxy.key": None,
    "proxy.allowed_origins": (),
    "proxy.allowed_hosts": (),
    "proxy.allow_no_origin": True,
    "proxy.trusted_proxies": (),
    "proxy.proxy_protocol": False,
    "proxy.workers": 1,
    "proxy.web_root": None,
    "api.listen": Address("127.0.0.1", 6081),
    "api.cert": None,
    "api.key": None,
    "api.authentication": "keys",
    "admin.listen": Address("127.0.0.1", 6082),
    "tokens.store": "sqlite",
    "tokens.seconds": 60,
    "tokens.grace_seconds": 30.0,
    "tokens.issuer": "",
    "limits.sessions": 2000,
    "limits.per_server": 8,
    "limits.per_subject": 32,
    "limits.per_address": 64,
    "limits.session_seconds": 43200.0,
    "limits.idle_seconds": 0.0,
    "limits.pending": 512,
    "limits.pending_per_address": 32,
    "timeouts.connect_seconds": 5.0,
    "timeouts.handshake_seconds": 10.0,
    "timeouts.ping_seconds": 15.0,
    "timeouts.pong_seconds": 15.0,
    "timeouts.stall_seconds": 60.0,
    "timeouts.drain_seconds": 30.0,
    "timeouts.request_seconds": 10.0,
    "log.format": "text",
    "log.level": "info",
    "hooks.enabled": (),
}


def test_keys_and_defaults_are_public() -> None:
    assert {setting.path: setting.default for setting in settings()} == DEFAULTS


def test_every_setting_says_what_it_decides_and_which_variable_sets_it() -> None:
    for setting in settings():
        assert setting.doc.endswith(".")
        assert setting.env == "CONSOLEKIT_" + setting.path.upper().replace(".", "__")


def test_the_defaults_stay_on_this_machine() -> None:
    config = Config()
    assert config.proxy.listen.is_loopback
    assert config.api.listen.is_loopback
    assert config.admin.listen is not None
    assert config.admin.listen.is_loopback
    assert config.api.authentication == "keys"


def test_it_is_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().proxy = None  # type: ignore[misc,assignment]  # what is tested


def test_what_is_made_in_code_is_checked_too() -> None:
    with pytest.raises(ValueError, match="seconds must be from 1 to 600"):
        TokensConfig(seconds=601)


def test_hashes_are_compared_in_lower_case() -> None:
    assert ApiKey(sha256="AB" * 32).sha256 == "ab" * 32


def test_options_are_not_printed() -> None:
    assert "s3cret" not in repr(TokensConfig(options={"password": "s3cret"}))
