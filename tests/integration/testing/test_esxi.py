"""The stand-in for an ESXi host's console door, seen by a client of another make."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets.asyncio.client as client
from esxihost import HostCertificate, host_certificate
from hypervisors import qemu
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from consolekit.testing.esxi import EsxiFront
from consolekit.testing.rfbscene import HEIGHT, WIDTH
from consolekit.testing.rfbserver import RfbServer

TICKETS = [f"cst-{number:016x}" for number in range(8)]


@pytest.fixture
def certificate(tmp_path: Path) -> HostCertificate:
    return host_certificate(tmp_path)


@pytest.fixture
def trust(certificate: HostCertificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.ca_file)


@pytest.fixture
async def esxi(certificate: HostCertificate) -> AsyncIterator[EsxiFront]:
    async with (
        RfbServer() as screen,
        EsxiFront(("127.0.0.1", screen.port), certificate.context, limit=2) as front,
    ):
        for ticket in TICKETS:
            front.tickets.add(ticket)
        yield front


def opened(
    front: EsxiFront, trust: ssl.SSLContext, ticket: str = TICKETS[0], **options: object
) -> client.connect:
    given: dict[str, object] = {"subprotocols": ["binary"], "ssl": trust, "proxy": None, "compression": None}
    return client.connect(front.url_of(ticket), **{**given, **options})


async def refused(
    front: EsxiFront, trust: ssl.SSLContext, ticket: str = TICKETS[0], **options: object
) -> int:
    with pytest.raises(InvalidStatus) as caught:
        await opened(front, trust, ticket, **options)
    return caught.value.response.status_code


async def log_in(viewer: client.ClientConnection) -> bytes:
    """An RFB 3.8 login without a password; gives ServerInit's size."""
    received = b""
    for size, said in ((12, b"RFB 003.008\n"), (14, b"\x01"), (18, b"\x01"), (22, b"")):
        while len(received) < size:
            piece = await viewer.recv()
            assert isinstance(piece, bytes)
            received += piece
        if said:
            await viewer.send(said)
    return received[18:22]


async def test_shows_the_screen(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    async with opened(esxi, trust) as viewer:
        assert viewer.subprotocol == "binary"
        assert await log_in(viewer) == struct.pack(">HH", WIDTH, HEIGHT)
        assert (esxi.open, esxi.most_open) == (1, 1)
    await esxi.until_open(0)
    assert esxi.tickets.taken == TICKETS[:1]
    assert esxi.requests == [f"/ticket/{TICKETS[0]}"]


async def test_qemu_behind_its_websocket(certificate: HostCertificate, trust: ssl.SSLContext) -> None:
    with qemu(websocket=True) as machine:
        screen = ("127.0.0.1", machine.websocket_port)
        async with EsxiFront(screen, certificate.context, websocket=True) as front:
            front.tickets.add(TICKETS[0])
            async with opened(front, trust) as viewer:
                assert await log_in(viewer) == b"\x02\x80\x01\xe0"
            await front.until_open(0)


async def test_a_ticket_opens_once(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    async with opened(esxi, trust):
        assert await refused(esxi, trust) == 403
    assert await refused(esxi, trust, "cst-ffffffffffffffff") == 403


async def test_other_paths_and_subprotocols(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    assert await refused(esxi, trust, "../etc/passwd") == 404
    assert await refused(esxi, trust, "short") == 404
    assert await refused(esxi, trust, subprotocols=["uint8utf8"]) == 400
    assert await refused(esxi, trust, subprotocols=None) == 400
    assert esxi.tickets.taken == []
    async with opened(esxi, trust, subprotocols=["vmware-vvc", "binary"]) as viewer:
        assert viewer.subprotocol == "binary"


async def test_one_viewer_too_many(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    async with opened(esxi, trust, TICKETS[0]), opened(esxi, trust, TICKETS[1]):
        await esxi.until_open(2)
        assert await refused(esxi, trust, TICKETS[2]) == 503
    await esxi.until_open(0)
    async with opened(esxi, trust, TICKETS[3]):
        assert esxi.most_open == 2


async def test_without_tls_nothing_is_answered(esxi: EsxiFront) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", esxi.port)
    writer.write(b"GET /ticket/" + TICKETS[0].encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()
    assert esxi.requests == []


async def test_a_look_at_the_certificate_is_no_request(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", esxi.port, ssl=trust, server_hostname="localhost")
    writer.close()
    await writer.wait_closed()
    async with opened(esxi, trust):
        assert len(esxi.requests) == 1


async def test_a_host_that_fails(esxi: EsxiFront, trust: ssl.SSLContext) -> None:
    async with opened(esxi, trust) as viewer:
        await log_in(viewer)
        esxi.drop_viewers()
        with pytest.raises(ConnectionClosed):
            await viewer.recv()
    await esxi.until_open(0)


async def test_a_screen_that_is_not_there(certificate: HostCertificate, trust: ssl.SSLContext) -> None:
    async with RfbServer() as screen:
        gone = screen.port
    async with EsxiFront(("127.0.0.1", gone), certificate.context) as front:
        front.tickets.add(TICKETS[0])
        with pytest.raises(InvalidMessage):
            await opened(front, trust)
        assert front.open == 0
