"""Providers, VNC: consoles of servers that speak RFB themselves: QEMU, TigerVNC, x11vnc and their kind.

Knows where servers are, or whom to ask, and reads their password files; knows no socket and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Self

import attrs

from consolekit.core.errors import ConfigError, Problem, UnknownServer
from consolekit.core.handshake import Script
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared
from consolekit.core.types import (
    ConsoleKey,
    ConsoleRequest,
    Endpoint,
    Mode,
    Target,
    Transport,
)
from consolekit.providers.passwordfile import read_password
from consolekit.providers.rfbfilter import Begins, RfbFilter
from consolekit.providers.servers import Adoption, adopted, adoption_from_config, servers_from_config
from consolekit.providers.vnc.rfb import vnc_script
from consolekit.providers.vnc.security import VncPolicy
from consolekit.providers.vnc.servers import CONFIG_SCHEMA, VncServer, server_from_config
from consolekit.providers.vnc.vmware import VMwareServers
from consolekit.providers.vsphere import (
    HOST_PROPERTIES,
    host_rules_from_config,
    settings_from_config,
    use_vsphere,
)

Lookup = Callable[[str], Awaitable[VncServer]]
"""Gives a server by its id; raises UnknownServer for one that it does not know."""

NOVNC = ConsoleKey("vnc", "novnc")


@attrs.frozen(kw_only=True)
class VncEndpoint(Endpoint):
    """An endpoint with what the RFB handshake must know besides.

    Attributes:
        tls_required: Never continue in clear.
        anonymous_tls: Allow TLS without certificates.
    """

    tls_required: bool = False
    anonymous_tls: bool = False


class VncProvider(ConsoleProvider):
    """Consoles of VNC servers, from a table or from an integrator's own lookup.

    Args:
        servers: The servers by id.
        lookup: Asked for each console instead.
        allowed_networks: Networks (CIDR) that the servers of ``lookup`` must be in; empty for any.
        aclose: Called when the provider ends: what ``lookup`` works with goes too.
        adoption: How to reach servers that somebody else has named; None: those are refused.

    Raises:
        TypeError: both or neither are given.
    """

    keys: ClassVar[tuple[ConsoleKey, ...]] = (NOVNC,)
    modes: ClassVar[tuple[Mode, ...]] = tuple(Mode)
    refused_keys: ClassVar[Mapping[ConsoleKey, str]] = {
        ConsoleKey("vnc", "xvpvnc"): "the old Java viewer's own protocol; use vnc/novnc",
    }
    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(
        self,
        *,
        servers: Mapping[str, VncServer] | None = None,
        lookup: Lookup | None = None,
        allowed_networks: tuple[str, ...] = (),
        aclose: Callable[[], Awaitable[None]] | None = None,
        adoption: Adoption[VncServer] | None = None,
    ) -> None:
        if (servers is None) == (lookup is None):
            raise TypeError("VncProvider takes either servers or lookup")
        self._servers = dict(servers or {})
        self._lookup = lookup or self._from_table
        self._allowed_networks = allowed_networks
        self._aclose = aclose
        self._adoption = adoption

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table.

        Raises:
            ConfigError: every server whose address or settings cannot be meant, or two sources at once.
        """
        vsphere = config.get("source") == "vsphere"
        unused = ("servers",) if vsphere else ("vcenter", *HOST_PROPERTIES)
        if wrong := [key for key in unused if key in config]:
            text = f'means nothing with source = "{config.get("source", "table")}"; leave it out'
            raise ConfigError([Problem(key, text) for key in wrong])
        adoption = adoption_from_config(config, server_from_config)
        if vsphere:
            hosts = host_rules_from_config(config)
            used = use_vsphere(settings_from_config(config["vcenter"], "vcenter"), shared)
            return cls(
                lookup=VMwareServers(used.thing, hosts).lookup,
                allowed_networks=hosts.allowed_networks,
                aclose=used.aclose,
                adoption=adoption,
            )
        return cls(servers=servers_from_config(config, server_from_config), adoption=adoption)

    async def check(self, request: ConsoleRequest) -> None:
        """Ask whether the server is known. Connects to nothing.

        Raises:
            UnknownServer: it is not.
        """
        await self._lookup(request.server_id)

    async def open(self, request: ConsoleRequest) -> VncEndpoint:
        """Say where the server is, with the password as it stands in its file now.

        Raises:
            UnknownServer: the server is not known (any more).
            ConsoleConflict: its state allows no console, where the source knows states.
            ConsoleUnavailable: its password file cannot be read, or the source does not answer.
        """
        return await _endpoint(await self._lookup(request.server_id), self._allowed_networks)

    async def adopt(self, request: ConsoleRequest, target: Target) -> VncEndpoint:
        """Take a VNC server that somebody else has named, where the configuration allows it.

        Raises:
            ConsoleNotImplemented: it does not.
            ConsoleUnavailable: the place cannot be meant, wants a word of its own before RFB, or the
                password file cannot be read.
        """
        server, allowed_networks = adopted(self._adoption, target)
        return await _endpoint(server, allowed_networks)

    def handshake(self, endpoint: Endpoint) -> Script:
        """The RFB security handshake with the server, then None towards the viewer."""
        return vnc_script(
            VncPolicy(
                password=endpoint.secret,
                username=endpoint.username,
                tls_required=isinstance(endpoint, VncEndpoint) and endpoint.tls_required,
                anonymous_tls=isinstance(endpoint, VncEndpoint) and endpoint.anonymous_tls,
            )
        )

    def viewer_filter(self, endpoint: Endpoint, mode: Mode) -> RfbFilter:
        """RFB, from ClientInit on: what comes before it is the handshake's."""
        return RfbFilter(mode, begins=Begins.CLIENT_INIT)

    async def aclose(self) -> None:
        """End what the lookup works with."""
        if self._aclose is not None:
            await self._aclose()

    async def _from_table(self, server_id: str) -> VncServer:
        try:
            return self._servers[server_id]
        except KeyError:
            raise UnknownServer("no VNC server of this id is configured") from None


async def _endpoint(server: VncServer, allowed_networks: tuple[str, ...]) -> VncEndpoint:
    """Where the server is, with the password as it stands in its file now."""
    password = server.password
    if server.password_file is not None:
        password = await asyncio.to_thread(read_password, server.password_file)
    address = server.address
    return VncEndpoint(
        transport=Transport.UNIX if address.path else Transport.TCP,
        host=address.host,
        port=address.port,
        path=address.path,
        tls=server.tls_policy,
        allowed_networks=allowed_networks,
        username=server.username,
        secret=password,
        tls_required=server.tls_required,
        anonymous_tls=server.allow_anonymous_tls,
    )
