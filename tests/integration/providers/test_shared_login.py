"""Two providers whose tables mean one account at one vCenter: one login, from the first to the last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vcenter import HOST, PASSWORD, USERNAME, Simulator, simulated
from vcfront import Front, fronted

from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.core.errors import HypervisorUnavailable
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleRequest
from consolekit.providers.vnc.provider import NOVNC, VncProvider
from consolekit.providers.webmks.provider import WEBMKS, WebMksProvider

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("vcenter"), tls=False, vms=2) as simulator:
        machine = simulator.machines()[0]
        settings = {"RemoteDisplay.vnc.enabled": "TRUE", "RemoteDisplay.vnc.port": "5901"}
        simulator.change(vm=machine["moid"], extraConfig=settings)
        yield simulator


@pytest.fixture
def front(sim: Simulator) -> Iterator[Front]:
    """Counts what is asked."""
    with fronted(sim.address, sim.authority.issue_cert(HOST)) as made:
        yield made


def vcenter(sim: Simulator, front: Front, **changes: Any) -> dict[str, Any]:
    tls = {"ca_file": str(sim.ca_file)}
    usual = {"host": HOST, "port": front.port, "username": USERNAME, "password": PASSWORD, "tls": tls}
    return {**usual, **changes}


def webmks(table: dict[str, Any], shared: Shared) -> ConsoleProvider:
    return WebMksProvider.from_config({"vcenter": table, "allow_sha1": True}, shared=shared)


def vnc(table: dict[str, Any], shared: Shared) -> ConsoleProvider:
    return VncProvider.from_config({"source": "vsphere", "vcenter": table}, shared=shared)


async def many(sim: Simulator, *providers: ConsoleProvider) -> None:
    """Forty open consoles at once."""
    server_id = sim.machines()[0]["instance_uuid"]
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            provider = providers[number % len(providers)]
            key = WEBMKS if isinstance(provider, WebMksProvider) else NOVNC
            request = ConsoleRequest(key=key, server_id=server_id, subject="alice")
            group.create_task(provider.open(request))


async def test_one_login_for_both(sim: Simulator, front: Front) -> None:
    shared = Shared()
    table = vcenter(sim, front)
    first, second = webmks(dict(table), shared), vnc(dict(table), shared)
    await many(sim, first, second)
    assert front.calls["Login"] == 1
    await first.aclose()
    await many(sim, second)
    assert (front.calls["Login"], front.calls["Logout"]) == (1, 0)
    await second.aclose()
    with pytest.raises(ExceptionGroup) as caught:
        await many(sim, second)
    assert caught.group_contains(HypervisorUnavailable, match="closed")
    await second.aclose()
    await first.aclose()
    assert (front.calls["Login"], front.calls["Logout"]) == (1, 1)


async def test_one_refused_password_is_tried_once_for_both(sim: Simulator, front: Front) -> None:
    """Two providers must not help each other to lock the account."""
    shared = Shared()
    table = vcenter(sim, front, password="wrong")
    providers = webmks(table, shared), vnc(table, shared)
    with pytest.raises(ExceptionGroup):
        await many(sim, *providers)
    assert front.calls["Login"] == 1
    for provider in providers:
        await provider.aclose()


@pytest.mark.parametrize("change", ["another account", "another deadline", "another kit"])
async def test_what_differs_is_not_shared(sim: Simulator, front: Front, change: str) -> None:
    shared = Shared()
    changes: dict[str, dict[str, Any]] = {
        "another account": {"username": f"{USERNAME} "},
        "another deadline": {"call_seconds": 20},
        "another kit": {},
    }
    first = webmks(vcenter(sim, front), shared)
    second = vnc(vcenter(sim, front, **changes[change]), Shared() if change == "another kit" else shared)
    await many(sim, first)
    if change == "another account":
        with pytest.raises(ExceptionGroup):
            await many(sim, second)
    else:
        await many(sim, second)
    assert front.calls["Login"] == 2
    await first.aclose()
    await second.aclose()


async def test_as_an_operator_configures_it(sim: Simulator, front: Front, tmp_path: Path) -> None:
    """Two tables of a configuration, one kit: one login, one logout."""
    table = vcenter(sim, front)
    ca_file = table.pop("tls")["ca_file"]
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in table.items()
    ]
    both = "\n".join(lines)
    config = tmp_path / "consolekit.toml"
    config.write_text(
        f'[providers.new]\nuse = "webmks"\nallow_sha1 = true\n'
        f'[providers.new.vcenter]\n{both}\ntls.ca_file = "{ca_file}"\n'
        f'[providers.old]\nuse = "vnc"\nsource = "vsphere"\n'
        f'[providers.old.vcenter]\n{both}\ntls.ca_file = "{ca_file}"\n'
    )
    kit = build_kit(load(config, env={}))
    await many(sim, *(provider for _, provider in kit.registry))
    await kit.aclose()
    assert (front.calls["Login"], front.calls["Logout"]) == (1, 1)
