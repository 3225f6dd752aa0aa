"""Test support: a vSphere API that is told what to answer, for tests of the session without sockets.

Importable as ``fakevsphere``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from consolekit.core.types import Secret
from consolekit.providers.vsphere.api import LoginRefused, MachineMissing, SessionLost
from consolekit.providers.vsphere.calls import Call
from consolekit.providers.vsphere.results import Machine, Ticket, VncSettings
from consolekit.providers.vsphere.settings import FindBy, VSphereSettings

UUID = "50299b57-0000-4000-8000-00000000000a"
PASSWORD = "c4n4ry-pa55word"


class Site:
    """What is true at the vCenter, and what was asked of it."""

    def __init__(self) -> None:
        self.password = PASSWORD
        self.machines: dict[str, Machine] = {"vm-1": machine()}
        self.faults: dict[str, list[Exception]] = {}
        self.asked: list[str] = []
        self.logins: list[str] = []
        self.alive: set[int] = set()
        self.closed = 0
        self.is_vcenter = True
        self.fqdn = "vc.example.org"
        self.gate: threading.Event | None = None
        self.came = threading.Semaphore(0)
        self.lock = threading.Lock()

    def connect(self, call: Call, settings: VSphereSettings, password: Secret) -> FakeApi:
        """Log in."""
        with self.lock:
            self.logins.append(password.reveal())
            number = len(self.logins)
        self.answer(call, "Login")
        if password.reveal() != self.password:
            raise LoginRefused
        self.alive.add(number)
        return FakeApi(self, number)

    def answer(self, call: Call, question: str) -> None:
        """Count the question; raise what it is to raise."""
        with self.lock:
            self.asked.append(question)
            pending = self.faults.get(question, [])
            fault = pending.pop(0) if pending else None
        self.came.release()
        if fault is not None:
            raise fault
        if self.gate is not None:
            self.gate.wait(30)
            call.remaining()

    def lose_sessions(self) -> None:
        """No login is valid any more."""
        self.alive.clear()


def machine(**changes: Any) -> Machine:
    """A machine that runs, with changes."""
    usual: Mapping[str, Any] = {
        "moid": "vm-1",
        "name": "web",
        "power": "poweredOn",
        "connection": "connected",
        "host_name": "esx-1.example.org",
        "host_connection": "connected",
        "instance_uuid": UUID,
        "bios_uuid": UUID,
    }
    return Machine(**{**usual, **changes})


class FakeApi:
    """One login at the site."""

    version = "8.0.3.0"
    server_guid = "guid-1"
    thumbprints = ("AA:BB", "CC:DD")

    def __init__(self, site: Site, number: int) -> None:
        self.site, self.number = site, number
        self.is_vcenter = site.is_vcenter

    def _ask(self, call: Call, question: str) -> None:
        self.site.answer(call, question)
        if self.number not in self.site.alive:
            raise SessionLost

    def _one(self, moid: str) -> Machine:
        if moid not in self.site.machines:
            raise MachineMissing
        return self.site.machines[moid]

    def find(self, call: Call, find_by: FindBy, uuid: str) -> tuple[str, ...]:
        self._ask(call, "find")
        field = "instance_uuid" if find_by is FindBy.INSTANCE_UUID else "bios_uuid"
        return tuple(moid for moid, found in self.site.machines.items() if getattr(found, field) == uuid)

    def machine(self, call: Call, moid: str) -> Machine:
        self._ask(call, "machine")
        return self._one(moid)

    def vnc(self, call: Call, moid: str) -> VncSettings:
        self._ask(call, "vnc")
        found = self._one(moid)
        return VncSettings(host=found.host_name, port=5901, machine=found)

    def ticket(self, call: Call, moid: str, kind: str) -> Ticket:
        self._ask(call, "ticket")
        self._one(moid)
        return Ticket(kind=kind, ticket=Secret(f"ticket-{len(self.site.asked)}"), asked_host="vc")

    def clone_ticket(self, call: Call) -> Secret:
        self._ask(call, "clone")
        return Secret("cst-VCT-1")

    def fqdn(self, call: Call) -> str:
        self._ask(call, "fqdn")
        return self.site.fqdn

    def touch(self, call: Call) -> None:
        self._ask(call, "touch")

    def logout(self, call: Call) -> None:
        self._ask(call, "logout")
        self.site.alive.discard(self.number)

    def close(self) -> None:
        self.site.closed += 1
