from __future__ import annotations

import subprocess
import sys

import pytest

from consolekit.core.address import Address
from consolekit.core.errors import (
    ConfigError,
    HostUnavailable,
    HypervisorProtocol,
    ServerPoweredOff,
    UnknownServer,
)
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleRequest, Secret
from consolekit.providers.vnc.provider import NOVNC, VncProvider
from consolekit.providers.vnc.servers import CONFIG_SCHEMA, VncServer
from consolekit.providers.vnc.vmware import VMwareServers
from consolekit.providers.vsphere import Machine, VncSettings, host_rules_from_config

VCENTER = {"host": "vc.lab", "username": "u", "password": "s3cret"}


class Inventory:
    """vSphere whose one machine may listen elsewhere at the next question."""

    def __init__(self, host: str = "esx1.lab", port: int = 5901, **state: object) -> None:
        self.host, self.port, self.state = host, port, state
        self.asked = 0
        self.closed = False

    async def vnc_settings(self, server_id: str) -> VncSettings:
        self.asked += 1
        if server_id != "web-1":
            raise UnknownServer(server_id)
        machine = Machine(moid="vm-42", **{"power": "poweredOn", **self.state})  # type: ignore[arg-type]  # by name
        return VncSettings(host=self.host, port=self.port, password=Secret("s3cret"), machine=machine)

    async def aclose(self) -> None:
        self.closed = True


def wish(server_id: str = "web-1") -> ConsoleRequest:
    return ConsoleRequest(key=NOVNC, server_id=server_id, subject="alice")


async def test_asked_anew_for_every_console() -> None:
    """A port that another machine got meanwhile is not shown."""
    inventory = Inventory()
    servers = VMwareServers(inventory)
    assert await servers.lookup("web-1") == VncServer(
        address=Address("esx1.lab", 5901), password=Secret("s3cret")
    )
    provider = VncProvider(lookup=servers.lookup, aclose=inventory.aclose)
    await provider.check(wish())
    inventory.host, inventory.port = "esx2.lab", 5907
    assert (await provider.open(wish())).address == "esx2.lab:5907"
    assert inventory.asked == 3
    with pytest.raises(UnknownServer):
        await provider.open(wish("web-2"))
    await provider.aclose()
    assert inventory.closed


async def test_the_state_comes_before_the_port() -> None:
    with pytest.raises(ServerPoweredOff):
        await VMwareServers(Inventory(power="poweredOff")).lookup("web-1")
    with pytest.raises(HostUnavailable):
        await VMwareServers(Inventory(host_connection="notResponding")).lookup("web-1")


async def test_an_ipv6_host() -> None:
    server = await VMwareServers(Inventory("2001:db8::5")).lookup("web-1")
    assert server.address == Address("2001:db8::5", 5901)


async def test_a_host_that_the_proxy_knows_by_another_name() -> None:
    table = {
        "source": "vsphere",
        "vcenter": VCENTER,
        "host_map": {"ESX1.lab": "10.0.0.5"},
        "allowed_networks": ["10.0.0.0/8"],
    }
    assert not problems_of(validator_of(CONFIG_SCHEMA), table)
    hosts = host_rules_from_config(table)
    servers = VMwareServers(Inventory(), hosts)
    provider = VncProvider(lookup=servers.lookup, allowed_networks=hosts.allowed_networks)
    endpoint = await provider.open(wish())
    assert (endpoint.address, endpoint.allowed_networks) == ("10.0.0.5:5901", ("10.0.0.0/8",))


@pytest.mark.parametrize(
    ("host", "port"),
    [("", 5901), ("a b", 5901), ("esx\r\n", 5901), ("u@esx", 5901), ("esx", 0), ("esx", 65536)],
)
async def test_where_nothing_can_be(host: str, port: int) -> None:
    with pytest.raises(HypervisorProtocol, match="vm-42"):
        await VMwareServers(Inventory(host, port)).lookup("web-1")


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"source": "vsphere"}, "vcenter"),
        ({"source": "table"}, "servers"),
        ({"source": "vsphere", "vcenter": {"host": "vc"}}, "vcenter.username"),
        ({"source": "libvirt", "servers": {}}, "source"),
    ],
)
def test_schema_refuses(table: dict[str, object], path: str) -> None:
    problems = problems_of(validator_of(CONFIG_SCHEMA), table)
    assert [problem.path for problem in problems] == [path]


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"source": "vsphere", "vcenter": VCENTER, "servers": {}}, "servers"),
        ({"servers": {}, "vcenter": VCENTER}, "vcenter"),
        ({"servers": {}, "host_map": {}}, "host_map"),
        ({"servers": {}, "allowed_networks": ["10.0.0.0/8"]}, "allowed_networks"),
        ({"source": "vsphere", "vcenter": VCENTER, "host_map": {"a": "s3cret@b"}}, "host_map.a"),
        ({"source": "vsphere", "vcenter": VCENTER, "allowed_networks": ["s3cret"]}, "allowed_networks.0"),
        ({"source": "vsphere", "vcenter": {**VCENTER, "password_file": "/p"}}, "vcenter"),
    ],
)
def test_contradictions(table: dict[str, object], path: str) -> None:
    assert not problems_of(validator_of(CONFIG_SCHEMA), table)
    with pytest.raises(ConfigError) as caught:
        VncProvider.from_config(table, shared=Shared())
    assert [problem.path for problem in caught.value.problems] == [path]
    assert "s3cret" not in str(caught.value)


async def test_from_config() -> None:
    pytest.importorskip("pyVmomi")
    provider = VncProvider.from_config({"source": "vsphere", "vcenter": VCENTER}, shared=Shared())
    await provider.aclose()


def test_a_table_of_servers_needs_no_sdk() -> None:
    script = "import sys, consolekit.providers.vnc.provider; print('pyVmomi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
