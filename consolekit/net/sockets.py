"""Net: what Linux knows of a connected socket, and waiting for one. Knows no TLS and no protocol."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import select
import socket
import struct
import termios
from typing import Final, Protocol

_KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, 15),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
)
#: What the system says when a process, or all of them, may have no more sockets.
OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TCP_INFO: Final = struct.Struct("=24xI28xI")  # linux/tcp.h: tcpi_unacked, tcpi_last_ack_recv (ms)


class HasDescriptor(Protocol):
    """A socket, or a channel on one."""

    def fileno(self) -> int:
        """The descriptor."""


class SystemSocket:
    """What every channel shares: its socket, and the system's view of the peer.

    Attributes:
        socket: The raw, non-blocking socket.
    """

    __slots__ = ("socket",)

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket: socket.socket = sock
        _tune(sock)

    def fileno(self) -> int:
        """The socket's descriptor; -1 after ``close``."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket; calling it again does nothing."""
        self.socket.close()

    def hung_up(self) -> bool:
        """Whether the peer has ended or broken the connection, whatever is still to be read."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def unacknowledged(self) -> int:
        """Bytes that the system has taken and the peer's system has not acknowledged."""
        answer = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, "little")

    def silence(self) -> float:
        """Seconds for which the peer's system has left us without any answer, while one is due.

        0.0 where all is acknowledged, or where it cannot be told. While nothing can be sent (the peer's
        window is closed, or our own link is down) only half of the seconds count: a closed window is
        probed, and answered, at growing intervals of up to half of the whole time.
        """
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except OSError:  # no TCP (a unix socket), whose peer cannot fall silent
            return 0.0
        in_flight, since_answer = _TCP_INFO.unpack(info)
        if in_flight:
            return float(since_answer / 1000)
        return since_answer / 2000 if self.unacknowledged() else 0.0


def _tune(sock: socket.socket) -> None:
    """Small messages go at once; a peer that is gone is noticed where nothing is ever sent to it."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def send_fin(sock: socket.socket) -> None:
    """Say that no more bytes follow; a peer that is gone already need not be told."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


async def readable(sock: HasDescriptor) -> None:
    """Wait until the socket can be read; the deadline is the caller's ``asyncio.timeout``."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def writable(sock: HasDescriptor) -> None:
    """Wait until the socket can be written; the deadline is the caller's ``asyncio.timeout``."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_writer(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
