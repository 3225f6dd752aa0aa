"""Providers, VNC: machines of VMware whose host still has a VNC server for each (before vSphere 7.0).

Asks vSphere where the machine listens whenever it is wanted, and never sets a port. What was true a minute
ago may be another machine's screen now.
"""

from __future__ import annotations

from typing import Protocol

from consolekit.core.address import Address
from consolekit.core.errors import HypervisorProtocol
from consolekit.providers.vnc.servers import VncServer
from consolekit.providers.vsphere import HostRules, VncSettings


class Machines(Protocol):
    """What is asked of vSphere; ``VSphere`` is it."""

    async def vnc_settings(self, server_id: str) -> VncSettings:
        """Where the machine's VNC server listens now."""


class VMwareServers:
    """The VNC servers of the machines of one vCenter or ESXi host.

    Args:
        vsphere: Whom to ask.
        hosts: Where the hosts that it names are.
    """

    def __init__(self, vsphere: Machines, hosts: HostRules | None = None) -> None:
        self._vsphere = vsphere
        self._hosts = hosts or HostRules()

    async def lookup(self, server_id: str) -> VncServer:
        """Where the machine's screen is now, with its password if it has one.

        Raises:
            UnknownServer: there is no such machine.
            ConsoleConflict: its state allows no console; the class says which.
            ConsoleNotSupported: it has no VNC server configured.
            ConsoleUnavailable: it cannot be had now.
        """
        settings = await self._vsphere.vnc_settings(server_id)
        settings.machine.check_state()
        try:
            address = Address.at(self._hosts.place_of(settings.host), settings.port)
        except ValueError as exc:
            raise HypervisorProtocol(f"where {settings.machine.moid} listens {exc}") from None
        return VncServer(address=address, password=settings.password)
