"""Providers: servers by id in an operator's table, and places that others have named. Shared by who has such.

Knows addresses, certificate policies and JSON Schema as data; knows no protocol and connects to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs

from consolekit.core.address import Address, wrong_networks
from consolekit.core.errors import ConfigError, ConsoleNotImplemented, ConsoleUnavailable, Problem
from consolekit.core.schema import SERVER_ID
from consolekit.core.types import Target, TlsPolicy

Table: TypeAlias = Mapping[str, Any]


def _address(value: str | Address) -> Address:
    return Address.parse(value) if isinstance(value, str) else value


@attrs.frozen(kw_only=True)
class Server:
    """One server: where it is, and which certificate is the right one.

    Attributes:
        address: ``host:port``, ``[v6]:port``, ``unix:/path``, or an ``Address``.
        tls: Certificate policy; set, TLS is demanded.

    Raises:
        ValueError: the address cannot be read.
    """

    address: Address = attrs.field(converter=_address)
    tls: TlsPolicy | None = None


S = TypeVar("S", bound=Server)
Make: TypeAlias = Callable[[Table, Address], S]
"""Builds a server of its table and its address; raises ValueError where values contradict each other."""


@attrs.frozen(kw_only=True)
class Adoption(Generic[S]):
    """How to reach servers that somebody else has named.

    Attributes:
        server: How to connect and log in; its address is nobody's.
        allowed_networks: Networks (CIDR) that they must be in; empty for any.
    """

    server: S
    allowed_networks: tuple[str, ...] = ()

    def server_at(self, host: str, port: int) -> S:
        """The server at this place.

        Raises:
            ValueError: the place cannot be meant; the text is not quoted.
        """
        return attrs.evolve(self.server, address=Address.at(host, port))


def adopted(adoption: Adoption[S] | None, target: Target) -> tuple[S, tuple[str, ...]]:
    """The server that somebody else has named, and the networks that it must be in.

    Raises:
        ConsoleNotImplemented: there is no adoption.
        ConsoleUnavailable: the place cannot be meant, or wants to be told a word of its own first.
    """
    if adoption is None:
        raise ConsoleNotImplemented("this provider has no adopt table: it takes its own servers only")
    if target.access is not None:
        raise ConsoleUnavailable("the server that was named wants a path, which this protocol has none of")
    try:
        return adoption.server_at(target.host, target.port), adoption.allowed_networks
    except ValueError as exc:
        raise ConsoleUnavailable(f"the address that was named {exc}") from None


def servers_from_config(config: Table, make: Make[S]) -> dict[str, S]:
    """Build the servers of a ``servers`` table.

    Raises:
        ConfigError: every server whose values contradict each other.
    """
    servers, problems = {}, []
    for server_id, table in config.get("servers", {}).items():
        try:
            servers[server_id] = make(table, _address_of(table))
        except ValueError as exc:
            problems.append(Problem(f"servers.{server_id}", str(exc)))
    if problems:
        raise ConfigError(problems)
    return servers


def _address_of(table: Table) -> Address:
    try:
        return Address.parse(table["address"])
    except ValueError as exc:
        raise ValueError(f"its address {exc}") from None


def adoption_from_config(config: Table, make: Make[S]) -> Adoption[S] | None:
    """Read the ``adopt`` table, None where there is none.

    Raises:
        ConfigError: its values contradict each other, or a network is none.
    """
    table = config.get("adopt")
    if table is None:
        return None
    networks = tuple(table.get("allowed_networks", ()))
    if wrong_networks(networks):
        message = "holds what is no network such as 10.0.0.0/8 (no host bits set)"
        raise ConfigError([Problem("adopt.allowed_networks", message)])
    try:
        return Adoption(server=make(table, Address()), allowed_networks=networks)
    except ValueError as exc:
        raise ConfigError([Problem("adopt", str(exc))]) from None


def tls_policy(table: Table) -> TlsPolicy:
    """The certificate policy of a ``tls`` table."""
    pin = table.get("pin_sha256")
    return TlsPolicy(
        ca_file=path_of(table.get("ca_file")),
        server_name=table.get("server_name"),
        pin_sha256=None if pin is None else pin.replace(":", "").lower(),
        client_cert=path_of(table.get("client_cert")),
        client_key=path_of(table.get("client_key")),
    )


def path_of(text: str | None) -> Path | None:
    """A file's place, None where there is none."""
    return None if text is None else Path(text)


# ---- JSON Schema


def file_schema(description: str) -> dict[str, Any]:
    """The schema of a file's place."""
    return {"type": "string", "minLength": 1, "format": "path", "description": description}


ADDRESS_SCHEMA: Final[Table] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 300,
    "description": "host:port, [IPv6 address]:port or unix:/path.",
}


def tls_schema(description: str, **more: Table) -> dict[str, Any]:
    """The schema of a ``tls`` table; ``more`` are keys of a protocol's own."""
    return {
        "type": "object",
        "description": description,
        "properties": {
            "ca_file": file_schema("PEM file of the CAs to trust. Default: the system's."),
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
            "client_cert": file_schema("PEM file of our own certificate, where the server wants one."),
            "client_key": file_schema("PEM file of its key. Default: in client_cert."),
            **more,
        },
        "dependentRequired": {"client_key": ["client_cert"]},
        "additionalProperties": False,
    }


def servers_schema(description: str, login: Table) -> dict[str, Any]:
    """The schema of a ``servers`` table; ``login`` is what a protocol's servers have beside their address."""
    server = {
        "type": "object",
        "properties": {"address": ADDRESS_SCHEMA, **login},
        "required": ["address"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "description": description,
        "propertyNames": SERVER_ID,
        "additionalProperties": server,
    }


def adopt_schema(login: Table) -> dict[str, Any]:
    """The schema of an ``adopt`` table."""
    return {
        "type": "object",
        "description": "With this table, be it empty, the provider also takes servers that a token's issuer, "
        "such as Nova, has named by host and port; it says how to connect to all of them.",
        "properties": {
            **login,
            "allowed_networks": {
                "type": "array",
                "maxItems": 256,
                "items": {"type": "string", "minLength": 1, "maxLength": 64},
                "description": "Networks (10.0.0.0/8) that they must be in. Default: any.",
            },
        },
        "additionalProperties": False,
    }
