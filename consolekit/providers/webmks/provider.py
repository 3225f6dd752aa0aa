"""Providers, WebMKS: VMware's own consoles, from vCenter or from a single ESXi host.

Asks vSphere for a fresh ticket whenever a browser connects; knows no socket and no HTTP.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol, Self

import attrs

from consolekit.core.errors import ConsoleNotImplemented
from consolekit.core.handshake import Script
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared, Use
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Mode, Secret, Target
from consolekit.providers.rfbfilter import Begins, RfbFilter
from consolekit.providers.vsphere import (
    CloneInfo,
    Machine,
    Ticket,
    VSphere,
    settings_from_config,
    use_vsphere,
)
from consolekit.providers.webmks.adopted import NoMachines, named_mks, ticket_of
from consolekit.providers.webmks.authd import NONCE_SIZE, AuthdLogin, authd_script
from consolekit.providers.webmks.classic import HTTPS_PORT, connect_info, version_of
from consolekit.providers.webmks.settings import CONFIG_SCHEMA, TicketKind, rules_from_config
from consolekit.providers.webmks.ticket import AuthdEndpoint, TicketRules, authd_endpoint, webmks_endpoint

WEBMKS = ConsoleKey("mks", "webmks")
_NO_RELAY = (
    "this server's viewer is vCenter's own console page, which cannot be relayed; "
    "ask for the console's connection information instead"
)


class Machines(Protocol):
    """What is asked of vSphere; ``VSphere`` is it."""

    @property
    def api_version(self) -> str:
        """The API version; empty before the first answer."""

    async def version(self) -> str:
        """The API version; logs in to learn it, where nobody has yet."""

    async def machine(self, server_id: str) -> Machine:
        """A machine's state now."""

    async def ticket(self, server_id: str, kind: str) -> Ticket:
        """A fresh ticket."""

    async def clone_ticket(self, server_id: str) -> CloneInfo:
        """A login for one use, with what belongs to it."""


