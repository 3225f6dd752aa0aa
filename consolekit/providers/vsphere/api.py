"""Providers, vSphere: what the session wants of the API, and what the API has to tell it apart from errors.

Shapes only. ``soap.py`` fills them with pyvmomi; tests fill them with what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consolekit.core.types import Secret
from consolekit.providers.vsphere.calls import Call
from consolekit.providers.vsphere.results import Machine, Ticket, VncSettings
from consolekit.providers.vsphere.settings import FindBy, VSphereSettings


class Signal(Exception):
    """The API's answer calls for another step of ours."""


class SessionLost(Signal):
    """Our login is not valid any more."""


class LoginRefused(Signal):
    """User name or password is wrong; asking again with the same may lock the account."""


class MachineMissing(Signal):
    """There is no object of this id (any more), or it is another machine now."""


class WrongState(Signal):
    """The machine's state is wrong, and the answer does not say which state it is."""


class Api(Protocol):
    """One login at one vCenter or host. Every method blocks, until its call is abandoned at the latest.

    Attributes:
        version: The API version that is spoken.
        is_vcenter: False for a single ESXi host.
        server_guid: Its ``about.instanceUuid``; empty where it has none.
        thumbprints: SHA-1 and SHA-256 of its certificate, in upper case with colons.
    """

    version: str
    is_vcenter: bool
    server_guid: str
    thumbprints: tuple[str, str]

    def find(self, call: Call, find_by: FindBy, uuid: str) -> tuple[str, ...]:
        """The managed object ids of the machines with this UUID."""

    def machine(self, call: Call, moid: str) -> Machine:
        """A machine's state, in one call."""

    def vnc(self, call: Call, moid: str) -> VncSettings:
        """A machine's state and ``RemoteDisplay.vnc``, in one call."""

    def ticket(self, call: Call, moid: str, kind: str) -> Ticket:
        """A fresh ticket."""

    def clone_ticket(self, call: Call) -> Secret:
        """A copy of this login, for one use."""

    def fqdn(self, call: Call) -> str:
        """The vCenter's own name; empty where it has none."""

    def touch(self, call: Call) -> None:
        """Keep the login alive."""

    def logout(self, call: Call) -> None:
        """End the login."""

    def close(self) -> None:
        """Close the connections that are not in use."""


Connect = Callable[[Call, VSphereSettings, Secret], Api]
"""Checks the certificate, then logs in. Blocks. Raises LoginRefused, or a ConsoleUnavailable."""
