"""A vCenter of vSphere 5.5, which has no tickets for websockets: connection information, and no relay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from gateway import CALLER, Gateway, running
from vcenter import HOST, PASSWORD, USERNAME, Simulator, simulated
from vcfront import Front, answer, fronted

from consolekit.core.errors import ConsoleNotImplemented
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleRequest, Secret
from consolekit.providers.webmks.provider import WEBMKS, WebMksProvider

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

VERSIONS = b"""<?xml version="1.0" encoding="UTF-8"?>
<namespaces version="1.0"><namespace><name>urn:vim25</name><version>5.5</version>
<priorVersions><version>5.1</version><version>5.0</version><version>4.1</version></priorVersions>
</namespace></namespaces>"""


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("vcenter"), tls=False, vms=1, api="5.5") as simulator:
        yield simulator


@pytest.fixture
def front(sim: Simulator) -> Iterator[Front]:
    """Offers what vCenter 5.5 offers: nothing newer can be agreed on."""
    with fronted(sim.address, sim.authority.issue_cert(HOST)) as made:
        made.when("versions", answer(200, "text/xml", VERSIONS))
        yield made


@pytest.fixture
def provider(sim: Simulator, front: Front) -> WebMksProvider:
    """As an operator configures it: ``ticket`` is what it is by default."""
    vcenter = {"host": HOST, "port": front.port, "username": USERNAME, "password": PASSWORD}
    table = {"vcenter": {**vcenter, "tls": {"ca_file": str(sim.ca_file)}}}
    return WebMksProvider.from_config(table, shared=Shared())


@pytest.fixture
async def gateway(provider: WebMksProvider) -> AsyncIterator[Gateway]:
    async with running(provider) as made:
        yield made


async def test_the_connection_information(sim: Simulator, gateway: Gateway, front: Front) -> None:
    machine = sim.machines()[0]
    info = await gateway.kit.connect_info(machine["instance_uuid"], WEBMKS, caller=CALLER)
    assert set(info) == {"host", "port", "vmId", "vmName", "vcFQDN", "sessionTicket", "thumbprint", "url"}
    assert (info["host"], info["port"], info["vmId"]) == (HOST, 7343, machine["moid"])
    url, ticket = info["url"], info["sessionTicket"]
    assert isinstance(url, Secret)
    assert isinstance(ticket, Secret)
    page = urlsplit(url.reveal())
    assert (page.scheme, page.netloc, page.path) == ("https", f"{HOST}:7343", "/console/")
    asked = parse_qs(page.query)
    assert asked["sessionTicket"] == [ticket.reveal()]
    assert set(asked) == {"vmId", "vmName", "host", "sessionTicket", "thumbprint"}
    assert front.calls["AcquireCloneTicket"] == 1
    assert not [body for body in front.bodies if ticket.reveal().encode() in body]


async def test_no_relay_is_pretended(
    sim: Simulator, gateway: Gateway, provider: WebMksProvider, front: Front
) -> None:
    """No link, and no ticket of a kind that 5.5 does not have."""
    server_id = sim.machines()[0]["instance_uuid"]
    with pytest.raises(ConsoleNotImplemented, match="connection information"):
        await gateway.link(server_id, protocol="mks", type="webmks")
    with pytest.raises(ConsoleNotImplemented, match="connection information"):
        await provider.open(ConsoleRequest(key=WEBMKS, server_id=server_id, subject="alice"))
    assert front.calls["AcquireTicket"] == front.calls["AcquireCloneTicket"] == 0
    assert front.calls["versions"] == front.calls["Login"] == 1


async def test_the_first_question_of_a_process_is_the_opening(
    sim: Simulator, provider: WebMksProvider, front: Front
) -> None:
    """The version is learned by the login; nobody has asked for the machine's state before."""
    request = ConsoleRequest(key=WEBMKS, server_id=sim.machines()[0]["instance_uuid"], subject="alice")
    with pytest.raises(ConsoleNotImplemented):
        await provider.open(request)
    await provider.aclose()
    assert front.calls["AcquireTicket"] == 0
    assert (front.calls["Login"], front.calls["Logout"]) == (1, 1)
