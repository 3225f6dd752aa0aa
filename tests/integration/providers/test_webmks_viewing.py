"""Looking only at VMware's consoles: the host sees no key of a viewer that lies, on either way."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest
import websockets.exceptions
from esxihost import HostCertificate, host_certificate
from vcenter import Simulator, simulated
from vmwaresite import SIZE, Lab, authd_lab, esxi_lab, log_in
from websockets.asyncio import client

from consolekit.providers.webmks.settings import TicketKind
from consolekit.providers.webmks.ticket import TicketRules

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

KEYS = b"".join(struct.pack(">BB2xI", 4, down, 0x61) for down in (1, 0))
PICTURE = struct.pack(">BxHi", 2, 1, 0) + struct.pack(">BBHHHH", 3, 0, 0, 0, 8, 8)
WAYS = {"websocket": {}, "port 902": {}, "port 902, RFB from its beginning": {"front": {"whole_rfb": True}}}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulated(tmp_path_factory.mktemp("vcenter"), vms=1) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostCertificate:
    return host_certificate(tmp_path_factory.mktemp("host"))


def lab_of(way: str, sim: Simulator, host: HostCertificate):
    if way == "websocket":
        return esxi_lab(sim, host)
    rules = TicketRules(allow_sha1=True)
    return authd_lab(sim, host, host, ticket=TicketKind.MKS, rules=rules, **WAYS[way])


async def browser_of(lab: Lab, mode: str) -> client.ClientConnection:
    link = await lab.gateway.link(lab.server_id, protocol="mks", type="webmks", mode=mode)
    return await lab.gateway.open(link.token.reveal())


async def picture(browser: client.ClientConnection) -> None:
    """Ask for a picture, and wait for it: the server has taken all that was sent before."""
    await browser.send(PICTURE)
    while not (await browser.recv()).startswith(b"\0"):  # type: ignore[union-attr,arg-type]  # bytes
        pass


async def end_of(browser: client.ClientConnection) -> int | None:
    """Wait for the end; gives the close code."""
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        while True:
            await browser.recv()
    return browser.close_code


@pytest.mark.parametrize("way", WAYS)
async def test_a_viewer_that_lies_is_shown_the_screen_and_not_heard(
    way: str, sim: Simulator, host: HostCertificate
) -> None:
    async with lab_of(way, sim, host) as lab:
        browser = await browser_of(lab, "view")
        assert await log_in(browser) == SIZE
        await browser.send(KEYS)
        await picture(browser)
        assert lab.screen.scene.typed == ""
        await browser.send(b"\x7f")
        assert await end_of(browser) == 4009
        await lab.quiet()


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_viewer_types_with_a_link_to_interact(
    way: str, sim: Simulator, host: HostCertificate
) -> None:
    async with lab_of(way, sim, host) as lab:
        browser = await browser_of(lab, "interact")
        assert await log_in(browser) == SIZE
        await browser.send(KEYS)
        await picture(browser)
        assert lab.screen.scene.typed == "a"
        await browser.close()
        await lab.quiet()
