"""Providers, WebMKS: how a configuration writes the provider's table. Connects to nothing."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consolekit.core.errors import ConfigError
from consolekit.providers.vsphere import (
    HOST_PROPERTIES,
    VSPHERE_SCHEMA,
    HostRules,
    canonical_host,
    host_rules_from_config,
    name_problems,
)
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
        "host_pins": {
            "type": "object",
            "maxProperties": 4096,
            "additionalProperties": {"type": "string", "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"},
            "description": "SHA-256 of a host's certificate in hex, by the host's name in tickets: trust "
            "this one alone for that host, whatever the ticket says and whoever signed it.",
        },
        **HOST_PROPERTIES,
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
    pins: Mapping[str, str] = config.get("host_pins", {})
    problems = list(name_problems("host_pins", pins))
    hosts = HostRules()
    try:
        hosts = host_rules_from_config(config)
    except ConfigError as exc:
        problems += exc.problems
    if problems:
        raise ConfigError(problems)
    return TicketRules(
        allow_sha1=config.get("allow_sha1", False),
        ca_file=Path(config["ca_file"]) if "ca_file" in config else None,
        host_pins={canonical_host(name): pin.replace(":", "").lower() for name, pin in pins.items()},
        host_map=hosts.host_map,
        allowed_networks=hosts.allowed_networks,
    )
