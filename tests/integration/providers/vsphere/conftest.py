"""Fixtures: one simulator for a module, a front before it for each test, sessions that are closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import trustme
from vcenter import HOST, PASSWORD, USERNAME, Simulator, simulated
from vcfront import Front, fronted

from consolekit.core.types import Secret, SystemClock, TlsPolicy
from consolekit.providers.vsphere import VSphere, VSphereSettings


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A vCenter with 24 running machines, without TLS."""
    with simulated(tmp_path_factory.mktemp("vcenter"), tls=False, vms=24) as simulator:
        yield simulator


@pytest.fixture
def front(sim: Simulator) -> Iterator[Front]:
    """TLS before it."""
    with fronted(sim.address, sim.authority.issue_cert(HOST)) as made:
        yield made


Sessions = Callable[..., VSphere]


@pytest.fixture
async def sessions(sim: Simulator, front: Front) -> AsyncIterator[Sessions]:
    """Makes sessions with the front's vCenter; settings by name change what is usual."""
    made: list[VSphere] = []

    def make(**changes: Any) -> VSphere:
        usual: dict[str, Any] = {
            "host": HOST,
            "port": front.port,
            "username": USERNAME,
            "password": Secret(PASSWORD),
            "tls": TlsPolicy(ca_file=sim.ca_file),
        }
        if "password_file" in changes:
            del usual["password"]
        made.append(VSphere(VSphereSettings(**{**usual, **changes}), clock=SystemClock(), name="lab"))
        return made[-1]

    yield make
    front.as_usual()
    for vsphere in made:
        await vsphere.aclose()


@pytest.fixture
def uuid(sim: Simulator) -> str:
    """A machine that no test changes."""
    return sim.machines()[0]["instance_uuid"]


@pytest.fixture
def spare(sim: Simulator, request: pytest.FixtureRequest) -> dict[str, str]:
    """A machine for this test alone."""
    used: list[str] = request.config.stash.setdefault(_USED, [])
    machine = next(m for m in sim.machines()[1:] if m["instance_uuid"] not in used)
    used.append(machine["instance_uuid"])
    return machine


_USED = pytest.StashKey[list[str]]()


@pytest.fixture
def stranger() -> trustme.CA:
    """A CA that nobody trusts."""
    return trustme.CA()
