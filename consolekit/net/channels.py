"""Net: plain and TLS sockets behind one small non-blocking shape. Nobody else knows ssl errors.

Knows neither HTTP nor websockets nor consoles. TLS goes through memory BIOs: one system call moves many
records, where a wrapped socket takes one call a record. What a channel keeps is bounded: ciphertext of at
most one ``send`` that the peer has not taken, and of what came at most one raw read.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Final, Protocol

from consolekit.core.errors import CertificateRefused, HandshakeError, HostnameMismatch
from consolekit.net.sockets import SystemSocket, readable, send_fin, writable

_RAW_READ: Final = 128 * 1024
_SLICE: Final = 32 * 1024  # plaintext encrypted at once; bounds what OpenSSL's buffers grow to
_AT_ONCE: Final = 256 * 1024  # the most plaintext that one ``send`` accepts
_WRONG_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_RECORD: Final = 16 * 1024 + 256  # RFC 8446, 5.2: the largest record
_TLS_HEADER: Final = 5  # RFC 8446, 5.1: type, version, length


class Channel(Protocol):
    """A connected byte stream whose calls never wait. Attributes may be read, not set.

    Attributes:
        unsent: True while bytes that ``send`` has accepted still lie here: stay registered for writing and
            call ``flush``.
    """

    unsent: bool

    def fileno(self) -> int:
        """The socket's descriptor; -1 after ``close``."""

    def recv_into(self, view: memoryview, /) -> int:
        """Read what is there; 0 is the end of the stream.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection is broken.
        """

    def send(self, view: memoryview, /) -> int:
        """Send what goes; returns how many bytes were accepted, at least 1 of a non-empty view.

        Raises:
            BlockingIOError: none could go.
            OSError: the connection is broken.
        """

    def flush(self) -> bool:
        """Send what still lies here; True when nothing is left.

        Raises:
            OSError: the connection is broken.
        """

    def pending(self) -> bool:
        """Whether ``recv_into`` may have more without the descriptor being readable."""

    def shutdown_write(self) -> None:
        """Say that no more bytes follow, after what is unsent."""

    def close(self) -> None:
        """Close the socket; calling it again does nothing."""

    def unwrap_raw(self) -> socket.socket:
        """The raw socket, for a protocol that begins (another) TLS on it.

        Raises:
            HandshakeError: bytes still lie here, in or out.
        """

    def hung_up(self) -> bool:
        """Whether the peer has ended or broken the connection, whatever is still to be read."""

    def unacknowledged(self) -> int:
        """Bytes that the system has taken and the peer's system has not acknowledged."""

    def silence(self) -> float:
        """Seconds for which the peer's system has left us without any answer, while one is due."""


class SocketChannel(SystemSocket):
    """A plain socket. ``recv_into`` and ``send`` are the socket's own: no call in between."""

    __slots__ = ("recv_into", "send")

    unsent = False
    recv_into: Callable[[memoryview], int]
    send: Callable[[memoryview], int]

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.recv_into = sock.recv_into
        self.send = sock.send

    def unwrap_raw(self) -> socket.socket:
        """The socket itself, for a protocol that begins TLS on it."""
        return self.socket

    def flush(self) -> bool:
        """Nothing ever lies here."""
        return True

    def pending(self) -> bool:
        """Nothing ever lies here."""
        return False

    def shutdown_write(self) -> None:
        """Send FIN."""
        send_fin(self.socket)


