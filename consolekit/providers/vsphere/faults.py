"""Providers, vSphere: what a fault of the API means for whoever wants a console. Pure: a table over names.

Knows the names of vSphere's faults and our errors; imports neither an SDK nor anything that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from consolekit.core.errors import (
    ConsoleConflict,
    ConsoleLimitReached,
    ConsoleNotSupported,
    HostInMaintenance,
    HostUnavailable,
    HypervisorFault,
    HypervisorPermission,
    HypervisorTimeout,
    HypervisorUnavailable,
    ServerBusy,
    ServerInaccessible,
    ServerPoweredOff,
    ServerSuspended,
)
from consolekit.providers.vsphere.api import LoginRefused, MachineMissing, SessionLost, WrongState

_LONGEST = 200

FAULTS: Final[Mapping[str, Callable[[str], Exception]]] = {
    "vim.fault.NotAuthenticated": SessionLost,
    "vim.fault.InvalidLogin": LoginRefused,
    "vim.fault.NoPermission": HypervisorPermission,
    "vmodl.fault.SecurityError": HypervisorPermission,
    "vmodl.fault.ManagedObjectNotFound": MachineMissing,
    "vim.fault.MksConnectionLimitReached": ConsoleLimitReached,
    "vim.fault.InvalidHostConnectionState": HostUnavailable,
    "vim.fault.InvalidHostState": HostInMaintenance,
    "vim.fault.InvalidState": WrongState,
    "vim.fault.TaskInProgress": ServerBusy,
    "vim.fault.ConcurrentAccess": ServerBusy,
    "vim.fault.MethodDisabled": ServerBusy,
    "vim.fault.ResourceInUse": ServerBusy,
    "vim.fault.FileFault": ServerInaccessible,
    "vim.fault.InvalidDatastore": ServerInaccessible,
    "vim.fault.HostConnectFault": HostUnavailable,
    "vmodl.fault.HostCommunication": HostUnavailable,
    "vim.fault.RestrictedVersion": ConsoleNotSupported,
    "vmodl.fault.NotSupported": ConsoleNotSupported,
    "vmodl.fault.NotImplemented": ConsoleNotSupported,
    "vmodl.fault.MethodNotFound": ConsoleNotSupported,
    "vim.fault.Timedout": HypervisorTimeout,
    "vmodl.fault.RequestCanceled": HypervisorUnavailable,
}
"""What the nearest ancestor of a fault that stands here means; any other is ``HypervisorFault``."""

TICKET_FAULTS: Final[Mapping[str, Callable[[str], Exception]]] = {
    # a type of ticket that this version does not know, or knows no more
    "vmodl.fault.InvalidArgument": ConsoleNotSupported,
    "vmodl.fault.InvalidRequest": ConsoleNotSupported,
}
"""What else a fault means as the answer to ``AcquireTicket``."""

_POWER: Final[Mapping[str, Callable[[str], Exception]]] = {
    "poweredOff": ServerPoweredOff,
    "suspended": ServerSuspended,
    "poweredOn": ConsoleConflict,
}


def error_for(names: tuple[str, ...], message: str, *, power: str = "", ticket: bool = False) -> Exception:
    """The error, or the signal for the session, that a fault means.

    Args:
        names: The fault's type and its ancestors, nearest first, such as ``vim.fault.InvalidLogin``.
        message: What the API said; for logs.
        power: ``InvalidPowerState``: the state that it names.
        ticket: True if this is the answer to ``AcquireTicket``.
    """
    reason = f"{names[0]}: {_printable(message)}" if message else names[0]
    if "vim.fault.InvalidPowerState" in names and power in _POWER:
        return _POWER[power](reason)
    for name in names:
        meant = (TICKET_FAULTS.get(name) if ticket else None) or FAULTS.get(name)
        if meant is not None:
            return meant(reason)
    return HypervisorFault(reason)


def _printable(message: str) -> str:
    """One line of at most so many characters, whatever came."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
