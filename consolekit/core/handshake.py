r"""Core: sans-I/O handshake scripts over two peers, and the driver that runs one.

Pure: no asyncio, socket, ssl, time, logging. Whoever has the sockets (the proxy's session)
feeds bytes in and carries actions out.

A script is a generator. It never yields by itself but through the steps below::

    def greet() -> Script:
        version = yield from read(SERVER, 12)
        yield from send(SERVER, version)
        yield from start_tls(SERVER)
        yield from send(CLIENT, b"RFB 003.008\\n")

**The first step that touches CLIENT is the moment of the websocket's 101**: whatever a script
does with SERVER before it is decided while a refusal can still be an HTTP status.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Generator
from typing import NoReturn, TypeAlias, TypeVar

import attrs

from consolekit.core.errors import HandshakeError, PeerClosed
from consolekit.core.types import TlsPolicy


class Peer(enum.Enum):
    """The two ends of a console."""

    CLIENT = "client"
    SERVER = "server"


CLIENT, SERVER = Peer.CLIENT, Peer.SERVER


@attrs.frozen
class Read:
    """Step: wait for exactly ``size`` bytes."""

    peer: Peer
    size: int


@attrs.frozen
class Peek:
    """Step: wait for at least ``size`` bytes and leave them unread."""

    peer: Peer
    size: int


@attrs.frozen(repr=False)
class Send:
    """Step and action: give ``data`` to the peer. Its repr shows the length only: data may be secret."""

    peer: Peer
    data: bytes

    def __repr__(self) -> str:
        return f"Send({self.peer}, <{len(self.data)} bytes>)"


@attrs.frozen
class StartTls:
    """Step and action: begin TLS with the peer, on the raw socket; a TLS that is there already ends.

    Attributes:
        peer: Whom to talk TLS to.
        anonymous: True where the protocol agreed on a cipher without certificates.
        policy: Which certificate is right, where the conversation itself has told; default: the endpoint's.
    """

    peer: Peer
    anonymous: bool = False
    policy: TlsPolicy | None = None


Step: TypeAlias = Read | Peek | Send | StartTls
Action: TypeAlias = Send | StartTls
T = TypeVar("T")
Steps: TypeAlias = Generator[Step, bytes, T]
Script: TypeAlias = Steps[None]


def read(peer: Peer, size: int) -> Steps[bytes]:
    """Wait for exactly ``size`` bytes of the peer and take them."""
    return (yield Read(peer, size))


def peek(peer: Peer, size: int) -> Steps[bytes]:
    """Wait for ``size`` bytes of the peer and look at them; they stay to be read or relayed."""
    return (yield Peek(peer, size))


def send(peer: Peer, data: bytes) -> Steps[None]:
    """Send to the peer."""
    yield Send(peer, data)


def start_tls(peer: Peer, *, anonymous: bool = False, policy: TlsPolicy | None = None) -> Steps[None]:
    """Begin TLS with the peer; returns when it is established and verified."""
    yield StartTls(peer, anonymous, policy)


class Handshake:
    """Drive one script: bytes and EOF per peer in, actions out.

    Args:
        script: The generator; it is started at once.
        limit: The most bytes kept per peer while the script does not want them.

    Usage: ``receive``/``receive_eof``/``tls_started`` feed it, ``take_actions`` empties what is to
    be done, ``waiting_for`` says whose bytes it needs. When ``done``, the bytes that followed the
    handshake are had from ``take_leftover``: they belong to the relay, and losing them loses the
    first ClientInit. After any error it stays failed: nothing that comes later can make it ``done``.
    """

    def __init__(self, script: Script, *, limit: int = 64 * 1024) -> None:
        self._script = script
        self._limit = limit
        self._buffers = {CLIENT: bytearray(), SERVER: bytearray()}
        self._actions: deque[Action] = deque()
        self._step: Step | None = None
        self._done = False
        self._failed = False
        self._proceed(None)

    @property
    def done(self) -> bool:
        """True when the script has ended well and the relay may begin."""
        return self._done

    @property
    def waiting_for(self) -> Peer | None:
        """The peer whose bytes the script needs now; None when done, failed or in TLS."""
        return self._step.peer if isinstance(self._step, Read | Peek) else None

    def wants(self) -> int:
        """How many bytes more the present step needs; 0 when it needs none.

        Before TLS nothing may be read beyond this, or ciphertext would be taken for text.
        """
        if isinstance(self._step, Read | Peek):
            return self._step.size - len(self._buffers[self._step.peer])
        return 0

    def receive(self, peer: Peer, data: bytes) -> None:
        """Take bytes of a peer.

        Raises:
            HandshakeError: the peer sends more than ``limit`` bytes that nobody wants yet, bytes in
                clear came after the message that starts TLS, or what the script itself raised.
        """
        self._check_alive()
        if data and isinstance(self._step, StartTls) and self._step.peer is peer:
            self._fail(_clear_text(peer))
        buffer = self._buffers[peer]
        buffer += data
        if len(buffer) > self._limit:
            self._fail(HandshakeError(f"{peer.value} sent over {self._limit} bytes inside the handshake"))
        if isinstance(self._step, Read | Peek) and self.wants() <= 0:
            self._proceed(self._take(self._step))

    def receive_eof(self, peer: Peer) -> None:
        """Take the end of a peer's stream.

        The script is told by a ``PeerClosed`` at the step it is at; it may raise a better reason.

        Raises:
            PeerClosed: the handshake is not done; there is nothing to go on with.
            HandshakeError: what the script raised instead.
        """
        if self._done:
            return
        self._check_alive()
        self._step, self._failed = None, True
        closed = PeerClosed(f"{peer.value} closed in the middle of the handshake")
        try:
            self._script.throw(closed)
        except StopIteration:
            pass  # a script cannot end well on a stream that has ended
        self._script.close()
        raise closed

    def tls_started(self) -> None:
        """Say that the TLS of the last StartTls action is established."""
        self._check_alive()
        if not isinstance(self._step, StartTls):
            raise HandshakeError("TLS was not asked for")
        self._proceed(b"")

    def take_actions(self) -> list[Action]:
        """Take what is to be done, in order."""
        actions = list(self._actions)
        self._actions.clear()
        return actions

    def take_leftover(self, peer: Peer) -> bytes:
        """Take the bytes of a peer that follow the handshake."""
        data = bytes(self._buffers[peer])
        self._buffers[peer].clear()
        return data

    def close(self) -> None:
        """Give the script up."""
        self._script.close()

    def _check_alive(self) -> None:
        if self._failed:
            raise HandshakeError("the handshake has failed already")

    def _fail(self, error: HandshakeError) -> NoReturn:
        self._step, self._failed = None, True
        self._script.close()
        raise error

    def _take(self, step: Read | Peek) -> bytes:
        buffer = self._buffers[step.peer]
        data = bytes(buffer[: step.size])
        if isinstance(step, Read):
            del buffer[: step.size]
        return data

    def _proceed(self, result: bytes | None) -> None:
        """Send a step's result in; carry on as far as the bytes at hand allow."""
        try:
            while True:
                step = next(self._script) if result is None else self._script.send(result)
                self._step = step
                if isinstance(step, Send):
                    self._actions.append(step)
                    result = b""
                elif isinstance(step, StartTls):
                    if self._buffers[step.peer]:
                        raise _clear_text(step.peer)
                    self._actions.append(step)
                    return
                elif self.wants() > 0:
                    self._check_size(step)
                    return
                else:
                    result = self._take(step)
        except StopIteration:
            self._step, self._done = None, True
        except BaseException:
            # a script that raised is finished: sent into again it would look like one that ended well
            self._step, self._failed = None, True
            raise

    def _check_size(self, step: Read | Peek) -> None:
        if step.size > self._limit:
            raise HandshakeError(f"the script waits for {step.size} bytes; {self._limit} are kept")


def _clear_text(peer: Peer) -> HandshakeError:
    return HandshakeError(f"{peer.value} sent bytes in clear after it agreed on TLS")
