"""Providers, VNC: what is known of one VNC server, and how it is written in a configuration.

Knows addresses, files' places and JSON Schema as data; connects to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from consolekit.core.address import Address
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.servers import (
    Server,
    adopt_schema,
    file_schema,
    path_of,
    servers_schema,
    tls_policy,
    tls_schema,
)
from consolekit.providers.vsphere import HOST_PROPERTIES, VSPHERE_SCHEMA


@attrs.frozen(kw_only=True)
class VncServer(Server):
    """One VNC server: where it is and how to log in.

    What is set is demanded: with a password, a server that wants none is refused; with ``tls``, one
    that offers no TLS.

    Attributes:
        address: ``host:port``, ``[v6]:port``, ``unix:/path``, or an ``Address``.
        password: The VNC password, or that of ``username``.
        password_file: Read the password from this file whenever a console is opened.
        username: For servers with user accounts (VeNCrypt Plain); needs TLS.
        tls: Certificate policy; set, the connection is never continued in clear.
        allow_anonymous_tls: Allow VeNCrypt's TLS* subtypes, which check no certificate: anybody who
            can redirect the connection can read it. TLS is demanded then, as with ``tls``.

    Raises:
        ValueError: the address cannot be read, or the settings contradict each other.
    """

    password: Secret | None = None
    password_file: Path | None = None
    username: str = ""
    allow_anonymous_tls: bool = False

    def __attrs_post_init__(self) -> None:
        has_password = self.password is not None or self.password_file is not None
        if self.password is not None and self.password_file is not None:
            raise ValueError("has a password and a password_file; one of them is enough")
        if self.username and not has_password:
            raise ValueError("has a username and no password")
        if self.username and not self.tls_required:
            raise ValueError("has a username, which is sent inside TLS only, and no tls")

    @property
    def tls_required(self) -> bool:
        """True if the connection may not be continued in clear."""
        return self.tls is not None or self.allow_anonymous_tls

    @property
    def tls_policy(self) -> TlsPolicy:
        """The certificate policy for its connections; a unix socket's host is ``localhost``."""
        policy = self.tls or TlsPolicy()
        if self.address.path and policy.server_name is None:
            return attrs.evolve(policy, server_name="localhost")
        return policy


_LOGIN: Mapping[str, Any] = {
    "password": {
        "type": "string",
        "minLength": 1,
        "maxLength": 1024,
        "writeOnly": True,
        "description": "VNC password (eight characters count), or that of username.",
    },
    "password_file": file_schema("File with the password; read again at every console."),
    "username": {
        "type": "string",
        "minLength": 1,
        "maxLength": 256,
        "description": "User, for servers with accounts (VeNCrypt Plain). Needs tls.",
    },
    "tls": tls_schema(
        "VeNCrypt with certificates; with this table, nothing is ever sent in clear.",
        allow_anonymous={
            "type": "boolean",
            "default": False,
            "description": "Allow TLS without certificates. It stops no one in the middle.",
        },
    ),
}

CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "source": {
            "enum": ["table", "vsphere"],
            "default": "table",
            "description": "Where the servers are written: table, below; vsphere, in the settings of the "
            "machines of a vCenter or ESXi host (RemoteDisplay.vnc, before vSphere 7.0).",
        },
        "servers": servers_schema("The VNC servers by server id, the id that callers ask for.", _LOGIN),
        "vcenter": VSPHERE_SCHEMA,
        **HOST_PROPERTIES,
        "adopt": adopt_schema(_LOGIN),
    },
    "if": {"properties": {"source": {"const": "vsphere"}}, "required": ["source"]},
    "then": {"required": ["vcenter"]},
    "else": {"if": {"not": {"required": ["adopt"]}}, "then": {"required": ["servers"]}},
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of a ``[providers.NAME]`` table with ``use = "vnc"``."""


def server_from_config(table: Mapping[str, Any], address: Address) -> VncServer:
    """Build the server of a table that ``CONFIG_SCHEMA`` has accepted.

    Raises:
        ValueError: its values contradict each other.
    """
    tls = table.get("tls")
    return VncServer(
        address=address,
        password=Secret(table["password"]) if "password" in table else None,
        password_file=path_of(table.get("password_file")),
        username=table.get("username", ""),
        tls=None if tls is None else tls_policy(tls),
        allow_anonymous_tls=tls is not None and tls.get("allow_anonymous", False),
    )
