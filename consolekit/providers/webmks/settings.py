"""Providers, WebMKS: how a configuration writes the provider's table. Connects to nothing."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from consolekit.core.address import is_host, wrong_networks
from consolekit.core.errors import ConfigError, Problem
from consolekit.providers.vsphere import VSPHERE_SCHEMA
from consolekit.providers.webmks.classic import HTTP_PORT, HTTPS_PORT
from consolekit.providers.webmks.ticket import TicketRules


class TicketKind(enum.Enum):
    """Which way to the screen: what is asked of vSphere."""

    AUTO = "auto"
    WEBMKS = "webmks"
    MKS = "mks"
    CLONE = "clone"


CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "vcenter": VSPHERE_SCHEMA,
        "ticket": {
            "enum": [kind.value for kind in TicketKind],
            "default": TicketKind.AUTO.value,
            "description": "The way to the screen. webmks: a websocket of the host, vSphere 6.0 and later. "
            "mks: the host's port 902, deprecated since vSphere 8.0. clone: no relay, only the connection "
            "information of vCenter's own page. auto: webmks, and clone before vSphere 6.0.",
        },
        "allow_sha1": {
            "type": "boolean",
            "default": False,
            "description": "Trust a host's certificate by its SHA-1, where vSphere tells nothing better.",
        },
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "format": "path",
            "description": "PEM file of the CAs of the hosts' certificates, for tickets that pin none. "
            "Default: the system's.",
        },
        "host_map": {
            "type": "object",
            "maxProperties": 4096,
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 253},
            "description": "Where to connect instead, by the host's name in tickets; for names that the "
            "proxy cannot resolve. The certificate stays that of the name.",
        },
        "allowed_networks": {
            "type": "array",
            "maxItems": 256,
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "description": "Networks (10.0.0.0/8) that hosts must be in. Default: any.",
        },
        "adopt": {
            "type": "boolean",
            "default": False,
            "description": "Also take consoles that a token's issuer, such as Nova, has named with their "
            "ticket. No vcenter is needed for those.",
        },
        "console_port": {
            "enum": [HTTP_PORT, HTTPS_PORT],
            "default": HTTPS_PORT,
            "description": "Port of vCenter's console page before vSphere 6.0, for connection information: "
            "7343 with TLS, 7331 without.",
        },
    },
    "if": {"properties": {"adopt": {"const": True}}, "required": ["adopt"]},
    "else": {"required": ["vcenter"]},
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of a ``[providers.NAME]`` table with ``use = "webmks"``."""


def rules_from_config(config: Mapping[str, Any]) -> TicketRules:
    """Build the rules of a table that ``CONFIG_SCHEMA`` has accepted.

    Raises:
        ConfigError: every host and network that is none.
    """
    host_map: Mapping[str, str] = config.get("host_map", {})
    networks: Sequence[str] = config.get("allowed_networks", ())
    problems = [*_host_problems(host_map), *_network_problems(networks)]
    if problems:
        raise ConfigError(problems)
    return TicketRules(
        allow_sha1=config.get("allow_sha1", False),
        ca_file=Path(config["ca_file"]) if "ca_file" in config else None,
        host_map={name.lower().strip("[]"): where.strip("[]") for name, where in host_map.items()},
        allowed_networks=tuple(networks),
    )


def _host_problems(host_map: Mapping[str, str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, where in host_map.items():
        if not is_host(name):
            yield Problem("host_map", "has a name that is no host name and no address")
        elif name.lower() in seen:
            yield Problem(f"host_map.{name}", "is there twice; letter case does not count")
        elif not is_host(where):
            yield Problem(f"host_map.{name}", "leads to what is no host name and no address; it has no port")
        seen.add(name.lower())


def _network_problems(networks: Sequence[str]) -> Iterator[Problem]:
    for number in wrong_networks(networks):
        yield Problem(f"allowed_networks.{number}", "is no network such as 10.0.0.0/8 (no host bits set)")
