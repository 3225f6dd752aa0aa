from __future__ import annotations

import importlib.util

import pytest

from consolekit.core import errors
from consolekit.providers.vsphere.api import LoginRefused, MachineMissing, SessionLost, WrongState
from consolekit.providers.vsphere.faults import FAULTS, TICKET_FAULTS, error_for


def ancestors(name: str) -> tuple[str, ...]:
    """As pyvmomi has them: a fault's own table of ancestors is the SDK's."""
    if importlib.util.find_spec("pyVmomi") is None:
        pytest.skip("pyvmomi is not installed: pip install 'consolekit[vmware]'")
    from pyVmomi.VmomiSupport import GetVmodlType

    fault = GetVmodlType(name)
    return tuple(cls.__name__ for cls in fault.__mro__ if cls.__name__.startswith(("vim.", "vmodl.")))


@pytest.mark.parametrize("name", [*FAULTS, *TICKET_FAULTS])
def test_every_fault_of_the_tables_exists(name: str) -> None:
    assert ancestors(name)[0] == name


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("vim.fault.NotAuthenticated", SessionLost),  # a NoPermission too, in the SDK's tree
        ("vim.fault.InvalidLogin", LoginRefused),
        ("vim.fault.PasswordExpired", LoginRefused),
        ("vim.fault.NoPermission", errors.HypervisorPermission),
        ("vmodl.fault.ManagedObjectNotFound", MachineMissing),
        ("vim.fault.TaskInProgress", errors.ServerBusy),
        ("vim.fault.VAppTaskInProgress", errors.ServerBusy),
        ("vim.fault.MethodDisabled", errors.ServerBusy),
        ("vmodl.fault.NotSupported", errors.ConsoleNotSupported),
        ("vmodl.fault.MethodNotFound", errors.ConsoleNotSupported),
        ("vmodl.fault.HostNotConnected", errors.HostUnavailable),
        ("vmodl.fault.HostNotReachable", errors.HostUnavailable),
        ("vim.fault.InvalidHostConnectionState", errors.HostUnavailable),
        ("vim.fault.InvalidHostState", errors.HostInMaintenance),
        ("vim.fault.MksConnectionLimitReached", errors.ConsoleLimitReached),
        ("vim.fault.InvalidState", WrongState),
        ("vim.fault.InvalidPowerState", WrongState),  # where it does not say which
        ("vim.fault.FileNotFound", errors.ServerInaccessible),
        ("vim.fault.Timedout", errors.HypervisorTimeout),
        ("vmodl.fault.RequestCanceled", errors.HypervisorUnavailable),
        ("vmodl.fault.SystemError", errors.HypervisorFault),
        ("vmodl.fault.InvalidArgument", errors.HypervisorFault),
        ("vmodl.RuntimeFault", errors.HypervisorFault),
    ],
)
def test_each_fault_means_one_thing(name: str, error: type[Exception]) -> None:
    assert type(error_for(ancestors(name), "what it said")) is error


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("poweredOff", errors.ServerPoweredOff),
        ("suspended", errors.ServerSuspended),
        ("poweredOn", errors.ConsoleConflict),
        ("", WrongState),
    ],
)
def test_a_power_state_says_which(state: str, error: type[Exception]) -> None:
    names = ("vim.fault.InvalidPowerState", "vim.fault.InvalidState")
    assert type(error_for(names, "", power=state)) is error


@pytest.mark.parametrize("name", ["vmodl.fault.InvalidArgument", "vmodl.fault.InvalidRequest"])
def test_a_kind_of_ticket_that_is_not_known(name: str) -> None:
    assert type(error_for((name,), "", ticket=True)) is errors.ConsoleNotSupported


def test_the_reason_is_one_short_line() -> None:
    error = error_for(("vmodl.fault.SystemError",), "a\r\nb\x1b[31m\0c " + "d" * 500)
    assert str(error).startswith("vmodl.fault.SystemError: a b [31m c d")
    assert len(str(error)) < 250
    assert str(error).isprintable()


def test_without_words_the_name_says_it() -> None:
    assert str(error_for(("vmodl.fault.SystemError",), "")) == "vmodl.fault.SystemError"
