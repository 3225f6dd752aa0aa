"""Net: a ``Channel`` over TLS that somebody else has begun, on a wrapped socket. Knows no HTTP, no websocket.

Our own listeners and connections have ``TlsChannel``, which moves many records with one system call. A TLS
session cannot be moved out of its socket, so one of a foreign server goes on in it.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final, NoReturn

from consolekit.core.errors import HandshakeError
from consolekit.net.sockets import SystemSocket

_SLICE: Final = 16 * 1024  # one record


class WrappedTlsChannel(SystemSocket):
    """TLS in an ``ssl.SSLSocket`` whose handshake is done.

    OpenSSL wants a record that did not go offered again as it was; so it lies here, and counts as accepted.

    Args:
        sock: Established, non-blocking from now on, ours alone.
    """

    __slots__ = ("_failure", "_fin_owed", "_rest", "_tls", "unsent")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self._tls = sock
        self._rest = b""
        self._failure: OSError | None = None  # met behind bytes, it is still to be told
        self._fin_owed = False
        self.unsent: bool = False

    def recv_into(self, view: memoryview, /) -> int:
        """Decrypt what is there, record by record; see ``Channel``."""
        size = 0
        while size < len(view) and self._failure is None:
            try:
                count = self._tls.recv_into(view[size:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if size:
                    return size
                raise BlockingIOError from None
            except OSError as exc:  # SSLError too
                self._failure = _broken(exc)
                break
            if not count:
                return size
            size += count
        if self._failure is not None and not size:
            raise self._failure
        return size

    def send(self, view: memoryview, /) -> int:
        """Encrypt and send until the socket takes no more; see ``Channel``."""
        if self.unsent and not self.flush():
            raise BlockingIOError
        sent = 0
        while sent < len(view) and not self.unsent:
            piece = bytes(view[sent : sent + _SLICE])
            sent += len(piece)
            self._push(piece)
        return sent

    def _push(self, piece: bytes) -> None:
        try:
            count = self._tls.send(piece)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            count = 0
        except ssl.SSLError as exc:
            raise _broken(exc) from exc
        self._rest = piece[count:]
        self.unsent = bool(self._rest)

    def flush(self) -> bool:
        """Send the record that still lies here."""
        while self.unsent:
            before = len(self._rest)
            self._push(self._rest)
            if len(self._rest) == before:
                return False
        if self._fin_owed:
            self._fin_owed = False
            self._say_goodbye()
        return True

    def pending(self) -> bool:
        """Whether plaintext of a record lies in OpenSSL, or an end is still to be told."""
        return self._failure is not None or self._tls.pending() > 0

    def shutdown_write(self) -> None:
        """Say goodbye in TLS, then send FIN."""
        self._fin_owed = True
        try:
            self.flush()
        except OSError:  # the peer is gone: nobody is left to be told
            self._fin_owed = False

    def _say_goodbye(self) -> None:
        try:
            self._tls.unwrap()
        except (OSError, ValueError):  # wants the peer's goodbye too, or is broken already
            pass
        try:
            socket.socket.shutdown(self._tls, socket.SHUT_WR)  # SSLSocket's own would read ciphertext on
        except OSError:
            pass

    def unwrap_raw(self) -> NoReturn:
        """A second TLS cannot begin here.

        Raises:
            HandshakeError: always.
        """
        raise HandshakeError("the TLS of another server's connection cannot be given up")


def _broken(exc: OSError) -> OSError:
    """What ``Channel`` promises: an ``OSError`` that is none of TLS's own."""
    return (
        ConnectionAbortedError(f"TLS: {exc.reason or exc.strerror}") if isinstance(exc, ssl.SSLError) else exc
    )
