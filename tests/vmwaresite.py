"""Test support: a gateway, a vCenter that gives tickets, the host that takes them (``vmwaresite``)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import websockets.asyncio.client as client
from esxihost import HostCertificate
from gateway import Gateway, running
from vcenter import HOST, PASSWORD, USERNAME, Simulator

from consolekit.core.types import Secret, SystemClock, TlsPolicy
from consolekit.providers.vsphere import VSphere, VSphereSettings
from consolekit.providers.webmks.provider import WebMksProvider
from consolekit.testing.authd import AuthdFront
from consolekit.testing.esxi import EsxiFront
from consolekit.testing.rfbscene import HEIGHT, WIDTH
from consolekit.testing.rfbserver import RfbServer
from consolekit.testing.tickets import Tickets

CFG = "/vmfs/volumes/5f0c/web-1/web-1.vmx"
SIZE = struct.pack(">HH", WIDTH, HEIGHT)


def vsphere(sim: Simulator, **changes: Any) -> VSphere:
    """A session with the simulator."""
    settings = VSphereSettings(
        **{
            "host": HOST,
            "port": sim.port,
            "username": USERNAME,
            "password": Secret(PASSWORD),
            "tls": TlsPolicy(ca_file=sim.ca_file),
            **changes,
        }
    )
    return VSphere(settings, clock=SystemClock(), name="lab")


@attrs.define
class Lab:
    """What is running, and one machine of it."""

    gateway: Gateway
    sim: Simulator
    machine: dict[str, str]
    screen: RfbServer
    host: Any  # EsxiFront or AuthdFront
    before: int

    @property
    def server_id(self) -> str:
        return self.machine["instance_uuid"]

    @property
    def given(self) -> int:
        """How many tickets the vCenter gave since the beginning."""
        return self.sim.tickets() - self.before

    async def token(self) -> str:
        link = await self.gateway.link(self.server_id, protocol="mks", type="webmks")
        return link.token.reveal()

    async def open(self, **options: Any) -> client.ClientConnection:
        """A browser's websocket with a fresh link."""
        return await self.gateway.open(await self.token(), **options)

    async def quiet(self) -> None:
        """Wait until no session and no viewer of the host is left."""
        await self.gateway.until_no_sessions()
        await self.host.until_open(0)


async def log_in(browser: client.ClientConnection) -> bytes:
    """What noVNC does until it has ServerInit; gives the screen's size as it is in there."""
    received = b""
    for size, said in ((12, b"RFB 003.008\n"), (14, b"\x01"), (18, b"\x01"), (22, b"")):
        while len(received) < size:
            piece = await browser.recv()
            assert isinstance(piece, bytes)
            received += piece
        if said:
            await browser.send(said)
    return received[18:22]


@asynccontextmanager
async def esxi_lab(
    sim: Simulator,
    certificate: HostCertificate,
    form: dict[str, Any] | None = None,
    *,
    limit: int = 40,
    gateway: dict[str, Any] | None = None,
    **provider: Any,
) -> AsyncIterator[Lab]:
    """Tickets of kind ``webmks`` and the host's websockets.

    Args:
        sim: The vCenter.
        certificate: The host's.
        form: What tickets say; default: the URL and the SHA-256. ``{port}`` is put in.
        limit: Viewers that the host allows.
        gateway: Further arguments of ``running``.
        **provider: Further arguments of the provider.
    """
    async with AsyncExitStack() as stack:
        screen = await stack.enter_async_context(RfbServer())
        front = EsxiFront(
            ("127.0.0.1", screen.port),
            certificate.context,
            tickets=Tickets(file=sim.ticket_log),
            limit=limit,
        )
        await stack.enter_async_context(front)
        usual = {"url": f"wss://localhost:{front.port}/ticket/"}
        usual |= {"thumbprints": [["SHA-256", certificate.sha256]]} if form is None else {}
        sim.forms(webmks={**usual, **(form or {})})
        yield await _lab(stack, sim, screen, front, gateway, provider)


@asynccontextmanager
async def authd_lab(
    sim: Simulator,
    first: HostCertificate,
    second: HostCertificate,
    form: dict[str, Any] | None = None,
    *,
    front: dict[str, Any] | None = None,
    gateway: dict[str, Any] | None = None,
    **provider: Any,
) -> AsyncIterator[Lab]:
    """Tickets of kind ``mks`` and the host's port 902 (on another port)."""
    async with AsyncExitStack() as stack:
        screen = await stack.enter_async_context(RfbServer())
        host = AuthdFront(
            ("127.0.0.1", screen.port),
            first.identity,
            second.identity,
            tickets=Tickets(file=sim.ticket_log),
            cfg_file=CFG,
            **(front or {}),
        )
        await stack.enter_async_context(host)
        usual = {"host": "localhost", "port": host.port, "cfgFile": CFG}
        usual |= {"thumbprints": [["SHA-256", first.sha256]]} if form is None else {}
        sim.forms(mks={**usual, **(form or {})})
        yield await _lab(stack, sim, screen, host, gateway, provider)


async def _lab(
    stack: AsyncExitStack,
    sim: Simulator,
    screen: RfbServer,
    host: EsxiFront | AuthdFront,
    gateway: dict[str, Any] | None,
    provider: dict[str, Any],
) -> Lab:
    session = vsphere(sim)
    webmks = WebMksProvider(session, aclose=session.aclose, **provider)
    made = await stack.enter_async_context(running(webmks, **(gateway or {})))
    return Lab(made, sim, sim.machines()[0], screen, host, sim.tickets())
