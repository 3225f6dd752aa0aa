"""Providers, vSphere: what the API told, as our own data. No object of an SDK leaves the session.

Pure: says from a machine's state why it has no console; asks nobody.
"""

from __future__ import annotations

import attrs

from consolekit.core.errors import (
    ConsoleConflict,
    ConsoleLimitReached,
    HostInMaintenance,
    HostUnavailable,
    ServerInaccessible,
    ServerPoweredOff,
    ServerSuspended,
)
from consolekit.core.types import Secret


@attrs.frozen(kw_only=True)
class Machine:
    """A virtual machine as it stands now, in vSphere's own words.

    Attributes:
        moid: Its managed object id, such as ``vm-42``.
        name: Its name in the inventory.
        power: ``poweredOn``, ``poweredOff`` or ``suspended``; empty where nothing was told.
        connection: ``connected``, ``disconnected``, ``inaccessible``, ``orphaned``, ``invalid``; or empty.
        host_name: Name of the host that runs it; empty where nothing was told.
        host_connection: ``connected``, ``disconnected``, ``notResponding``; or empty.
        host_maintenance: True if that host is in maintenance.
        mks_connections: Viewers connected to its screen now.
        max_mks_connections: How many it allows; 0 where nothing was told.
        instance_uuid: Unique in one vCenter; empty where it has none.
        bios_uuid: What its guest sees as the machine's UUID.
    """

    moid: str
    name: str = ""
    power: str = ""
    connection: str = ""
    host_name: str = ""
    host_connection: str = ""
    host_maintenance: bool = False
    mks_connections: int = 0
    max_mks_connections: int = 0
    instance_uuid: str = ""
    bios_uuid: str = ""

    def check_state(self) -> None:
        """Say why it has no screen to show now; say nothing if it has one.

        Raises:
            HostUnavailable: its host is not connected.
            ServerInaccessible: its files or its registration are lost.
            ServerPoweredOff: it is off.
            ServerSuspended: it is suspended.
            HostInMaintenance: its host is in maintenance.
            ConsoleConflict: it is in a state that we do not know.
        """
        if self.connection == "disconnected" or self.host_connection in ("disconnected", "notResponding"):
            raise HostUnavailable(f"the host of {self.moid} is {self.host_connection or self.connection}")
        if self.connection in ("inaccessible", "orphaned", "invalid"):
            raise ServerInaccessible(f"{self.moid} is {self.connection}")
        if self.power == "poweredOff":
            raise ServerPoweredOff(f"{self.moid} is powered off")
        if self.power == "suspended":
            raise ServerSuspended(f"{self.moid} is suspended")
        if self.host_maintenance:
            raise HostInMaintenance(f"the host of {self.moid} is in maintenance")
        if self.power != "poweredOn":
            raise ConsoleConflict(f"{self.moid} has the power state {self.power!r}")

    def check_limit(self) -> None:
        """Say if another viewer would be one too many.

        For the moment when a link is made. When a viewer connects, the host itself decides: one that comes
        back may still be counted.

        Raises:
            ConsoleLimitReached: as many viewers are connected as the machine allows.
        """
        if 0 < self.max_mks_connections <= self.mks_connections:
            raise ConsoleLimitReached(f"{self.moid} has {self.mks_connections} viewers, all that it allows")


@attrs.frozen(kw_only=True)
class Ticket:
    """What ``AcquireTicket`` answered: opens one console once, within seconds to minutes.

    Attributes:
        kind: The type asked for: ``webmks`` or ``mks``.
        ticket: User name and password at once.
        cfg_file: Path of the machine's configuration on its host; the authd conversation names it.
        host: Where to connect; empty means the host that was asked.
        port: Where to connect; 0 means the protocol's own.
        url: The whole websocket URL, ticket in it; told since vSphere 7.0.
        ssl_thumbprint: SHA-1 of the host's certificate, as told.
        cert_thumbprints: Other digests of it: pairs of algorithm and digest, as told; since 7.0.3.
        certificate_pem: The certificate itself, told since 9.0 instead of ``ssl_thumbprint``.
        asked_host: The vCenter or host that answered.
    """

    kind: str
    ticket: Secret
    cfg_file: str = ""
    host: str = ""
    port: int = 0
    url: Secret | None = None
    ssl_thumbprint: str = ""
    cert_thumbprints: tuple[tuple[str, str], ...] = ()
    certificate_pem: str = ""
    asked_host: str = ""


@attrs.frozen(kw_only=True)
class CloneInfo:
    """What a viewer that logs in to vCenter itself must know, with a login for one use.

    Attributes:
        host: The vCenter as it is configured here.
        fqdn: The vCenter's own name (its option ``VirtualCenter.FQDN``); ``host`` where it has none.
        server_guid: The vCenter's ``about.instanceUuid``.
        moid: The machine's managed object id, for ``vmId``.
        name: The machine's name, for ``vmName``.
        session_ticket: A copy of our own session, usable once: whoever has it may do what we may do.
        thumbprint_sha1: SHA-1 of the vCenter's certificate, upper case, with colons.
        thumbprint_sha256: SHA-256 of it, written likewise.
    """

    host: str
    fqdn: str
    server_guid: str
    moid: str
    name: str
    session_ticket: Secret
    thumbprint_sha1: str
    thumbprint_sha256: str


@attrs.frozen(kw_only=True)
class VncSettings:
    """Where a machine's own VNC server listens now, on hosts that still have one (before vSphere 7.0).

    Attributes:
        host: Name of the host that runs the machine.
        port: Its ``RemoteDisplay.vnc.port``.
        password: Its ``RemoteDisplay.vnc.password``; None where none is set.
        machine: The machine's state, read in the same call.
    """

    host: str
    port: int
    password: Secret | None = None
    machine: Machine
