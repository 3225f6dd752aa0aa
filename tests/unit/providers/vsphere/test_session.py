from __future__ import annotations

import asyncio
import builtins
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakevsphere import PASSWORD, UUID, Site, machine

from consolekit.core import errors
from consolekit.core.types import Secret
from consolekit.providers.vsphere.api import WrongState
from consolekit.providers.vsphere.session import VSphere
from consolekit.providers.vsphere.settings import FindBy, VSphereSettings
from consolekit.testing.clock import ManualClock


class Rig:
    def __init__(self) -> None:
        self.site = Site()
        self.clock = ManualClock()
        self.opened: list[VSphere] = []

    def vsphere(self, **changes: Any) -> VSphere:
        usual: dict[str, Any] = {"host": "vc", "username": "gate", "password": Secret(PASSWORD)}
        settings = VSphereSettings(**{**usual, **changes})
        made = VSphere(settings, clock=self.clock, name="lab", connect=self.site.connect)
        self.opened.append(made)
        return made

    def asked(self) -> list[str]:
        """What was asked since the last time, without the login."""
        asked, self.site.asked = self.site.asked, []
        return [question for question in asked if question != "Login"]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    for vsphere in made.opened:
        await vsphere.aclose()


async def test_a_ticket_is_one_call_and_one_more_to_find_the_machine(rig: Rig) -> None:
    vsphere = rig.vsphere()
    first = await vsphere.ticket(UUID, "webmks")
    assert rig.asked() == ["find", "ticket"]
    second = await vsphere.ticket(UUID.upper(), "mks")
    assert rig.asked() == ["ticket"]
    assert first.ticket != second.ticket
    assert (first.kind, second.kind) == ("webmks", "mks")


async def test_a_machine_is_looked_for_again_after_minutes(rig: Rig) -> None:
    vsphere = rig.vsphere()
    await vsphere.machine(UUID)
    rig.clock.advance(301)
    rig.asked()
    await vsphere.machine(UUID)
    assert rig.asked() == ["find", "machine"]


async def test_a_managed_object_id_needs_no_search(rig: Rig) -> None:
    vsphere = rig.vsphere(find_by=FindBy.MOID)
    assert (await vsphere.machine("vm-1")).name == "web"
    assert rig.asked() == ["machine"]
    with pytest.raises(errors.UnknownServer) as caught:
        await vsphere.machine("vm-2")
    assert type(caught.value) is errors.UnknownServer


async def test_the_bios_uuid(rig: Rig) -> None:
    other = UUID[:-1] + "b"
    rig.site.machines["vm-1"] = machine(instance_uuid=other)
    assert (await rig.vsphere(find_by=FindBy.BIOS_UUID).machine(UUID)).instance_uuid == other
    with pytest.raises(errors.UnknownServer):
        await rig.vsphere().machine(UUID)


async def test_two_machines_of_one_id_are_a_conflict(rig: Rig) -> None:
    rig.site.machines["vm-2"] = machine(moid="vm-2")
    with pytest.raises(errors.AmbiguousServer):
        await rig.vsphere().ticket(UUID, "webmks")
    assert rig.asked() == ["find"]


async def test_what_is_no_id_is_not_asked_for(rig: Rig) -> None:
    with pytest.raises(errors.UnknownServer):
        await rig.vsphere().machine("web-1")
    assert rig.site.logins == []


async def test_a_machine_that_was_never_there(rig: Rig) -> None:
    with pytest.raises(errors.UnknownServer) as caught:
        await rig.vsphere().ticket(UUID[:-1] + "f", "webmks")
    assert type(caught.value) is errors.UnknownServer


async def test_a_machine_that_is_gone(rig: Rig) -> None:
    vsphere = rig.vsphere()
    await vsphere.machine(UUID)
    rig.site.machines.clear()
    with pytest.raises(errors.ServerGone):
        await vsphere.ticket(UUID, "webmks")
    with pytest.raises(errors.UnknownServer):
        await vsphere.ticket(UUID, "webmks")


async def test_a_machine_that_was_registered_anew_is_found_again(rig: Rig) -> None:
    vsphere = rig.vsphere()
    await vsphere.ticket(UUID, "webmks")
    rig.site.machines = {"vm-9": machine(moid="vm-9")}
    rig.asked()
    await vsphere.ticket(UUID, "webmks")
    assert rig.asked() == ["ticket", "find", "ticket"]
    assert (await vsphere.machine(UUID)).moid == "vm-9"


