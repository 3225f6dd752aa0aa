"""The VNC provider's script against real servers: QEMU, TigerVNC, and one scripted by ourselves.

The driver here is the plainest that can be: blocking sockets and Python's ssl. TigerVNC's Plain login
needs a system account with a password (PAM), so X509Plain meets a server of our own, in real TLS.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypervisors
import pytest
import transcripts as t
from hypervisors import Certificates, qemu, tigervnc

from consolekit.core.errors import (
    AuthenticationRejected,
    HandshakeError,
    NoCommonSecurity,
)
from consolekit.core.handshake import CLIENT, SERVER, Handshake, StartTls
from consolekit.core.types import ConsoleRequest, Secret, TlsPolicy, Transport
from consolekit.providers.vnc.provider import NOVNC, VncEndpoint, VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.testing.rfbserver import RfbServer

pytestmark = pytest.mark.external

SECONDS = 20.0


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return hypervisors.certificates(tmp_path_factory.mktemp("certificates"))


def server(address: str, **settings: object) -> VncServer:
    if isinstance(settings.get("password"), str):
        settings["password"] = Secret(str(settings["password"]))
    return VncServer(address=address, **settings)  # type: ignore[arg-type]  # by name


def show(vnc: VncServer) -> str:
    """Log in as the proxy would, play a viewer, and give the desktop's size and name."""
    provider = VncProvider(servers={"it": vnc})
    endpoint = asyncio.run(provider.open(ConsoleRequest(key=NOVNC, server_id="it", subject="tests")))
    return play(provider, endpoint)


def play(provider: VncProvider, endpoint: VncEndpoint) -> str:
    handshake = Handshake(provider.handshake(endpoint))
    with ExitStack() as stack:
        channel = drive(handshake, stack, endpoint)
        channel.sendall(b"\x01")  # ClientInit: shared
        init = handshake.take_leftover(SERVER) + receive(channel, 24)
        width, height = struct.unpack(">HH", init[:4])
        (length,) = struct.unpack(">I", init[20:24])
        return f"{width}x{height} {receive(channel, length).decode()}"


def connect(endpoint: VncEndpoint) -> socket.socket:
    if endpoint.transport is Transport.UNIX:
        channel = socket.socket(socket.AF_UNIX)
        channel.settimeout(SECONDS)
        channel.connect(endpoint.path)
        return channel
    return socket.create_connection((endpoint.host, endpoint.port), SECONDS)


def drive(handshake: Handshake, stack: ExitStack, endpoint: VncEndpoint) -> socket.socket:
    """Play the server's half on a connection; the viewer's half is a transcript's."""
    channel = stack.enter_context(connect(endpoint))
    viewer, heard = t.viewer(), b""
    for event in viewer:
        if isinstance(event, t.Arrives):
            handshake.receive(CLIENT, event.data)
    while True:
        while actions := handshake.take_actions():
            for action in actions:
                if isinstance(action, StartTls):
                    secured = wrap(channel, endpoint, anonymous=action.anonymous)
                    channel = stack.enter_context(secured)
                    handshake.tls_started()  # what it wants sent inside is a new action
                elif action.peer is SERVER:
                    channel.sendall(action.data)
                else:
                    heard += action.data
        if handshake.done:
            break
        data = channel.recv(handshake.wants())
        if not data:
            handshake.receive_eof(SERVER)
        handshake.receive(SERVER, data)
    assert heard == b"".join(e.data for e in viewer if isinstance(e, t.Send))
    return channel


def wrap(channel: socket.socket, endpoint: VncEndpoint, *, anonymous: bool) -> socket.socket:
    if anonymous:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
    else:
        context = ssl.create_default_context(cafile=endpoint.tls.ca_file)
    return context.wrap_socket(channel, server_hostname=endpoint.tls.server_name or endpoint.host)


