"""config.consistency: right alone, wrong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.config.consistency import contradictions, role_problems
from consolekit.config.model import (
    AdminConfig,
    ApiConfig,
    ApiKey,
    Config,
    ProviderConfig,
    ProxyConfig,
    TokensConfig,
)
from consolekit.core.address import Address

EVERYWHERE = Address("0.0.0.0", 6080)


def paths(config: Config) -> list[str]:
    return [problem.path for problem in contradictions(config)]


def test_the_defaults_agree() -> None:
    assert contradictions(Config()) == []


def test_other_names_with_the_same_path_agree() -> None:
    proxy = ProxyConfig(base_url="https://a/x/", base_urls={"webmks": "https://b/x"})
    assert contradictions(Config(proxy=proxy)) == []


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (Config(proxy=ProxyConfig(key=Path("k"))), "proxy.key"),
        (Config(api=ApiConfig(key=Path("k"))), "api.key"),
        (Config(proxy=ProxyConfig(proxy_protocol=True)), "proxy.trusted_proxies"),
        (
            Config(api=ApiConfig(authentication="none", listen=Address("10.0.0.1", 6081))),
            "api.authentication",
        ),
        (Config(api=ApiConfig(listen=Address("127.0.0.1", 6080))), "api.listen"),
        (Config(admin=AdminConfig(listen=Address("127.0.0.1", 6081))), "admin.listen"),
        (Config(proxy=ProxyConfig(listen=EVERYWHERE)), "proxy.base_url"),
        (Config(proxy=ProxyConfig(base_urls={"webmks": "https://a/x"})), "proxy.base_urls.webmks"),
        (
            Config(proxy=ProxyConfig(base_url="https://a/x", base_urls={"webmks": "https://b"})),
            "proxy.base_urls.webmks",
        ),
    ],
)
def test_contradictions(config: Config, path: str) -> None:
    assert paths(config) == [path]


def test_what_is_no_contradiction() -> None:
    any_port = Address("127.0.0.1", 0)
    assert not contradictions(
        Config(proxy=ProxyConfig(proxy_protocol=True, trusted_proxies=("10.0.0.0/8", "::1")))
    )
    assert not contradictions(
        Config(
            proxy=ProxyConfig(listen=any_port, cert=Path("c")),
            api=ApiConfig(listen=any_port, authentication="none"),
            admin=AdminConfig(listen=None),
        )
    )
    assert not contradictions(Config(proxy=ProxyConfig(listen=EVERYWHERE, base_url="https://a.example")))


FULL = Config(
    providers={"lab": ProviderConfig(use="vnc")}, api=ApiConfig(keys={"a": ApiKey(sha256="ab" * 32)})
)


@pytest.mark.parametrize(("proxy", "api"), [(True, True), (True, False), (False, True)])
def test_a_full_configuration_does_for_every_role(proxy: bool, api: bool) -> None:
    assert role_problems(FULL, proxy=proxy, api=api) == []


def test_an_empty_one_does_for_none() -> None:
    assert [p.path for p in role_problems(Config(), proxy=True, api=True)] == ["providers", "api.keys"]
    assert [p.path for p in role_problems(Config(), proxy=True, api=False)] == ["providers"]


def test_an_api_without_keys_on_purpose_needs_none() -> None:
    config = Config(providers=FULL.providers, api=ApiConfig(authentication="none"))
    assert role_problems(config, proxy=True, api=True) == []


def test_the_memory_store_is_for_one_process() -> None:
    config = Config(providers=FULL.providers, api=FULL.api, tokens=TokensConfig(store="memory"))
    assert role_problems(config, proxy=True, api=True) == []
    assert [p.path for p in role_problems(config, proxy=True, api=False)] == ["tokens.store"]
    assert [p.path for p in role_problems(config, proxy=False, api=True)] == ["tokens.store"]


def test_an_api_alone_must_know_where_links_lead() -> None:
    config = Config(providers=FULL.providers, api=FULL.api, proxy=ProxyConfig(listen=Address("127.0.0.1", 0)))
    assert [p.path for p in role_problems(config, proxy=False, api=True)] == ["proxy.base_url"]
    assert role_problems(config, proxy=True, api=True) == []
