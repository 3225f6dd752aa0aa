"""Channels over loopback: the same bytes through plain and TLS, bounds, ends, and refused certificates."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl

import pytest
from relayrig import LIMIT, Authority, fill, read_to_end, reset, tcp_pair, tls_ends

from consolekit.core.errors import CertificateRefused, HandshakeError, HostnameMismatch
from consolekit.net.channels import SocketChannel, TlsChannel, receive, send_all, start_tls

AUTHORITY = Authority()


@pytest.fixture(params=["plain", "tls"])
async def ends(request):
    ours, theirs = tcp_pair(4096)
    if request.param == "plain":
        near, far = SocketChannel(ours), SocketChannel(theirs)
    else:
        near, far = await tls_ends(ours, theirs, AUTHORITY, near_serves=True)
    yield near, far
    near.close()
    far.close()


@pytest.fixture
async def tls():
    ours, theirs = tcp_pair()
    near, far = await tls_ends(ours, theirs, AUTHORITY, near_serves=True)
    yield near, far
    near.close()
    far.close()


async def test_bytes_both_ways(ends):
    near, far = ends
    data = os.urandom(1 << 20)
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        for one, other in ((near, far), (far, near)):
            group.create_task(send_all(one, data))
            group.create_task(expect(other, data))


async def expect(channel, data: bytes) -> None:
    got = bytearray()
    while len(got) < len(data):
        got += await receive(channel, 100_000)
    assert bytes(got) == data


async def test_nothing_there(ends):
    near, far = ends
    if isinstance(near, TlsChannel):  # TLS's own tickets may be
        await send_all(far, b"x")
        assert await receive(near, 10) == b"x"
    with pytest.raises(BlockingIOError):
        near.recv_into(memoryview(bytearray(10)))
    assert not near.pending()


async def test_small_reads_leave_the_rest(ends):
    near, far = ends
    await send_all(far, b"0123456789")
    async with asyncio.timeout(LIMIT):
        assert [await receive(near, 3) for _ in range(4)] == [b"012", b"345", b"678", b"9"]


async def test_an_end_comes_behind_the_bytes(ends):
    near, far = ends
    await send_all(far, b"last")
    far.shutdown_write()
    assert await read_to_end(near) == b"last"
    assert await receive(near, 10) == b""


async def test_a_peer_that_just_goes(ends):
    near, far = ends
    with pytest.raises(BlockingIOError):  # TLS's tickets; left unread, they would make the close a reset
        far.recv_into(memoryview(bytearray(100)))
    await send_all(far, b"last")
    far.close()
    assert await read_to_end(near) == b"last"


async def test_a_reset_is_an_os_error(ends):
    near, far = ends
    reset(far)
    with pytest.raises(OSError, match=r"reset|Broken"):
        await read_to_end(near)


async def test_one_send_takes_no_more_than_it_may_have_to_keep(ends):
    near, _ = ends
    if isinstance(near, TlsChannel):
        assert near.send(memoryview(bytes(1 << 20))) == 256 * 1024
        assert near._rest is None or len(near._rest) < 260 * 1024


async def test_what_is_kept_is_bounded(ends):
    near, far = ends
    taken = await fill(near, b"x" * 65536)
    assert taken < 1 << 20
    with pytest.raises(BlockingIOError):
        near.send(memoryview(b"more"))
    if isinstance(near, TlsChannel):
        assert near.unsent
        assert len(near._rest) < 65 * 1024  # of one send, with what its records add
        assert not near.flush()
    near.shutdown_write()
    async with asyncio.TaskGroup() as group:
        group.create_task(send_all(near, b""))
        assert len(await read_to_end(far)) == taken


async def test_fin_waits_for_what_is_unsent(tls):
    near, far = tls
    view = memoryview(b"x" * (1 << 20))
    while not near.unsent:
        near.send(view)
    near.shutdown_write()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(send_all(near, b""))
        assert len(await read_to_end(far)) % 16384 == 0
    assert not near.unsent


async def test_buffers_do_not_keep_what_passed(tls):
    """After megabytes, OpenSSL's own buffers are still those of one slice."""
    near, far = tls
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        group.create_task(send_all(near, b"x" * (4 << 20)))
        group.create_task(expect(far, b"x" * (4 << 20)))
    assert near._rest is None
    assert not far._incoming.pending


async def test_garbage_inside_tls(tls):
    near, far = tls
    far.socket.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ConnectionAbortedError, match="TLS"):
        await receive(near, 10)


async def test_bytes_before_garbage_are_given_first(tls):
    near, far = tls
    await send_all(far, b"good")
    far.socket.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    await asyncio.sleep(0)
    assert await receive(near, 100) == b"good"
    with pytest.raises(ConnectionAbortedError):
        await receive(near, 100)