def receive(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = channel.recv(size - len(data))
        assert piece, "closed"
        data += piece
    return data


def test_qemu_without_password() -> None:
    with qemu() as running:
        assert show(server(running.address)) == "640x480 QEMU"


def test_qemu_on_a_unix_socket() -> None:
    with qemu(unix=True) as running:
        assert show(server(running.address)) == "640x480 QEMU"


def test_qemu_with_password() -> None:
    with qemu(password=t.PASSWORD) as running:
        assert show(server(running.address, password=t.PASSWORD)) == "640x480 QEMU"
        with pytest.raises(AuthenticationRejected, match="Authentication failed"):
            show(server(running.address, password="wrong"))
        with pytest.raises(NoCommonSecurity, match="no password is configured"):
            show(server(running.address))


def test_case_39_qemu_that_lost_its_password_is_refused() -> None:
    with qemu() as running, pytest.raises(NoCommonSecurity, match="it wants none"):
        show(server(running.address, password=t.PASSWORD))


def test_qemu_x509none(certs: Certificates) -> None:
    tls = TlsPolicy(ca_file=certs.ca_file)
    with qemu(certs=certs) as running:
        assert show(server(running.address, tls=tls)) == "640x480 QEMU"
        with pytest.raises(NoCommonSecurity, match=r"X509None \(260\); allowed here: X509Vnc"):
            show(server(running.address, tls=tls, password=t.PASSWORD))


def test_qemu_x509vnc(certs: Certificates) -> None:
    tls = TlsPolicy(ca_file=certs.ca_file)
    with qemu(certs=certs, password=t.PASSWORD) as running:
        vnc = server(running.address, tls=tls, password=t.PASSWORD)
        assert show(vnc) == "640x480 QEMU"
        with pytest.raises(AuthenticationRejected):
            show(server(running.address, tls=tls, password="wrong"))


def test_qemu_x509vnc_on_a_unix_socket(certs: Certificates) -> None:
    tls = TlsPolicy(ca_file=certs.ca_file)
    with qemu(certs=certs, password=t.PASSWORD, unix=True) as running:
        vnc = server(running.address, tls=tls, password=t.PASSWORD)
        assert show(vnc) == "640x480 QEMU"


def test_case_39_qemu_without_tls_where_tls_is_configured(certs: Certificates) -> None:
    with qemu(password=t.PASSWORD) as running:
        vnc = server(running.address, tls=TlsPolicy(), password=t.PASSWORD)
        with pytest.raises(NoCommonSecurity, match="TLS is configured"):
            show(vnc)


def test_qemu_anonymous_tls_only_by_setting() -> None:
    with qemu(anonymous_tls=True) as running:
        assert show(server(running.address, allow_anonymous_tls=True)) == "640x480 QEMU"
        with pytest.raises(NoCommonSecurity, match=r"TLSNone \(257\)"):
            show(server(running.address, tls=TlsPolicy()))
        with pytest.raises(NoCommonSecurity, match=r"TLSNone \(257\)"):
            show(server(running.address))


def test_qemu_anonymous_tls_with_password() -> None:
    with qemu(anonymous_tls=True, password=t.PASSWORD) as running:
        vnc = server(running.address, allow_anonymous_tls=True, password=t.PASSWORD)
        assert show(vnc) == "640x480 QEMU"


def test_tigervnc_vncauth() -> None:
    with tigervnc("VncAuth", password=t.PASSWORD) as running:
        assert show(server(running.address, password=t.PASSWORD)).startswith("320x240 ")
        with pytest.raises(AuthenticationRejected):
            show(server(running.address, password="wrong"))


def test_tigervnc_as_it_comes() -> None:
    """Its default is TLSVnc and VncAuth: without TLS configured, VncAuth must be found."""
    with tigervnc("TLSVnc,VncAuth", password=t.PASSWORD) as running:
        assert show(server(running.address, password=t.PASSWORD)).startswith("320x240 ")
        anonymous = server(running.address, password=t.PASSWORD, allow_anonymous_tls=True)
        assert show(anonymous).startswith("320x240 ")


def test_tigervnc_without_password_on_a_unix_socket() -> None:
    with tigervnc("None", unix=True) as running:
        assert show(server(running.address)).startswith("320x240 ")


@pytest.mark.parametrize("types", ["X509Vnc", "X509Vnc,TLSVnc,VncAuth"])
def test_tigervnc_x509vnc(certs: Certificates, types: str) -> None:
    tls = TlsPolicy(ca_file=certs.ca_file)
    with tigervnc(types, password=t.PASSWORD, certs=certs) as running:
        vnc = server(running.address, tls=tls, password=t.PASSWORD)
        assert show(vnc).startswith("320x240 ")
        with pytest.raises(AuthenticationRejected):
            show(server(running.address, tls=tls, password="wrong"))


def test_tigervnc_x509none(certs: Certificates) -> None:
    with tigervnc("X509None", certs=certs) as running:
        vnc = server(running.address, tls=TlsPolicy(ca_file=certs.ca_file))
        assert show(vnc).startswith("320x240 ")


@contextmanager
def scripted(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection in a thread; gives its address."""
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(SECONDS)
                answer(connection)
        except BaseException as exc:  # shown by the test's thread
            failures.append(exc)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()
    assert not failures, failures


def replay(connection: socket.socket, events: t.Events, context: ssl.SSLContext) -> None:
    """Play the server's half of a transcript; what the client must send is compared."""
    with ExitStack() as stack:
        for event in events:
            if isinstance(event, StartTls):
                secured = context.wrap_socket(connection, server_side=True)
                connection = stack.enter_context(secured)
            elif isinstance(event, t.Send):
                assert receive(connection, len(event.data)) == event.data
            else:
                connection.sendall(event.data)
        assert receive(connection, 1) == b"\x01"
        connection.sendall(struct.pack(">HH16xI", 8, 6, 2) + b"ok")
        connection.recv(1)


@pytest.mark.parametrize("name", ["X509Plain", "X509Vnc", "X509None 3.7"])
def test_scripted_server_in_real_tls(certs: Certificates, name: str) -> None:
    policy, events = t.LOGINS[name]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certs.cert_file, certs.key_file)
    with scripted(lambda connection: replay(connection, events, context)) as address:
        vnc = server(
            address,
            password=policy.password,
            username=policy.username,
            tls=TlsPolicy(ca_file=certs.ca_file),
        )
        assert show(vnc) == "8x6 ok"


def test_a_server_that_speaks_http() -> None:
    with (
        scripted(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n")) as address,
        pytest.raises(HandshakeError, match=r"HTTP/1\.1 400"),
    ):
        show(server(address))


@pytest.mark.parametrize("password", [None, t.PASSWORD])
async def test_our_own_demo_server(password: str | None, tmp_path: Path) -> None:
    """Scripts and demo server were written apart from each other, and meet here."""
    secret = None if password is None else Secret(password)
    async with (
        RfbServer(password=secret) as tcp,
        RfbServer(path=tmp_path / "demo.sock", password=secret, name="unix") as unix,
    ):
        for running, text in ((tcp, "640x400 consolekit demo"), (unix, "640x400 unix")):
            vnc = server(running.address, password=password)
            assert await asyncio.to_thread(show, vnc) == text
        if password is not None:
            with pytest.raises(AuthenticationRejected):
                await asyncio.to_thread(show, server(tcp.address, password="wrong"))
    assert not (tmp_path / "demo.sock").exists()
