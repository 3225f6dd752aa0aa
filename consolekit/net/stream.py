"""Net: tornado's stream over a channel, so that HTTP can be parsed first and the socket taken over later.

Knows nothing of what the bytes mean, but for what tornado's HTTP leaves out: the answer 431, whole answers
400, line ends that are none, and a peer that does not read.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import cast

from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from consolekit.net.channels import Channel
from consolekit.net.linger import Linger

_TORNADOS_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_NO_METHOD = rb"\A[^A-Za-z\r\n]"  # TLS, HTTP/2 of another kind, noise: no request begins like that
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_READ_AHEAD = 64 * 1024

_ErrorInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def _refusal(status: str) -> bytes:
    """A whole answer for a peer whose request has no handler to refuse it."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    ).encode()


_BAD_REQUEST = _refusal("400 Bad Request")
_TOO_LARGE = _refusal("431 Request Header Fields Too Large")


class ChannelStream(IOStream):
    """An IOStream whose bytes go through a ``Channel`` (plain or TLS).

    Args:
        channel: An established channel on ``sock``.
        sock: The raw non-blocking socket, for readiness.
        seconds: How long the peer may take for a request's header, and how long it may take nothing of what
            waits for it, before it is closed.
        on_gone: Called once when the stream has let go of the socket, by closing or by ``release``.
        on_idle: Called with True when it has been answered and waits for another request, with False when
            that has come whole, or will not come; see ``idle`` for what has come in part.

    Attributes:
        requests: How many requests' headers have come.
        lingering: What closes the socket after a refusal; None before, and where none was needed.
    """

    def __init__(
        self,
        channel: Channel,
        sock: socket.socket,
        *,
        seconds: float,
        on_gone: Callable[[], None],
        on_idle: Callable[[bool], None] | None = None,
    ) -> None:
        self._channel = channel
        self._seconds = seconds
        self._on_gone = on_gone
        self._on_idle = on_idle or _nothing
        self._released = self._refused = self._in_header = self._held_back = False
        self._impatience: asyncio.TimerHandle | None = None
        self.requests: int = 0
        self.lingering: Linger | None = None
        super().__init__(sock, max_buffer_size=1024 * 1024)

    # ---- bytes

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read what is there; None when nothing is, or when the socket is no longer ours to read."""
        if self._released:
            return None
        try:
            return self._channel.recv_into(memoryview(buf))
        except BlockingIOError:
            return None

    def write_to_fd(self, data: memoryview) -> int:
        """Write what goes.

        The channel may have taken bytes and still hold them (TLS records that the socket did not take), and
        only writing again moves those. So one byte counts as unwritten until they have gone.
        """
        if self._channel.unsent and not self._channel.flush():
            raise BlockingIOError
        if self._held_back:
            self._held_back = False
            return 1
        count = self._channel.send(data)
        if self._channel.unsent:
            self._held_back = True
            count -= 1
        return count

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """As tornado's; a peer that then reads nothing is not waited for without end."""
        if data == _TORNADOS_400:
            self._refused = True
            data = _BAD_REQUEST
        written: asyncio.Future[None] = super().write(data)
        if self.writing() and self._impatience is None:
            self._be_impatient()
        return written

    def _be_impatient(self) -> None:
        # What the peer acknowledges counts too: the system asks for more only in large steps.
        state = self._total_write_done_index, self._channel.unacknowledged()
        loop = asyncio.get_running_loop()
        self._impatience = loop.call_later(self._seconds, self._check_progress, state)

    def _check_progress(self, before: tuple[int, int]) -> None:
        self._impatience = None
        if self.closed() or not self.writing():
            return
        if (self._total_write_done_index, self._channel.unacknowledged()) == before:
            self.close()
            return
        self._be_impatient()

    def set_nodelay(self, value: bool) -> None:
        """Small writes always go at once; tornado would switch that off between two requests."""

    # ---- what tornado's HTTP leaves out

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read a request's header: as tornado's, and refuse what no request begins like, and bare CR or LF.

        A bare LF is a line end for some and none for others, which is how requests are smuggled past a
        front end (RFC 9112, 2.2 and 11.2).
        """
        self._in_header = True
        return self._read_header(super().read_until_regex(regex + rb"|" + _NO_METHOD, max_bytes))

    async def _read_header(self, header: Awaitable[bytes]) -> bytes:
        # Tornado's own deadline takes a task and three futures more
        deadline = asyncio.get_running_loop().call_later(self._seconds, self.close)
        waits = self.requests > 0 and self.reading()
        if waits:
            self._on_idle(True)
        try:
            data = await header
        finally:
            deadline.cancel()
            if waits:
                self._on_idle(False)
        self._in_header = False
        self.requests += 1
        if _BARE_LINE_END.search(data):
            self._refused = True
            self.write(_BAD_REQUEST)
            self.close()
            raise StreamClosedError
        return data

    def close(self, exc_info: bool | BaseException | _ErrorInfo | None = False) -> None:
        """As tornado's, but a peer whose header is too large is told so before (RFC 6585, 5)."""
        if isinstance(exc_info, UnsatisfiableReadError) and not self.closed():
            self._refused = True
            self.write(_TOO_LARGE if self._in_header else _BAD_REQUEST)
        super().close(exc_info)

    def refuse(self) -> None:
        """Say that the answer is a refusal of what may not have been read: the close will linger."""
        self._refused = True

    # ---- letting go

    @property
    def idle(self) -> bool:
        """Whether it has been answered and nothing of another request has come.

        Half a TLS record goes unseen, like bytes that are still under way.
        """
        if not self._in_header or not self.requests or self.closed():
            return False
        if self._read_buffer_size or not self.reading():  # a part has come, or just now the whole
            return False
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close_fd(self) -> None:
        """Close the socket, unless it was released."""
        if self._impatience is not None:
            self._impatience.cancel()
        if self._released:
            return
        if self._refused:
            self.lingering = Linger(self._channel, self._gone)
            return
        self._channel.close()
        self._gone()

    def _gone(self) -> None:
        on_gone, self._on_gone, self._on_idle = self._on_gone, _nothing, _nothing
        on_gone()

    def release(self) -> tuple[Channel, bytes]:
        """Let go of the socket: the channel, and the bytes already read from it and not yet consumed.

        Nothing may be waiting to be written. The stream is closed afterwards; the socket is not.

        Raises:
            StreamClosedError: the peer is gone already.
        """
        if self.closed():
            raise StreamClosedError
        self._released = True
        received = bytearray()
        while True:
            piece = cast("asyncio.Future[bytes]", self.read_bytes(_READ_AHEAD, partial=True))
            if not piece.done():
                break
            received += piece.result()
        piece.add_done_callback(lambda future: future.exception())  # closing ends this read: expected
        self.close()
        self._gone()
        return self._channel, bytes(received)


def _nothing(*_: object) -> None:
    return None