async def refused(client: ssl.SSLContext, server: ssl.SSLContext, name: str = "localhost") -> type[Exception]:
    """What ``start_tls`` raises on the asking side."""
    ours, theirs = tcp_pair()

    async def serve() -> None:
        with pytest.raises(HandshakeError):
            await start_tls(theirs, server, server_side=True)

    try:
        async with asyncio.timeout(LIMIT):
            serving = asyncio.get_running_loop().create_task(serve())
            with pytest.raises(Exception) as caught:
                await start_tls(ours, client, server_hostname=name)
            ours.close()
            await serving
    finally:
        theirs.close()
    return caught.type


async def test_a_certificate_for_another_name():
    assert await refused(AUTHORITY.client(), Authority("other.example").server()) is CertificateRefused
    other = Authority("other.example")
    assert await refused(other.client(), other.server()) is HostnameMismatch
    assert await refused(AUTHORITY.client(), AUTHORITY.server(), "127.0.0.1") is HostnameMismatch


async def test_a_certificate_of_another_ca_or_expired():
    assert await refused(Authority().client(), AUTHORITY.server()) is CertificateRefused
    authority = Authority()
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    authority.certificate = authority.ca.issue_cert("localhost", not_after=past)
    assert await refused(authority.client(), authority.server()) is CertificateRefused


async def test_no_version_in_common():
    old, new = AUTHORITY.server(), AUTHORITY.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    assert await refused(new, old) is HandshakeError


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03", b"", bytes(range(99, 163))]
)
async def test_a_peer_that_speaks_no_tls(said):
    ours, theirs = tcp_pair()
    theirs.send(said)
    theirs.close()
    with pytest.raises(HandshakeError):
        await start_tls(ours, AUTHORITY.client(), server_hostname="localhost")
    ours.close()


async def test_a_peer_that_resets_in_the_handshake():
    ours, theirs = tcp_pair()
    reset(theirs)
    with pytest.raises(HandshakeError):
        await start_tls(ours, AUTHORITY.client(), server_hostname="localhost")
    ours.close()


async def test_a_silent_peer_is_left_at_the_callers_deadline():
    ours, theirs = tcp_pair()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await start_tls(ours, AUTHORITY.client(), server_hostname="localhost")
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
    ours.close()
    theirs.close()


async def test_a_handshake_in_single_bytes():
    """Whatever way the records are cut, nothing behind the handshake is lost."""
    ours, wire_a = tcp_pair()
    wire_b, theirs = tcp_pair()
    loop = asyncio.get_running_loop()

    async def drip(source, sink) -> None:
        while data := await loop.sock_recv(source, 4096):
            for byte in data:
                await loop.sock_sendall(sink, bytes([byte]))
                await asyncio.sleep(0)

    async with asyncio.timeout(LIMIT):
        drips = [loop.create_task(drip(a, b)) for a, b in ((wire_a, wire_b), (wire_b, wire_a))]
        serving = loop.create_task(start_tls(theirs, AUTHORITY.server(), server_side=True))
        near = await start_tls(ours, AUTHORITY.client(), server_hostname="localhost")
        far = await serving
        await send_all(near, b"hello")
        assert await receive(far, 100) == b"hello"
        for task in drips:
            task.cancel()
        await asyncio.gather(*drips, return_exceptions=True)
    for end in (near, far, wire_a, wire_b):
        end.close()


async def test_bytes_right_behind_the_handshake_stay_in_the_socket():
    """The peer's first bytes come in the same segment as the end of its handshake."""
    ours, theirs = tcp_pair()
    near, far = await tls_ends(ours, theirs, AUTHORITY, near_serves=False)
    await send_all(far, b"RFB 003.008\n")
    assert await receive(near, 100) == b"RFB 003.008\n"
    near.close()
    far.close()


async def test_a_second_tls_on_the_same_socket():
    """As VMware's port 902 does: the first TLS is left without a goodbye."""
    ours, theirs = tcp_pair()
    near, far = await tls_ends(ours, theirs, AUTHORITY, near_serves=False)
    await send_all(far, b"200 CONNECT\r\n")
    assert await receive(near, 100) == b"200 CONNECT\r\n"
    await send_all(near, b"go")
    assert await receive(far, 100) == b"go"
    again, there = await tls_ends(near.unwrap_raw(), far.unwrap_raw(), Authority(), near_serves=True)
    await send_all(there, b"inside")
    assert await receive(again, 100) == b"inside"
    again.close()
    there.close()


async def test_no_second_tls_over_bytes_of_the_first(tls):
    near, far = tls
    await send_all(far, b"two messages")
    assert await receive(near, 3) == b"two"
    with pytest.raises(HandshakeError, match="left"):
        near.unwrap_raw()


async def test_the_peers_certificate():
    ours, theirs = tcp_pair()
    near, far = await tls_ends(ours, theirs, AUTHORITY, near_serves=False)
    expected = ssl.PEM_cert_to_DER_cert(AUTHORITY.certificate.cert_chain_pems[0].bytes().decode())
    assert near.peer_certificate() == expected
    assert far.peer_certificate() is None
    near.close()
    far.close()
