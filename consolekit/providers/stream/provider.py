"""Providers, stream: consoles without a handshake of ours: serial lines and SPICE channels behind a socket.

Knows where servers are; knows no byte of what they say, no socket and no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from consolekit.core.address import Address
from consolekit.core.errors import UnknownServer
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Target, TlsPolicy, Transport
from consolekit.providers.servers import (
    Adoption,
    Server,
    adopt_schema,
    adopted,
    adoption_from_config,
    servers_from_config,
    servers_schema,
    tls_policy,
    tls_schema,
)

_LOGIN: Mapping[str, Any] = {
    "tls": tls_schema("TLS from the first byte; with this table, nothing is ever sent in clear."),
}
CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "servers": servers_schema("The servers by server id, the id that callers ask for.", _LOGIN),
        "adopt": adopt_schema(_LOGIN),
    },
    "anyOf": [{"required": ["servers"]}, {"required": ["adopt"]}],
    "additionalProperties": False,
}
"""JSON Schema (2020-12) of a ``[providers.NAME]`` table with ``use = "serial"`` or ``use = "spice"``."""


class StreamProvider(ConsoleProvider):
    """Consoles that are relayed from the first byte, from a table. Its subclasses say which pair.

    Args:
        servers: The servers by id.
        adoption: How to reach servers that somebody else has named; None: those are refused.
    """

    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(self, *, servers: Mapping[str, Server], adoption: Adoption[Server] | None = None) -> None:
        self._servers = dict(servers)
        self._adoption = adoption

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table.

        Raises:
            ConfigError: every server whose address or settings cannot be meant.
        """
        return cls(
            servers=servers_from_config(config, _server), adoption=adoption_from_config(config, _server)
        )

    async def check(self, request: ConsoleRequest) -> None:
        """Ask whether the server is known. Connects to nothing.

        Raises:
            UnknownServer: it is not.
        """
        self._known(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        """Say where the server is.

        Raises:
            UnknownServer: the server is not known (any more).
        """
        return _endpoint(self._known(request.server_id))

    async def adopt(self, request: ConsoleRequest, target: Target) -> Endpoint:
        """Take a server that somebody else has named, where the configuration allows it.

        Raises:
            ConsoleNotImplemented: it does not.
            ConsoleUnavailable: the place cannot be meant, or wants a word of its own first.
        """
        return _endpoint(*adopted(self._adoption, target))

    def _known(self, server_id: str) -> Server:
        try:
            return self._servers[server_id]
        except KeyError:
            raise UnknownServer(f"no {self.keys[0]} server of this id is configured") from None


class SerialProvider(StreamProvider):
    """Serial lines: what QEMU's ``-serial tcp:`` or ``unix:`` gives, and terminal servers in raw mode."""

    keys: ClassVar[tuple[ConsoleKey, ...]] = (ConsoleKey("serial", "serial"),)


class SpiceProvider(StreamProvider):
    """SPICE servers. Each channel is a connection; a password is asked for and answered by the viewer."""

    keys: ClassVar[tuple[ConsoleKey, ...]] = (ConsoleKey("spice", "spice-html5"),)
    many_channels: ClassVar[bool] = True
    refused_keys: ClassVar[Mapping[ConsoleKey, str]] = {
        ConsoleKey("spice", "spice-direct"): "for native viewers, past any gateway; use spice/spice-html5",
    }


def _server(table: Mapping[str, Any], address: Address) -> Server:
    tls = table.get("tls")
    if tls is not None and address.path:
        raise ValueError("has tls and is a unix socket; TLS is for TCP")
    return Server(address=address, tls=None if tls is None else tls_policy(tls))


def _endpoint(server: Server, allowed_networks: tuple[str, ...] = ()) -> Endpoint:
    address = server.address
    if address.path:
        return Endpoint(transport=Transport.UNIX, path=address.path)
    return Endpoint(
        transport=Transport.TCP if server.tls is None else Transport.TLS,
        host=address.host,
        port=address.port,
        tls=server.tls or TlsPolicy(),
        allowed_networks=allowed_networks,
    )