class WebMksProvider(ConsoleProvider):
    """Consoles of the machines of one vCenter or ESXi host.

    Args:
        vsphere: Whom to ask.
        ticket: The way to the screen.
        rules: Which hosts and certificates tickets may name.
        console_port: Port of vCenter's console page before vSphere 6.0.
        adopt: Whether tickets that somebody else has taken are used too.
        aclose: Called when the provider ends: lets go of ``vsphere``.
    """

    keys: ClassVar[tuple[ConsoleKey, ...]] = (WEBMKS,)
    modes: ClassVar[tuple[Mode, ...]] = tuple(Mode)
    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(
        self,
        vsphere: Machines,
        *,
        ticket: TicketKind = TicketKind.AUTO,
        rules: TicketRules | None = None,
        console_port: int = HTTPS_PORT,
        adopt: bool = False,
        aclose: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._vsphere = vsphere
        self._ticket = ticket
        self._rules = rules or TicketRules()
        self._console_port = console_port
        self._adopt = adopt
        self._aclose = aclose

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table. Connects to nothing.

        Raises:
            ConfigError: values contradict each other or cannot be meant, or pyvmomi is not installed.
        """
        rules = rules_from_config(config)
        used: Use[VSphere] | None = None
        if "vcenter" in config:
            used = use_vsphere(settings_from_config(config["vcenter"], "vcenter"), shared)
        return cls(
            used.thing if used else NoMachines(),
            ticket=TicketKind(config.get("ticket", TicketKind.AUTO.value)),
            rules=rules,
            console_port=config.get("console_port", HTTPS_PORT),
            adopt=config.get("adopt", False),
            aclose=used.aclose if used else None,
        )

    async def check(self, request: ConsoleRequest) -> None:
        """Ask for the machine's state; takes no ticket.

        Raises:
            UnknownServer: there is no such machine.
            ConsoleConflict: its state allows no console.
            ConsoleLimitReached: as many viewers are connected as it allows.
            ConsoleUnavailable: it cannot be had now.
            ConsoleNotImplemented: its console is vCenter's own page.
        """
        machine = await self._vsphere.machine(request.server_id)
        machine.check_state()
        if self._kind() is TicketKind.CLONE:
            raise ConsoleNotImplemented(_NO_RELAY)
        # not in open(): a viewer that comes back may still be counted; there the ticket's fault decides
        machine.check_limit()

    async def open(self, request: ConsoleRequest) -> Endpoint:
        """Take a fresh ticket; one call, where the machine was asked for before.

        Raises:
            UnknownServer: the machine is gone.
            ConsoleConflict: its state allows no console (any more).
            ConsoleUnavailable: it cannot be had now, or the ticket is none.
            ConsoleNotImplemented: its console is vCenter's own page.
        """
        if self._ticket is TicketKind.AUTO and not self._vsphere.api_version:
            await self._vsphere.version()
        kind = self._kind()
        if kind is TicketKind.CLONE:
            raise ConsoleNotImplemented(_NO_RELAY)
        ticket = await self._vsphere.ticket(request.server_id, kind.value)
        make = authd_endpoint if kind is TicketKind.MKS else webmks_endpoint
        # a host ends the connection in order when the machine leaves it
        return attrs.evolve(make(ticket, self._rules), moves=True)

    async def adopt(self, request: ConsoleRequest, target: Target) -> Endpoint:
        """Use a ticket that somebody else has taken, such as Nova's driver, where that is allowed.

        Raises:
            ConsoleNotImplemented: it does not.
            ConsoleUnavailable: the ticket cannot be meant.
        """
        if not self._adopt:
            raise ConsoleNotImplemented("this provider has not adopt = true: it takes its own tickets only")
        ticket = ticket_of(target)
        if ticket.kind == TicketKind.MKS.value:
            return authd_endpoint(ticket, self._rules)
        return webmks_endpoint(ticket, self._rules)

    def named(self, endpoint: Endpoint) -> Target:
        """Name an endpoint as Nova's driver would; the inverse of ``adopt``."""
        if isinstance(endpoint, AuthdEndpoint):
            return named_mks(endpoint)
        return super().named(endpoint)

    def handshake(self, endpoint: Endpoint) -> Script | None:
        """The conversation with port 902; a websocket of the host is relayed from its first byte."""
        if not isinstance(endpoint, AuthdEndpoint):
            return None
        return authd_script(
            AuthdLogin(
                ticket=endpoint.secret or Secret(""),
                cfg_file=endpoint.cfg_file,
                nonce=secrets.token_bytes(NONCE_SIZE),
                allow_sha1=endpoint.allow_sha1,
            )
        )

    def viewer_filter(self, endpoint: Endpoint, mode: Mode) -> RfbFilter:
        """RFB: from its very beginning in a host's websocket, from behind ClientInit on port 902."""
        begins = Begins.MESSAGES if isinstance(endpoint, AuthdEndpoint) else Begins.VERSION
        return RfbFilter(mode, begins=begins)

    async def connect_info(self, request: ConsoleRequest) -> Mapping[str, object]:
        """What opens vCenter's own console page, whichever way the gateway goes itself.

        Raises:
            UnknownServer: there is no such machine.
            ConsoleConflict: its state allows no console.
            ConsoleUnavailable: it cannot be had now, or a single ESXi host is asked, which has no such page.
        """
        info = await self._vsphere.clone_ticket(request.server_id)
        return connect_info(info, self._vsphere.api_version, self._console_port)

    async def aclose(self) -> None:
        """Let go of the vCenter."""
        if self._aclose is not None:
            await self._aclose()

    def _kind(self) -> TicketKind:
        if self._ticket is not TicketKind.AUTO:
            return self._ticket
        before_6 = version_of(self._vsphere.api_version) < (6, 0)
        return TicketKind.CLONE if before_6 else TicketKind.WEBMKS