@pytest.mark.parametrize("ask", ["machine", "vnc_settings"])
async def test_a_remembered_machine_that_carries_another_id_now(rig: Rig, ask: str) -> None:
    vsphere = rig.vsphere()
    await vsphere.machine(UUID)
    rig.site.machines = {
        "vm-1": machine(instance_uuid=UUID[:-1] + "b"),
        "vm-2": machine(moid="vm-2", name="the right one"),
    }
    told = await getattr(vsphere, ask)(UUID)
    assert getattr(told, "machine", told).moid == "vm-2"


async def test_a_wrong_state_is_looked_at(rig: Rig) -> None:
    vsphere = rig.vsphere()
    rig.site.machines["vm-1"] = machine(power="suspended")
    rig.site.faults["ticket"] = [WrongState()]
    with pytest.raises(errors.ServerSuspended):
        await vsphere.ticket(UUID, "webmks")
    assert rig.asked() == ["find", "ticket", "machine"]


async def test_a_wrong_state_that_is_right_again(rig: Rig) -> None:
    rig.site.faults["ticket"] = [WrongState()]
    with pytest.raises(errors.ConsoleConflict) as caught:
        await rig.vsphere().ticket(UUID, "webmks")
    assert type(caught.value) is errors.ConsoleConflict


class TestCloneTicket:
    async def test_has_everything(self, rig: Rig) -> None:
        info = await rig.vsphere().clone_ticket(UUID)
        assert (info.host, info.fqdn, info.server_guid) == ("vc", "vc.example.org", "guid-1")
        assert (info.moid, info.name) == ("vm-1", "web")
        assert info.session_ticket.reveal() == "cst-VCT-1"
        assert (info.thumbprint_sha1, info.thumbprint_sha256) == ("AA:BB", "CC:DD")

    async def test_without_a_name_of_its_own(self, rig: Rig) -> None:
        rig.site.fqdn = ""
        assert (await rig.vsphere().clone_ticket(UUID)).fqdn == "vc"

    async def test_of_a_machine_that_is_off(self, rig: Rig) -> None:
        rig.site.machines["vm-1"] = machine(power="poweredOff")
        with pytest.raises(errors.ServerPoweredOff):
            await rig.vsphere().clone_ticket(UUID)
        assert "clone" not in rig.asked()

    async def test_of_a_single_host(self, rig: Rig) -> None:
        rig.site.is_vcenter = False
        with pytest.raises(errors.ConsoleNotSupported):
            await rig.vsphere().clone_ticket(UUID)


async def test_vnc_settings(rig: Rig) -> None:
    told = await rig.vsphere().vnc_settings(UUID)
    assert (told.host, told.port, told.machine.moid) == ("esx-1.example.org", 5901, "vm-1")
    assert rig.asked() == ["find", "vnc"]


class TestDeadline:
    async def test_is_over_everything(self, rig: Rig) -> None:
        vsphere = rig.vsphere(call_seconds=0.05)
        rig.site.gate = threading.Event()
        with pytest.raises(errors.HypervisorTimeout):
            await vsphere.machine(UUID)
        rig.site.gate.set()

    async def test_of_one_is_not_the_others(self, rig: Rig) -> None:
        other, vsphere = Rig(), rig.vsphere(workers=1)
        rig.site.gate = threading.Event()
        stuck = [asyncio.get_running_loop().create_task(vsphere.machine(UUID)) for _ in range(20)]
        assert (await other.vsphere(workers=1).machine(UUID)).name == "web"
        rig.site.gate.set()
        await asyncio.gather(*stuck)
        await other.opened[0].aclose()


async def test_says_what_it_speaks_when_it_knows(rig: Rig) -> None:
    vsphere = rig.vsphere()
    assert (vsphere.api_version, vsphere.host) == ("", "vc")
    await vsphere.machine(UUID)
    assert vsphere.api_version == "8.0.3.0"
    assert repr(vsphere) == "VSphere('vc')"


async def test_the_version_comes_with_the_login_and_costs_no_question(rig: Rig) -> None:
    vsphere = rig.vsphere()
    assert await vsphere.version() == "8.0.3.0"
    assert await vsphere.version() == "8.0.3.0"
    assert len(rig.opened) == 1


def test_without_pyvmomi_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "pyVmomi":
            raise ModuleNotFoundError(f"No module named {name!r}", name="pyVmomi")
        return real(name, *args)

    monkeypatch.delitem(sys.modules, "consolekit.providers.vsphere.soap", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    settings = VSphereSettings(host="vc", username="gate", password=Secret("x"))
    with pytest.raises(errors.ConfigError, match=r"consolekit\[vmware\]"):
        VSphere(settings, clock=ManualClock(), name="lab")