class _RawBuffer(threading.local):
    """Where ciphertext lands before it is decrypted in the same call; one per thread, shared by all."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_RAW_READ))


_raw = _RawBuffer()


class TlsChannel(SystemSocket):
    """TLS over a raw socket.

    A peer that closes without TLS's own goodbye counts as closed: many console servers do, and the
    protocols inside say themselves where they end.
    """

    __slots__ = (
        "_ended",
        "_failure",
        "_fin_owed",
        "_incoming",
        "_outgoing",
        "_rest",
        "_tls",
        "unsent",
    )

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        super().__init__(sock)
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._rest: memoryview | None = None  # ciphertext that the socket has not taken
        self._fin_owed = False
        self._ended = False  # the end of the stream was met; behind bytes, it is still to be told
        self._failure = ""
        self.unsent: bool = False

    def recv_into(self, view: memoryview, /) -> int:
        """Decrypt what is there; see ``Channel``."""
        size = self._decrypt(view, 0)
        if not size and not self._ended:
            raw = _raw.view[: max(len(view) - _RECORD, _RECORD)]
            count = self.socket.recv_into(raw)
            if not count:
                return 0
            for start in range(0, count, _SLICE):
                self._incoming.write(raw[start : min(start + _SLICE, count)])
                size = self._decrypt(view, size)
        if self._outgoing.pending:  # TLS itself has something to say: an alert, a key update
            self._push_quietly()
        if not size and not self._ended:
            raise BlockingIOError
        return size

    def _decrypt(self, view: memoryview, size: int) -> int:
        """Decrypt into the view behind ``size`` bytes, until it is full or records run out; the new size."""
        room = len(view)
        try:
            while size < room and (count := self._tls.read(room - size, view[size:])):
                size += count  # type: ignore[operator]  # with a buffer it gives a count
            self._ended = self._ended or size < room
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:  # the end, in order or not; what came whole before it is good
            self._ended = True
            if not isinstance(exc, ssl.SSLZeroReturnError | ssl.SSLEOFError):
                self._failure = self._failure or f"TLS: {exc.reason}"
        if self._failure and not size:
            raise ConnectionAbortedError(self._failure)
        return size

    def send(self, view: memoryview, /) -> int:
        """Encrypt slice by slice, send all of it with one call; see ``Channel``."""
        if self.unsent and not self.flush():
            raise BlockingIOError
        sent, most, pieces = 0, min(len(view), _AT_ONCE), []
        try:
            while sent < most:
                sent += self._tls.write(view[sent : sent + _SLICE])
                pieces.append(self._outgoing.read())
        except ssl.SSLError as exc:
            raise ConnectionAbortedError(f"TLS: {exc.reason}") from exc
        self._transmit(pieces)
        return sent

    def _push(self) -> None:
        """Send what OpenSSL has put out by itself, behind what waits."""
        data = self._outgoing.read()
        self._transmit([data] if self._rest is None else [bytes(self._rest), data])

    def _transmit(self, pieces: list[bytes]) -> None:
        """Send ciphertext with one call; keep what the socket does not take."""
        try:
            count = self.socket.sendmsg(pieces)
        except BlockingIOError:
            count = 0
        self.unsent = count < sum(map(len, pieces))
        self._rest = memoryview(b"".join(pieces))[count:] if self.unsent else None

    def _push_quietly(self) -> None:
        """Push where nobody waits for it: a broken connection is told by the next call."""
        try:
            self._push()
        except OSError:
            pass

    def flush(self) -> bool:
        """Send ciphertext that still lies here."""
        if self._rest is not None:
            try:
                count = self.socket.send(self._rest)
            except BlockingIOError:
                return False
            if count < len(self._rest):
                self._rest = self._rest[count:]
                return False
            self._rest, self.unsent = None, False
        if self._fin_owed:
            self._fin_owed = False
            send_fin(self.socket)
        return True

    def pending(self) -> bool:
        """Whether records, or plaintext of one, lie here."""
        return bool(self._incoming.pending or self._tls.pending() or self._ended)

    def shutdown_write(self) -> None:
        """Say goodbye in TLS, then send FIN. What the peer still sends can only be discarded."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, OSError):  # wants the peer's goodbye too, or is broken already
            pass
        self._fin_owed = True
        try:
            self._push()
            if not self.unsent:
                self.flush()
        except OSError:  # the peer is gone: nobody is left to be told
            self._fin_owed = False

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER, None if it showed none."""
        return self._tls.getpeercert(binary_form=True)

    def unwrap_raw(self) -> socket.socket:
        """Give this TLS up and hand the raw socket on, for a protocol that begins a second TLS on it.

        Raises:
            HandshakeError: bytes of this TLS still lie here, in or out.
        """
        if self.unsent or self._outgoing.pending or self.pending():
            raise HandshakeError("bytes of the first TLS are left where the second is to begin")
        return self.socket


async def receive(channel: Channel, size: int) -> bytes:
    """Wait for bytes: at most ``size`` of them, at least one; empty at the end of the stream.

    Raises:
        OSError: the connection is broken.
    """
    view = memoryview(bytearray(size))
    while True:
        try:
            return bytes(view[: channel.recv_into(view)])
        except BlockingIOError:
            await readable(channel)


def send_now(channel: Channel, data: bytes) -> bytes:
    """Send what goes without waiting; returns the rest. What is broken takes nothing, and says so later."""
    try:
        return data[channel.send(memoryview(data)) :]
    except OSError:
        return data


async def send_all(channel: Channel, data: bytes) -> None:
    """Send all bytes and wait until the system has them.

    Raises:
        OSError: the connection is broken.
    """
    view = memoryview(data)
    while view or channel.unsent:
        try:
            if view:
                view = view[channel.send(view) :]
            elif channel.flush():
                return
        except BlockingIOError:
            pass
        if view or channel.unsent:
            await writable(channel)


async def start_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    *,
    server_hostname: str | None = None,
    server_side: bool = False,
) -> TlsChannel:
    """Do a TLS handshake on a raw, non-blocking socket; the deadline is the caller's ``asyncio.timeout``.

    Records are read one by one, so nothing behind the handshake is taken from the socket. The socket stays
    the caller's to close when this raises.

    Raises:
        HostnameMismatch: the certificate is good, for another name.
        CertificateRefused: the certificate is not trusted, expired or not yet valid.
        HandshakeError: the peer speaks no TLS, none in common, or closed.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
    channel = TlsChannel(sock, tls, incoming, outgoing)
    try:
        while not _handshake_done(tls):
            await _flush_handshake(channel)
            incoming.write(await _read_record(sock))
        await _flush_handshake(channel)
    except ssl.SSLError as exc:
        channel._push_quietly()  # the alert says why
        raise _as_refusal(exc) from exc
    except OSError as exc:
        raise HandshakeError(f"the connection broke in the TLS handshake: {exc.strerror}") from exc
    return channel


def _handshake_done(tls: ssl.SSLObject) -> bool:
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


async def _flush_handshake(channel: TlsChannel) -> None:
    channel._push()
    while channel.unsent:
        await writable(channel)
        channel.flush()


async def _read_record(sock: socket.socket) -> bytes:
    """One TLS record (RFC 8446, 5.1); what is none is handed on for OpenSSL to refuse."""
    header = await _read_exactly(sock, _TLS_HEADER)
    length = int.from_bytes(header[3:], "big")
    if not 20 <= header[0] <= 24 or length > _RECORD:
        return header
    return header + await _read_exactly(sock, length)


async def _read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            piece = sock.recv(size - len(data))
        except BlockingIOError:
            await readable(sock)
            continue
        if not piece:
            raise HandshakeError("the peer closed in the middle of the TLS handshake")
        data += piece
    return data


def _as_refusal(exc: ssl.SSLError) -> HandshakeError | CertificateRefused:
    if isinstance(exc, ssl.SSLCertVerificationError):
        kind = HostnameMismatch if exc.verify_code in _WRONG_NAME else CertificateRefused
        return kind(f"the certificate was refused: {exc.verify_message}")
    return HandshakeError(f"the TLS handshake failed: {exc.reason or 'unexpected bytes'}")
