"""``vnc/novnc`` of older VMware hosts: where a machine listens is read from a vCenter API, every time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from gateway import Gateway, running
from hypervisors import qemu
from vcenter import PASSWORD, USERNAME, Simulator, simulated
from vmwaresite import SIZE, log_in

from consolekit.core import errors
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import Secret
from consolekit.providers.vnc.provider import VncProvider
from consolekit.testing.rfbserver import RfbServer

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Whose hosts are all at 127.0.0.1; their machines listen on different ports."""
    with simulated(tmp_path_factory.mktemp("vcenter"), vms=4, api="6.5") as simulator:
        for host in simulator.hosts():
            simulator.change(host=host["moid"], name="127.0.0.1")
        yield simulator


@pytest.fixture
async def gateway(sim: Simulator) -> AsyncIterator[Gateway]:
    async with running(provider(sim)) as made:
        yield made


def provider(sim: Simulator, **more: Any) -> VncProvider:
    table = {
        "source": "vsphere",
        "vcenter": {
            "host": "localhost",
            "port": sim.port,
            "username": USERNAME,
            "password": PASSWORD,
            "tls": {"ca_file": str(sim.ca_file)},
        },
        **more,
    }
    assert problems_of(validator_of(VncProvider.config_schema), table) == []
    return VncProvider.from_config(table, shared=Shared())


def listens(sim: Simulator, number: int, port: int, **more: str) -> dict[str, Any]:
    """Machine ``number`` listens on a port; the keys are in no usual case, as vSphere keeps them."""
    machine = sim.machines()[number]
    settings = {"RemoteDisplay.VNC.Enabled": "TRUE", "RemoteDisplay.vnc.port": str(port), **more}
    sim.change(vm=machine["moid"], extraConfig=settings)
    return machine


async def test_the_screen(sim: Simulator, gateway: Gateway) -> None:
    async with RfbServer(password=Secret("s3cret")) as screen:
        machine = listens(sim, 0, screen.port, **{"remotedisplay.vnc.password": "s3cret"})
        async with gateway.open(await gateway.token(machine["instance_uuid"])) as browser:
            assert await log_in(browser) == SIZE


async def test_qemus_screen(sim: Simulator, gateway: Gateway) -> None:
    with qemu() as display:
        machine = listens(sim, 1, display.vnc_port)
        async with gateway.open(await gateway.token(machine["instance_uuid"])) as browser:
            assert await log_in(browser) == b"\x02\x80\x01\xe0"


async def test_a_host_that_the_proxy_cannot_resolve(sim: Simulator) -> None:
    machine = sim.machines()[0]
    sim.change(host=machine["host"], name="esx9.invalid")
    mapped = provider(sim, host_map={"ESX9.invalid": "127.0.0.1"}, allowed_networks=["127.0.0.0/8"])
    try:
        async with RfbServer() as screen, running(mapped) as gateway:
            listens(sim, 0, screen.port, **{"remotedisplay.vnc.password": ""})
            async with gateway.open(await gateway.token(machine["instance_uuid"])) as browser:
                assert await log_in(browser) == SIZE
    finally:
        sim.change(host=machine["host"], name="127.0.0.1")


async def test_a_host_outside_the_networks(sim: Simulator) -> None:
    async with RfbServer() as screen, running(provider(sim, allowed_networks=["10.0.0.0/8"])) as gateway:
        machine = listens(sim, 1, screen.port)
        token = await gateway.token(machine["instance_uuid"])
        with pytest.raises(Exception, match=r"HTTP 50[23]"):
            await gateway.open(token)
        assert screen.viewers == 0


async def test_a_port_that_another_machine_has_by_now(sim: Simulator, gateway: Gateway) -> None:
    """Asked again when the browser comes: a machine that is off by then does not show another's screen."""
    async with RfbServer() as screen:
        machine = listens(sim, 2, screen.port)
        token = await gateway.token(machine["instance_uuid"])
        sim.change(vm=machine["moid"], power="poweredOff")
        with pytest.raises(Exception, match="409"):
            await gateway.open(token)
        assert screen.viewers == 0


async def test_a_machine_without_a_vnc_server(sim: Simulator, gateway: Gateway) -> None:
    with pytest.raises(errors.ConsoleNotSupported):
        await gateway.token(sim.machines()[3]["instance_uuid"])
    with pytest.raises(errors.UnknownServer):
        await gateway.token("00000000-0000-0000-0000-000000000000")
