"""Providers, vSphere: where the hosts that it names may be, and where to connect instead.

Pure: knows names, networks and JSON Schema as data; resolves nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from consolekit.core.address import is_host, wrong_networks
from consolekit.core.errors import ConfigError, Problem


@attrs.frozen(kw_only=True)
class HostRules:
    """What an operator decides about the hosts that vSphere names.

    Attributes:
        host_map: Where to connect instead, by the name that vSphere uses, as ``canonical_host``
            writes it; certificates stay those of the name.
        allowed_networks: Networks (CIDR) that hosts must be in; empty for any.
    """

    host_map: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    allowed_networks: tuple[str, ...] = ()

    def place_of(self, host: str) -> str:
        """Where to connect for a host that vSphere names."""
        return self.host_map.get(canonical_host(host), host)


HOST_PROPERTIES: Mapping[str, Any] = {
    "host_map": {
        "type": "object",
        "maxProperties": 4096,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 253},
        "description": "Where to connect instead, by the name that vSphere has for a host; for names that "
        "the proxy cannot resolve. The certificate stays that of the name.",
    },
    "allowed_networks": {
        "type": "array",
        "maxItems": 256,
        "items": {"type": "string", "minLength": 1, "maxLength": 64},
        "description": "Networks (10.0.0.0/8) that hosts must be in. Default: any.",
    },
}
"""JSON Schema (2020-12) of the keys of ``HostRules`` in a provider's table."""


def host_rules_from_config(config: Mapping[str, Any]) -> HostRules:
    """Read the keys of ``HOST_PROPERTIES`` in a table that its schema has accepted.

    Raises:
        ConfigError: every host and network that is none.
    """
    host_map: Mapping[str, str] = config.get("host_map", {})
    networks: Sequence[str] = config.get("allowed_networks", ())
    problems = [*name_problems("host_map", host_map), *_place_problems(host_map)]
    problems += [
        Problem(f"allowed_networks.{number}", "is no network such as 10.0.0.0/8 (no host bits set)")
        for number in wrong_networks(networks)
    ]
    if problems:
        raise ConfigError(problems)
    return HostRules(
        host_map={canonical_host(name): where.strip("[]") for name, where in host_map.items()},
        allowed_networks=tuple(networks),
    )


def canonical_host(name: str) -> str:
    """A host's name as it is looked up: lower case, IPv6 in its short form without brackets."""
    name = name.lower().strip("[]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def name_problems(path: str, names: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the keys of a table of hosts.

    Args:
        path: The table's key.
        names: Its keys.
    """
    seen: set[str] = set()
    for name in names:
        if not is_host(name):
            yield Problem(path, "has a name that is no host name and no address")
        elif canonical_host(name) in seen:
            yield Problem(f"{path}.{name}", "is there twice; letter case does not count")
        seen.add(canonical_host(name))


def _place_problems(host_map: Mapping[str, str]) -> Iterator[Problem]:
    for name, where in host_map.items():
        if is_host(name) and not is_host(where):
            yield Problem(f"host_map.{name}", "leads to what is no host name and no address; it has no port")
