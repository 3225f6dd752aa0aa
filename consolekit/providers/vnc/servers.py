"""Providers, VNC: what is known of one VNC server, and how it is written in a configuration.

Knows addresses, files' places and JSON Schema as data; connects to nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from consolekit.core.errors import ConfigError, Problem
from consolekit.core.schema import SERVER_ID
from consolekit.core.types import Secret, TlsPolicy
from consolekit.providers.vsphere import VSPHERE_SCHEMA

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_FORMS = "is written host:port, [IPv6 address]:port or unix:/path"
# a unix socket's path must fit sun_path, 108 bytes with its final zero (unix(7))
_LONGEST_PATH = 107


@attrs.frozen
class Address:
    """Where a VNC server listens: ``host`` and ``port``, or the ``path`` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``, ``[v6]:port`` or ``unix:/path``.

        Raises:
            ValueError: it is none of these; the text is not quoted.
        """
        if text.startswith("unix:"):
            return cls(path=_socket_path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if not colon or not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise ValueError(f"{_FORMS}; the port is between 1 and 65535")
        return cls(host=_host(host), port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError("holds no IPv6 address between its brackets") from None
    if ":" in text:
        raise ValueError(f"{_FORMS}; an IPv6 address stands in brackets")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{_FORMS}; the host is a name or an address and nothing else")
    return text


def _socket_path(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError(f"{_FORMS}; the path is absolute and has no '..'")
    if len(text.encode()) > _LONGEST_PATH:
        raise ValueError(f"names a socket whose path is over {_LONGEST_PATH} bytes long")
    return str(path)


def _address(value: str | Address) -> Address:
    return Address.parse(value) if isinstance(value, str) else value


@attrs.frozen(kw_only=True)
class VncServer:
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

    address: Address = attrs.field(converter=_address)
    password: Secret | None = None
    password_file: Path | None = None
    username: str = ""
    tls: TlsPolicy | None = None
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


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "format": "path", "description": description}


_TLS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "VeNCrypt with certificates; with this table, nothing is ever sent in clear.",
    "properties": {
        "ca_file": _file("PEM file of the CAs to trust. Default: the system's."),
        "server_name": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "description": "Name the certificate must carry. Default: the address's host; "
            "localhost for a unix socket.",
        },
        "pin_sha256": {
            "type": "string",
            "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
            "description": "SHA-256 of the certificate in hex: trust this one, whoever signed it.",
        },
        "client_cert": _file("PEM file of our own certificate, where the server wants one."),
        "client_key": _file("PEM file of its key. Default: in client_cert."),
        "allow_anonymous": {
            "type": "boolean",
            "default": False,
            "description": "Allow TLS without certificates. It stops no one in the middle.",
        },
    },
    "dependentRequired": {"client_key": ["client_cert"]},
    "additionalProperties": False,
}

_SERVER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "address": {
            "type": "string",
            "minLength": 1,
            "maxLength": 300,
            "description": "host:port, [IPv6 address]:port or unix:/path.",
        },
        "password": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "writeOnly": True,
            "description": "VNC password (eight characters count), or that of username.",
        },
        "password_file": _file("File with the password; read again at every console."),
        "username": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "User, for servers with accounts (VeNCrypt Plain). Needs tls.",
        },
        "tls": _TLS_SCHEMA,
    },
    "required": ["address"],
    "additionalProperties": False,
}

_LOGIN = {name: rule for name, rule in _SERVER_SCHEMA["properties"].items() if name != "address"}
_ADOPT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "With this table, be it empty, the provider also takes servers that a token's issuer, "
    "such as Nova, has named by host and port; it says how to log in to all of them.",
    "properties": {
        **_LOGIN,
        "allowed_networks": {
            "type": "array",
            "maxItems": 256,
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "description": "Networks (10.0.0.0/8) that they must be in. Default: any.",
        },
    },
    "additionalProperties": False,
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
        "servers": {
            "type": "object",
            "description": "The VNC servers by server id, the id that callers ask for.",
            "propertyNames": SERVER_ID,
            "additionalProperties": _SERVER_SCHEMA,
        },
        "vcenter": VSPHERE_SCHEMA,
        "adopt": _ADOPT_SCHEMA,
    },
    "if": {"properties": {"source": {"const": "vsphere"}}, "required": ["source"]},
    "then": {"required": ["vcenter"]},
    "else": {"if": {"not": {"required": ["adopt"]}}, "then": {"required": ["servers"]}},
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of a ``[providers.NAME]`` table with ``use = "vnc"``."""


def servers_from_config(config: Mapping[str, Any]) -> dict[str, VncServer]:
    """Build the servers of a table that ``CONFIG_SCHEMA`` has accepted.

    Raises:
        ConfigError: every server whose values contradict each other.
    """
    servers, problems = {}, []
    for server_id, table in config.get("servers", {}).items():
        try:
            servers[server_id] = _server(table)
        except ValueError as exc:
            problems.append(Problem(f"servers.{server_id}", str(exc)))
    if problems:
        raise ConfigError(problems)
    return servers


@attrs.frozen(kw_only=True)
class Adoption:
    """How to reach servers that somebody else has named.

    Attributes:
        server: How to log in; its address is nobody's.
        allowed_networks: Networks (CIDR) that they must be in; empty for any.
    """

    server: VncServer
    allowed_networks: tuple[str, ...] = ()

    def server_at(self, host: str, port: int) -> VncServer:
        """The server at this place.

        Raises:
            ValueError: the place cannot be meant; the text is not quoted.
        """
        shown = f"[{host}]" if ":" in host else host
        return attrs.evolve(self.server, address=Address.parse(f"{shown}:{port}"))


def adoption_from_config(config: Mapping[str, Any]) -> Adoption | None:
    """Read the ``adopt`` table, None where there is none.

    Raises:
        ConfigError: its values contradict each other, or a network is none.
    """
    table = config.get("adopt")
    if table is None:
        return None
    networks = tuple(table.get("allowed_networks", ()))
    try:
        for text in networks:
            ipaddress.ip_network(text)
    except ValueError:
        message = "holds what is no network such as 10.0.0.0/8 (no host bits set)"
        raise ConfigError([Problem("adopt.allowed_networks", message)]) from None
    try:
        return Adoption(server=_server(table, Address()), allowed_networks=networks)
    except ValueError as exc:
        raise ConfigError([Problem("adopt", str(exc))]) from None


def _server(table: Mapping[str, Any], address: Address | None = None) -> VncServer:
    try:
        address = address or Address.parse(table["address"])
    except ValueError as exc:
        raise ValueError(f"its address {exc}") from None
    tls = table.get("tls")
    return VncServer(
        address=address,
        password=Secret(table["password"]) if "password" in table else None,
        password_file=_path(table.get("password_file")),
        username=table.get("username", ""),
        tls=None if tls is None else _tls_policy(tls),
        allow_anonymous_tls=tls is not None and tls.get("allow_anonymous", False),
    )


def _tls_policy(table: Mapping[str, Any]) -> TlsPolicy:
    pin = table.get("pin_sha256")
    return TlsPolicy(
        ca_file=_path(table.get("ca_file")),
        server_name=table.get("server_name"),
        pin_sha256=None if pin is None else pin.replace(":", "").lower(),
        client_cert=_path(table.get("client_cert")),
        client_key=_path(table.get("client_key")),
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
