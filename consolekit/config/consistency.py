"""Config: settings that are right alone and wrong together. Knows the model; reads no file, opens no port."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from consolekit.config.model import Config
from consolekit.core.address import Address
from consolekit.core.errors import Problem


def contradictions(config: Config) -> list[Problem]:
    """What no single value says: settings that are right alone and wrong together."""
    return [
        *_tls(config),
        *_nobody_trusted(config),
        *_open_api(config),
        *_same_address(config),
        *_no_name(config),
        *_other_prefix(config),
    ]


def _tls(config: Config) -> Iterator[Problem]:
    if config.proxy.key and not config.proxy.cert:
        yield Problem("proxy.key", "is set and proxy.cert is not; set both, or neither for plain HTTP")
    if config.api.key and not config.api.cert:
        yield Problem("api.key", "is set and api.cert is not; set both, or neither for plain HTTP")


def _nobody_trusted(config: Config) -> Iterator[Problem]:
    if config.proxy.proxy_protocol and not config.proxy.trusted_proxies:
        yield Problem(
            "proxy.trusted_proxies",
            "is needed with proxy.proxy_protocol: only these may say for whom they connect; for example "
            '["127.0.0.1"]',
        )


def _open_api(config: Config) -> Iterator[Problem]:
    if config.api.authentication == "none" and not config.api.listen.is_loopback:
        yield Problem(
            "api.authentication",
            'is "none": whoever reaches the API opens any console; listen on 127.0.0.1, or use "keys"',
        )


def _same_address(config: Config) -> Iterator[Problem]:
    taken: dict[Address, str] = {}
    listeners = {"proxy": config.proxy.listen, "api": config.api.listen, "admin": config.admin.listen}
    for name, address in listeners.items():
        if address is None or address.port == 0:
            continue
        if address in taken:
            yield Problem(f"{name}.listen", f"is the address of {taken[address]}.listen; each needs its own")
        taken.setdefault(address, name)


def _no_name(config: Config) -> Iterator[Problem]:
    if config.proxy.listen.is_wildcard and not config.proxy.base_url:
        yield Problem(
            "proxy.base_url",
            "is needed, since proxy.listen names no address that a link could lead to; for example "
            "https://consoles.example.org",
        )


def link_problems(config: Config) -> list[Problem]:
    """What keeps a process that is not the proxy from making links."""
    if config.proxy.listen.port == 0 and not config.proxy.base_url:
        message = "is needed, since proxy.listen leaves the port open and links need one"
        return [Problem("proxy.base_url", message)]
    return []


def _other_prefix(config: Config) -> Iterator[Problem]:
    own = urlsplit(config.proxy.base_url).path.rstrip("/")
    for name, url in config.proxy.base_urls.items():
        if urlsplit(url).path.rstrip("/") != own:
            yield Problem(
                f"proxy.base_urls.{name}", "has another path than proxy.base_url; the proxy serves that one"
            )


def role_problems(config: Config, *, proxy: bool, api: bool) -> list[Problem]:
    """What is wrong with a configuration for a process that serves this."""
    problems: list[Problem] = []
    if not config.providers:
        problems.append(
            Problem(
                "providers",
                "is empty: there is no console to show; `consolekit config init`"
                " writes an example, `consolekit demo` needs none",
            )
        )
    if config.tokens.store == "memory" and not (proxy and api):
        problems.append(
            Problem(
                "tokens.store",
                'is "memory", which no other process sees: links of one would '
                'be unknown to the other; use "sqlite", or `consolekit serve` for both in one',
            )
        )
    if config.tokens.store == "memory" and config.proxy.workers > 1:
        problems.append(
            Problem("proxy.workers", 'needs a store that several processes see; tokens.store is "memory"')
        )
    if api and config.api.authentication == "keys" and not config.api.keys:
        problems.append(
            Problem(
                "api.keys",
                "is empty: every call would be refused; `consolekit key new NAME`"
                " prints a key and what to put here",
            )
        )
    if api and not proxy:
        problems += link_problems(config)
    return problems
