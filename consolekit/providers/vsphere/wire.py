"""Providers, vSphere: HTTPS to one vCenter or ESXi host, blocking, with the certificate checked first.

Knows HTTP, TLS and our certificate policy; knows no SOAP. Nothing at all is sent before the certificate
has proved to be the right one, and a connection never falls back to clear text.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Final

import attrs

from consolekit.core.errors import (
    HypervisorNotTrusted,
    HypervisorProtocol,
    HypervisorTimeout,
    HypervisorUnavailable,
)
from consolekit.core.types import TlsPolicy
from consolekit.providers.vsphere.calls import Call

_LARGEST_ANSWER: Final = 16 * 1024 * 1024
_READ: Final = 64 * 1024


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP response, read whole."""

    status: int
    content_type: str
    cookie: str
    body: bytes = attrs.field(repr=False)


class Wire:
    """Keep-alive connections to one host, for several threads.

    Args:
        host: Name or address.
        port: HTTPS port.
        policy: Which certificate is the right one.

    Raises:
        HypervisorNotTrusted: the CA file cannot be read.
    """

    def __init__(self, host: str, port: int, policy: TlsPolicy) -> None:
        self._host, self._port, self._policy = host, port, policy
        self._context = _context(policy)
        self._idle: list[http.client.HTTPConnection] = []
        self._closed = False
        self._lock = threading.Lock()
        self.certificate: bytes = b""
        """The host's certificate (DER) as of the last connection; empty before the first."""

    def request(
        self, call: Call, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str]
    ) -> Answer:
        """Ask, on a connection that was used before where there is one.

        Raises:
            HypervisorNotTrusted: the certificate is not the right one; nothing was sent.
            HypervisorTimeout: no answer in time.
            HypervisorUnavailable: no connection, or it broke.
            HypervisorProtocol: the answer is no HTTP, or is too large.
        """
        connection = self._take_idle()
        if connection is not None:
            try:
                return self._ask(call, connection, method, path, body, headers)
            except _Stale:
                pass  # closed by the host before it took this request: RFC 9112, 9.3.1
        try:
            return self._ask(call, self._open(call), method, path, body, headers)
        except _Stale as exc:
            raise HypervisorUnavailable(f"{self._host} closed the connection: {exc}") from None

    def _ask(
        self,
        call: Call,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        sock = connection.sock
        keep = False
        try:
            call.hold(sock)
            sock.settimeout(call.remaining())
            connection.request(method, path, body=body or None, headers=dict(headers))
            response = connection.getresponse()
            answer = self._read(call, sock, response)
            keep = not response.will_close
            return answer
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as exc:
            if call.abandoned:
                raise HypervisorTimeout(f"{self._host} was given up") from None
            raise _Stale(type(exc).__name__) from None
        except TimeoutError:
            raise HypervisorTimeout(f"{self._host} did not answer in time") from None
        except http.client.IncompleteRead:
            raise HypervisorUnavailable(f"{self._host} broke off its answer") from None
        except http.client.HTTPException as exc:
            raise HypervisorProtocol(f"{self._host} answers no HTTP: {type(exc).__name__}") from None
        except OSError as exc:
            if call.abandoned:
                raise HypervisorTimeout(f"{self._host} was given up") from None
            raise HypervisorUnavailable(f"the connection to {self._host} broke: {exc.strerror}") from None
        finally:
            call.hold(None)
            self._give_back(connection, keep=keep)

    def _read(self, call: Call, sock: socket.socket, response: http.client.HTTPResponse) -> Answer:
        pieces, size = [], 0
        while piece := response.read1(_READ):
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise HypervisorProtocol(f"{self._host} answers more than {_LARGEST_ANSWER} bytes")
            pieces.append(piece)
            sock.settimeout(call.remaining())
        if response.length:  # read1 does not tell an early end (CPython issue 83611)
            raise HypervisorUnavailable(f"{self._host} broke off its answer")
        response.close()  # read1 leaves that to us; until then the connection takes no other request
        return Answer(
            status=response.status,
            content_type=response.getheader("Content-Type", ""),
            cookie=response.getheader("Set-Cookie", ""),
            body=b"".join(pieces),
        )

    def _take_idle(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            # anything to read on an idle connection is its end, or bytes that nobody asked for
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()

    def _give_back(self, connection: http.client.HTTPConnection, *, keep: bool) -> None:
        with self._lock:
            if keep and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections that are not in use now, and each of the others when its answer is there."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _open(self, call: Call) -> http.client.HTTPConnection:
        sock = self._secured(call, self._connected(call))
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.default_port = 443  # for the Host header
        connection.auto_open = 0  # HTTPConnection would open in clear text
        connection.sock = sock
        return connection

    def _connected(self, call: Call) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise HypervisorUnavailable(f"the name {self._host} is unknown: {exc.strerror}") from None
        reason = "no address"
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                call.hold(sock)
                sock.settimeout(call.remaining() / (len(addresses) - place))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as exc:
                sock.close()
                reason = "no answer" if isinstance(exc, TimeoutError) else exc.strerror or "refused"
            except HypervisorTimeout:
                sock.close()
                raise
            else:
                return sock
        raise HypervisorUnavailable(f"{self._host} port {self._port} cannot be reached: {reason}")

    def _secured(self, call: Call, raw: socket.socket) -> ssl.SSLSocket:
        name = self._policy.server_name or self._host
        sock = self._context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)
        try:
            call.hold(sock)
            sock.settimeout(call.remaining())
            sock.do_handshake()
            certificate = sock.getpeercert(binary_form=True) or b""
            _check_pin(self._policy, certificate)
        except BaseException as exc:
            sock.close()
            raise self._untrusted(call, exc) from None
        self.certificate = certificate
        return sock

    def _untrusted(self, call: Call, exc: BaseException) -> BaseException:
        """What an error of the TLS handshake means."""
        if isinstance(exc, TimeoutError) or (isinstance(exc, OSError) and call.abandoned):
            return HypervisorTimeout(f"{self._host} did not finish the TLS handshake in time")
        if isinstance(exc, ssl.SSLCertVerificationError):
            return HypervisorNotTrusted(f"the certificate of {self._host}: {exc.verify_message}")
        if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return HypervisorUnavailable(f"{self._host} closed the connection in the TLS handshake")
        if isinstance(exc, ssl.SSLError):
            return HypervisorNotTrusted(f"no TLS with {self._host}: {exc.reason}")
        if isinstance(exc, OSError):
            return HypervisorUnavailable(f"{self._host} broke off the TLS handshake: {exc.strerror}")
        return exc


class _Stale(Exception):
    """The host closed the connection before it answered."""


def _context(policy: TlsPolicy) -> ssl.SSLContext:
    if policy.pin_sha256:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the pin decides, in _check_pin, before a byte is sent
        return context
    try:
        return ssl.create_default_context(cafile=policy.ca_file, cadata=policy.ca_data)
    except OSError as exc:  # ssl.SSLError, for a file that holds no certificate, is one
        raise HypervisorNotTrusted(f"the CA file {policy.ca_file} cannot be read: {exc.strerror}") from None


def _check_pin(policy: TlsPolicy, certificate: bytes) -> None:
    """Compare the certificate with the pin, where there is one.

    Raises:
        HypervisorNotTrusted: it is another certificate.
    """
    if policy.pin_sha256:
        expected = policy.pin_sha256.replace(":", "").lower()
        if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), expected):
            raise HypervisorNotTrusted("the certificate is not the pinned one")
