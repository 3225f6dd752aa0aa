"""The stand-in for port 902, seen by a client as simple as can be: blocking, TLS over a descriptor."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from esxihost import HostCertificate, host_certificate

from consolekit.testing.authd import AuthdFront
from consolekit.testing.rfbscene import HEIGHT, WIDTH
from consolekit.testing.rfbserver import RfbServer

TICKET = "52c8bd4b-71ab-a3c1"
CFG = "/vmfs/volumes/5f0c/web-1/web-1.vmx"
NONCE = base64.b64encode(bytes(12)).decode()


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[HostCertificate, HostCertificate]:
    return host_certificate(tmp_path / "1"), host_certificate(tmp_path / "2")


@pytest.fixture(params=[False, True], ids=["from ServerInit", "whole RFB"])
def whole_rfb(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def front(
    certificates: tuple[HostCertificate, HostCertificate], whole_rfb: bool
) -> AsyncIterator[AuthdFront]:
    first, second = (certificate.identity for certificate in certificates)
    async with (
        RfbServer() as screen,
        AuthdFront(("127.0.0.1", screen.port), first, second, cfg_file=CFG, whole_rfb=whole_rfb) as listening,
    ):
        listening.tickets.add(TICKET)
        yield listening


class Viewer:
    """A connection that has seen the banner and done the first TLS."""

    def __init__(self, port: int) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", port), timeout=20)
        banner = b""
        while not banner.endswith(b"\r\n"):
            banner += raw.recv(1)
        assert banner.startswith(b"220 VMware Authentication Daemon")
        assert b"SSL Required" in banner
        self.sock = self.context.wrap_socket(raw)

    def ask(self, line: str) -> str:
        self.sock.sendall(f"{line}\r\n".encode())
        reply = b""
        while not reply.endswith(b"\r\n"):
            piece = self.sock.recv(1)
            if not piece:
                break
            reply += piece
        return reply.decode().strip()

    def second_tls(self) -> None:
        raw = socket.socket(fileno=self.sock.detach())
        raw.settimeout(20)
        self.sock = self.context.wrap_socket(raw)

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.sock.recv(size - len(data))):
            data += piece
        return data


async def visit(front: AuthdFront, act: Callable[[Viewer], None]) -> None:
    def run() -> None:
        viewer = Viewer(front.port)
        try:
            act(viewer)
        finally:
            viewer.sock.close()

    await asyncio.to_thread(run)
    await front.until_open(0)


async def test_the_way_to_the_screen(
    front: AuthdFront, certificates: tuple[HostCertificate, HostCertificate], whole_rfb: bool
) -> None:
    first, second = certificates

    def act(viewer: Viewer) -> None:
        assert viewer.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(first.pem)
        assert viewer.ask(f"USER {TICKET}").startswith("331 ")
        assert viewer.ask(f"PASS {TICKET}").startswith("230 ")
        assert viewer.ask(f"THUMBPRINT {NONCE}") == f"200 {second.sha1.replace(':', '')}"
        assert viewer.ask(f"CONNECT {CFG} mks") == f"200 Connect {CFG}"
        viewer.second_tls()
        assert viewer.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(second.pem)
        viewer.sock.sendall(NONCE.encode())
        if whole_rfb:
            assert viewer.exactly(12) == b"RFB 003.008\n"
            viewer.sock.sendall(b"RFB 003.008\n\x01\x01")
            assert viewer.exactly(6) == b"\x01\x01\0\0\0\0"
        assert viewer.exactly(4) == struct.pack(">HH", WIDTH, HEIGHT)

    await visit(front, act)
    assert front.tickets.taken == [TICKET]
    assert [line.split()[0] for line in front.lines] == ["USER", "PASS", "THUMBPRINT", "CONNECT"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([f"PASS {TICKET}"], "503"),
        ([f"USER {TICKET}", f"USER {TICKET}"], "503"),
        ([f"USER {TICKET}", "PASS other"], "530"),
        (["USER guessed", "PASS guessed"], "530"),
        ([f"USER {TICKET}", f"PASS {TICKET}", f"CONNECT {CFG} mks"], "503"),
        ([f"USER {TICKET}", f"PASS {TICKET}", "THUMBPRINT no"], "501"),
        ([f"USER {TICKET}", f"PASS {TICKET}", f"THUMBPRINT {NONCE}", "CONNECT /x.vmx mks"], "550"),
        ([f"USER {TICKET}", f"PASS {TICKET}", f"THUMBPRINT {NONCE}", f"CONNECT {CFG} vnc"], "550"),
    ],
)
async def test_what_it_refuses(front: AuthdFront, lines: list[str], code: str) -> None:
    def act(viewer: Viewer) -> None:
        *before, last = lines
        for line in before:
            assert viewer.ask(line)[0] in "23"
        assert viewer.ask(last).startswith(code)
        assert viewer.exactly(1) == b""

    await visit(front, act)


async def test_a_ticket_opens_once(front: AuthdFront) -> None:
    def act(viewer: Viewer) -> None:
        viewer.ask(f"USER {TICKET}")
        codes.append(viewer.ask(f"PASS {TICKET}")[:3])

    codes: list[str] = []
    await visit(front, act)
    await visit(front, act)
    assert codes == ["230", "530"]


async def test_another_nonce_shows_nothing(front: AuthdFront) -> None:
    def act(viewer: Viewer) -> None:
        for line in (f"USER {TICKET}", f"PASS {TICKET}", f"THUMBPRINT {NONCE}", f"CONNECT {CFG} mks"):
            viewer.ask(line)
        viewer.second_tls()
        viewer.sock.sendall(b"x" * 16)
        assert viewer.exactly(1) == b""

    await visit(front, act)


async def test_commands_in_clear_are_not_heard(front: AuthdFront) -> None:
    def act() -> None:
        with socket.create_connection(("127.0.0.1", front.port), timeout=20) as raw:
            raw.sendall(f"USER {TICKET}\r\nPASS {TICKET}\r\n".encode())
            with contextlib.suppress(ConnectionResetError):  # it closes on unread bytes
                while raw.recv(4096):
                    pass

    await asyncio.to_thread(act)
    assert front.lines == []
    assert front.tickets.taken == []


async def test_sha256_by_choice(certificates: tuple[HostCertificate, HostCertificate]) -> None:
    identity = certificates[0].identity
    async with AuthdFront(("127.0.0.1", 1), identity, says_sha256=True) as front:
        assert front.told == identity.sha256


async def test_closing_does_not_wait_for_anybody(front: AuthdFront) -> None:
    with socket.create_connection(("127.0.0.1", front.port)):
        await front.aclose()
