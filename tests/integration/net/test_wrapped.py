"""net.wrapped: a channel on a TLS session that somebody else began; what it shares with others is in
``test_takeover``.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import attrs
import pytest
import trustme

from consolekit.core.errors import HandshakeError
from consolekit.net.wrapped import WrappedTlsChannel


@attrs.define
class Pair:
    """Both ends of a TLS session in one thread; the peer's end is OpenSSL in memory."""

    channel: WrappedTlsChannel
    raw: socket.socket
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO

    def pull(self) -> None:
        """Take what came from the channel's side."""
        try:
            while piece := self.raw.recv(65536):
                self.incoming.write(piece)
        except BlockingIOError:
            pass

    def push(self, data: bytes = b"") -> None:
        if data:
            self.tls.write(data)
        self.raw.sendall(self.outgoing.read())

    def read(self) -> bytes:
        self.pull()
        found = b""
        try:
            while piece := self.tls.read(65536):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    ca = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(client)
    ours, raw = socket.socketpair()
    ours.setblocking(False)
    raw.setblocking(False)
    wrapped = server.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    found = Pair(
        channel=WrappedTlsChannel(wrapped),
        raw=raw,
        tls=client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1"),
        incoming=incoming,
        outgoing=outgoing,
    )
    done = [False, False]
    while not all(done):
        for number, step in enumerate((found.tls.do_handshake, wrapped.do_handshake)):
            try:
                step()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
            found.push()
            found.pull()
    found.read()  # session tickets
    yield found
    found.channel.close()
    raw.close()


def received(channel: WrappedTlsChannel, size: int) -> bytes:
    view = memoryview(bytearray(size))
    return bytes(view[: channel.recv_into(view)])


def test_many_records_come_with_one_call_and_the_rest_is_pending(pair: Pair) -> None:
    for number in range(10):
        pair.push(b"%d" % number * 100)
    assert received(pair.channel, 950) == b"".join(b"%d" % number * 100 for number in range(10))[:950]
    assert pair.channel.pending()
    assert received(pair.channel, 950) == b"9" * 50
    assert not pair.channel.pending()
    with pytest.raises(BlockingIOError):
        received(pair.channel, 1)


def test_a_record_that_did_not_go_is_offered_again_as_it_was(pair: Pair) -> None:
    data = bytes(range(256)) * 8192
    sent, got = 0, b""
    while sent < len(data):
        try:
            sent += pair.channel.send(memoryview(data)[sent:])
        except BlockingIOError:
            assert pair.channel.unsent
            assert not pair.channel.flush()
            got += pair.read()
    while pair.channel.unsent:
        got += pair.read()
        pair.channel.flush()
    got += pair.read()
    assert got == data


def test_the_end_is_said_in_tls_and_after_what_waits(pair: Pair) -> None:
    sent = 0
    while not pair.channel.unsent:
        sent += pair.channel.send(memoryview(b"x" * 65536))
    pair.channel.shutdown_write()
    got = len(pair.read())
    while not pair.channel.flush():
        got += len(pair.read())
    got += len(pair.read())
    assert got == sent
    assert pair.tls.read(1) == b""  # the goodbye, after all of it


def test_the_peer_s_goodbye_is_the_end(pair: Pair) -> None:
    pair.push(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.unwrap()
    pair.push()
    assert received(pair.channel, 100) == b"last"
    assert received(pair.channel, 100) == b""


def test_what_is_no_record_breaks_it_after_what_was_whole(pair: Pair) -> None:
    pair.push(b"whole")
    pair.raw.sendall(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    assert received(pair.channel, 100) == b"whole"
    with pytest.raises(ConnectionAbortedError, match=r"^TLS: "):
        received(pair.channel, 100)


def test_writing_to_a_peer_that_is_gone(pair: Pair) -> None:
    pair.raw.close()
    with pytest.raises(ConnectionAbortedError, match="EOF occurred"):
        pair.channel.send(memoryview(b"x"))
    pair.channel.shutdown_write()


def test_no_second_tls_begins_here(pair: Pair) -> None:
    with pytest.raises(HandshakeError):
        pair.channel.unwrap_raw()
