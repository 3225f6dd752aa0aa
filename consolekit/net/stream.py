"""Net: tornado's stream over a channel, so that HTTP can be parsed first and the socket taken over later.

Knows nothing of what the bytes mean, but for the one answer that tornado leaves out: 431.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from tornado.iostream import IOStream, UnsatisfiableReadError

from consolekit.net.channels import Channel, SocketChannel

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"
)


class ChannelStream(IOStream):
    """An IOStream whose bytes go through a ``Channel`` (plain or TLS).

    Args:
        channel: An established channel on ``sock``.
        sock: The raw non-blocking socket, for readiness.
        on_gone: Called once when the stream has let go of the socket, by closing or by ``release``.
    """

    def __init__(self, channel: Channel, sock: socket.socket, *, on_gone: Callable[[], None]) -> None:
        self._channel = channel
        self._released = False
        self._on_gone = on_gone
        super().__init__(sock, max_buffer_size=1024 * 1024)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read what is there; None when nothing is, or when the socket is no longer ours to read."""
        if self._released:
            return None
        try:
            return self._channel.recv_into(memoryview(buf))
        except BlockingIOError:
            return None

    def write_to_fd(self, data: memoryview) -> int:
        """Write what goes."""
        if self._channel.unsent and not self._channel.flush():
            raise BlockingIOError
        return self._channel.send(data)

    def close_fd(self) -> None:
        """Close the socket, unless it was released."""
        if not self._released:
            self._channel.close()
            self._gone()

    def _gone(self) -> None:
        on_gone, self._on_gone = self._on_gone, _nothing
        on_gone()

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """As tornado's, but a peer whose header is too large is told so before the close (RFC 6585, 5)."""
        return self._read_header(super().read_until_regex(regex, max_bytes))

    async def _read_header(self, header: Awaitable[bytes]) -> bytes:
        try:
            return await header
        except UnsatisfiableReadError:
            try:
                self._channel.send(memoryview(_TOO_LARGE))
            except OSError:  # it does not read either: then without a word
                pass
            raise

    def release(self) -> tuple[Channel, bytes]:
        """Let go of the socket: the channel, and the bytes already read from it and not yet consumed.

        Nothing may be waiting to be written. The stream is closed afterwards; the socket is not.
        """
        self._released = True
        received = bytearray()
        while True:
            piece = cast("asyncio.Future[bytes]", self.read_bytes(65536, partial=True))
            if not piece.done():
                break
            received += piece.result()
        piece.add_done_callback(lambda future: future.exception())  # closing ends this read: expected
        self.close()
        self._gone()
        return self._channel, bytes(received)


def plain(sock: socket.socket, *, on_gone: Callable[[], None]) -> ChannelStream:
    """A stream over a plain non-blocking socket."""
    return ChannelStream(SocketChannel(sock), sock, on_gone=on_gone)


def _nothing() -> None:
    return None
