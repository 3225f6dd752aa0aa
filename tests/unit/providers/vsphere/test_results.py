from __future__ import annotations

import attrs
import pytest
from fakevsphere import machine

from consolekit.core import errors
from consolekit.core.types import Secret
from consolekit.providers.vsphere.results import CloneInfo, Ticket, VncSettings

CANARY = "c4n4ry-t1cket"


def test_a_machine_that_runs_has_a_screen() -> None:
    machine().check_state()
    machine(host_name="", host_connection="").check_state()  # the account may not see hosts
    machine(connection="").check_state()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"power": "poweredOff"}, errors.ServerPoweredOff),
        ({"power": "suspended"}, errors.ServerSuspended),
        ({"power": ""}, errors.ConsoleConflict),
        ({"power": "melted"}, errors.ConsoleConflict),
        ({"connection": "disconnected"}, errors.HostUnavailable),
        ({"connection": "inaccessible"}, errors.ServerInaccessible),
        ({"connection": "orphaned"}, errors.ServerInaccessible),
        ({"connection": "invalid"}, errors.ServerInaccessible),
        ({"host_connection": "disconnected"}, errors.HostUnavailable),
        ({"host_connection": "notResponding"}, errors.HostUnavailable),
        ({"host_maintenance": True}, errors.HostInMaintenance),
        # what is known of a machine whose host is away is old
        ({"power": "poweredOff", "host_connection": "notResponding"}, errors.HostUnavailable),
        # off is off, whatever its host does
        ({"power": "poweredOff", "host_maintenance": True}, errors.ServerPoweredOff),
    ],
)
def test_every_other_state_has_its_own_error(
    changes: dict[str, object], error: type[errors.ConsoleKitError]
) -> None:
    with pytest.raises(error) as caught:
        machine(**changes).check_state()
    assert type(caught.value) is error
    assert "vm-1" in str(caught.value)


@pytest.mark.parametrize(("now", "most"), [(0, 0), (99, 0), (0, 40), (39, 40)])
def test_there_is_room_for_a_viewer(now: int, most: int) -> None:
    machine(mks_connections=now, max_mks_connections=most).check_limit()


@pytest.mark.parametrize("now", [40, 41])
def test_there_is_no_room_for_a_viewer(now: int) -> None:
    with pytest.raises(errors.ConsoleLimitReached):
        machine(mks_connections=now, max_mks_connections=40).check_limit()


@pytest.mark.parametrize(
    "told",
    [
        Ticket(kind="webmks", ticket=Secret(CANARY), url=Secret(f"wss://esx/ticket/{CANARY}")),
        CloneInfo(
            host="vc",
            fqdn="vc",
            server_guid="",
            moid="vm-1",
            name="web",
            session_ticket=Secret(CANARY),
            thumbprint_sha1="",
            thumbprint_sha256="",
        ),
        VncSettings(host="esx", port=5901, password=Secret(CANARY), machine=machine()),
    ],
    ids=lambda told: type(told).__name__,
)
def test_nothing_prints_its_secret(told: object) -> None:
    assert CANARY not in repr(told) + str(told) + f"{told}"
    assert CANARY not in repr(attrs.asdict(told))  # type: ignore[call-overload]  # any attrs class
