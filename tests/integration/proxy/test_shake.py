"""A handshake script over real connections: the server alone, then a viewer; TLS inside; tried twice."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from gateway import echo, target
from hostile import BINARY, CLOSE, Viewer, frame, full_backlog, open_files, reset, silence, until

from consolekit.core.errors import (
    CertificateRefused,
    ConnectTimeout,
    HandshakeError,
    HandshakeTimeout,
    NoCommonSecurity,
    PeerClosed,
)
from consolekit.core.handshake import CLIENT, SERVER, Script, read, send, start_tls
from consolekit.core.types import Endpoint, TlsPolicy
from consolekit.net.channels import SocketChannel, receive
from consolekit.proxy.shake import Shake, reach
from consolekit.proxy.viewer import ViewerClosed, ViewerStream


@pytest.fixture(autouse=True)
async def _no_socket_is_left() -> AsyncIterator[None]:
    asyncio.get_running_loop()
    before = open_files()
    yield
    await until(lambda: open_files() <= before, "the close of every descriptor")


def greeting(endpoint: Endpoint) -> Script:
    """Three bytes of the server, an answer, three more; then the same with the viewer."""
    assert (yield from read(SERVER, 3)) == b"one"
    yield from send(SERVER, b"two")
    if (yield from read(SERVER, 3)) != b"yes":
        raise NoCommonSecurity("the server says no")
    yield from send(CLIENT, b"hello")
    if (yield from read(CLIENT, 2)) != b"ok":
        raise HandshakeError("the viewer says no")
    yield from send(CLIENT, b"done")


async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"one")
    await reader.readexactly(3)
    writer.write(b"yesand more")
    await silence(reader, writer)


async def tried(endpoint: Endpoint, script=greeting, **seconds: float) -> Shake:
    deadlines = {"connect_seconds": 2.0, "handshake_seconds": 2.0, **seconds}
    return await reach(endpoint, script, **deadlines)


def browser() -> tuple[ViewerStream, Viewer]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return ViewerStream(SocketChannel(ours), b""), Viewer(theirs)


async def test_the_servers_part_first_then_the_viewers():
    async with target(server) as endpoint:
        shake = await tried(endpoint)
        viewer, person = browser()
        await person.send(frame(BINARY, b"o"))
        finishing = asyncio.get_running_loop().create_task(shake.finish(viewer))
        assert await person.bytes(5) == b"hello"
        await person.send(frame(BINARY, b"kand typed ahead"))
        rest = await finishing
        assert await person.bytes(4) == b"done"
        assert rest + await receive(shake.channel, 100) == b"and more"
        assert viewer.hand_over()[1] == b"and typed ahead"
        shake.channel.close()
        viewer.channel.close()
        person.close()


async def test_without_a_script_there_is_nothing_to_play():
    async with target(echo) as endpoint:
        shake = await tried(endpoint, lambda endpoint: None)
        viewer, person = browser()
        assert await shake.finish(viewer) == b""
        shake.channel.close()
        viewer.channel.close()
        person.close()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(frame(BINARY, b"no"), HandshakeError), (frame(CLOSE, b"\x03\xe8"), ViewerClosed),
     (frame(BINARY, b"ok", masked=False), ViewerClosed), (None, ViewerClosed)],
    ids=["no", "close", "unmasked", "gone"],
)  # fmt: skip
async def test_a_viewer_that_does_not_play_its_part(sent, expected):
    async with target(server) as endpoint:
        shake = await tried(endpoint)
        viewer, person = browser()
        if sent is None:
            person.close()
        else:
            await person.send(sent)
        with pytest.raises((expected, OSError)):
            await shake.finish(viewer)
        shake.channel.close()
        viewer.channel.close()
        person.close()


async def says_no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"one")
    await reader.readexactly(3)
    writer.write(b"noo")


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"on")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"one")
    await reader.readexactly(3)
    reset(writer)


@pytest.mark.parametrize(
    ("serve", "expected"), [(says_no, NoCommonSecurity), (closes, PeerClosed), (resets, PeerClosed)]
)
async def test_a_server_that_does_not_play_its_part(serve, expected):
    async with target(serve) as endpoint:
        with pytest.raises(expected):
            await tried(endpoint)


async def test_a_server_that_is_gone_when_it_is_told_something():
    heard = asyncio.Event()

    def talks(endpoint: Endpoint) -> Script:
        yield from read(SERVER, 1)
        while True:
            yield from send(SERVER, bytes(65536))
            yield from read(SERVER, 1)

    async def listens_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1000))
        await reader.readexactly(65536)
        reset(writer)
        heard.set()

    async with target(listens_no_more) as endpoint:
        with pytest.raises(PeerClosed):
            await tried(endpoint, talks)
        await heard.wait()


# ---- tried twice


async def test_a_server_that_says_nothing_is_connected_once_more():
    calls: list[int] = []

    async def second_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)
        await (silence if len(calls) == 1 else server)(reader, writer)

    async with target(second_time) as endpoint:
        shake = await tried(endpoint)
        shake.channel.close()
    assert len(calls) == 2


async def test_and_then_no_more():
    calls: list[int] = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)
        await silence(reader, writer)

    async with target(never) as endpoint:
        with pytest.raises(HandshakeTimeout, match="said nothing"):
            await tried(endpoint, handshake_seconds=0.5)
    assert len(calls) == 2


async def test_one_that_has_said_something_is_not_tried_again_and_has_the_whole_deadline():
    calls: list[int] = []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)
        writer.write(b"o")
        await silence(reader, writer)

    async with target(slow) as endpoint:
        began = asyncio.get_running_loop().time()
        with pytest.raises(HandshakeTimeout, match="not done"):
            await tried(endpoint, handshake_seconds=0.6)
        assert asyncio.get_running_loop().time() - began >= 0.6
    assert len(calls) == 1


async def test_one_that_cannot_be_reached_is_not_tried_again():
    with full_backlog() as endpoint, pytest.raises(ConnectTimeout):
        await tried(endpoint, connect_seconds=0.2)


async def test_a_script_that_fails_before_it_begins_costs_no_connection():
    calls: list[int] = []

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)

    def broken(endpoint: Endpoint) -> Script:
        raise RuntimeError("a mistake")
        yield

    async with target(counts) as endpoint:
        with pytest.raises(RuntimeError):
            await tried(endpoint, broken)
    assert calls == []


async def test_who_stops_waiting_leaves_no_socket():
    said = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.set()
        await silence(reader, writer)

    async with target(mute) as endpoint:
        waiting = asyncio.get_running_loop().create_task(tried(endpoint))
        await said.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


# ---- TLS inside


@pytest.fixture(scope="module")
def certificate() -> tuple[ssl.SSLContext, str]:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return context, hashlib.sha256(der).hexdigest()


def secretive(endpoint: Endpoint) -> Script:
    yield from read(SERVER, 3)
    yield from start_tls(SERVER)
    yield from send(SERVER, b"the secret")
    yield from read(SERVER, 2)
    yield from send(CLIENT, b"in")


@pytest.mark.parametrize("ahead", [b"", b"clear"])
async def test_tls_inside_and_nothing_in_clear_beside_it(certificate, ahead):
    context, pin = certificate

    async def upgrades(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"tls" + ahead)
        await writer.start_tls(context)
        assert await reader.readexactly(10) == b"the secret"
        writer.write(b"ok, and on")
        await silence(reader, writer)

    async with target(upgrades) as plain:
        endpoint = Endpoint(host=plain.host, port=plain.port, tls=TlsPolicy(pin_sha256=pin))
        if ahead:
            with pytest.raises(HandshakeError):
                await tried(endpoint, secretive)
            return
        shake = await tried(endpoint, secretive)
        viewer, person = browser()
        rest = await shake.finish(viewer)
        assert await person.bytes(2) == b"in"
        assert rest + await receive(shake.channel, 100) == b", and on"
        shake.channel.close()
        viewer.channel.close()
        person.close()


async def test_no_secret_leaves_before_the_certificate_is_right(certificate):
    context, _ = certificate
    heard = asyncio.get_running_loop().create_future()

    async def upgrades(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"tls")
        try:
            await writer.start_tls(context)
            heard.set_result(await reader.read())
        except OSError:
            heard.set_result(b"")

    async with target(upgrades) as plain:
        wrong = TlsPolicy(pin_sha256="0" * 64)
        with pytest.raises(CertificateRefused):
            await tried(Endpoint(host=plain.host, port=plain.port, tls=wrong), secretive)
        assert await heard == b""


@pytest.mark.parametrize("right", [True, False])
async def test_the_conversation_itself_may_name_the_certificate(certificate, right):
    """As port 902 of an ESXi host does for its second TLS; the endpoint's own policy is not asked then."""
    context, pin = certificate

    def told(endpoint: Endpoint) -> Script:
        yield from read(SERVER, 3)
        yield from start_tls(SERVER, policy=TlsPolicy(pin_sha256=pin if right else "0" * 64))
        yield from send(SERVER, b"the secret")

    async def upgrades(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"tls")
        await writer.start_tls(context)
        await silence(reader, writer)

    async with target(upgrades) as plain:
        endpoint = Endpoint(host=plain.host, port=plain.port, tls=TlsPolicy(pin_sha256="1" * 64))
        if right:
            (await tried(endpoint, told)).channel.close()
        else:
            with pytest.raises(CertificateRefused):
                await tried(endpoint, told)


async def test_tls_with_the_viewer_is_no_part_of_a_handshake():
    def odd(endpoint: Endpoint) -> Script:
        yield from start_tls(CLIENT)

    async with target(echo) as endpoint:
        with pytest.raises(HandshakeError):
            await tried(endpoint, odd)
