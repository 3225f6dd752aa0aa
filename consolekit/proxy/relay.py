"""Proxy: carries bytes between a viewer's websocket and a server's byte stream. Knows no grant, no HTTP.

Plain callbacks on two non-blocking channels: one read and one write a callback, one buffer that all
relays of a thread share, no task, future or queue. What a side does not take is one piece, and the
other side is not read until it is gone; so a relay cannot buffer without bound.

``_from_server`` and ``_from_client`` are the only methods that know what lies between the two streams;
a relay between two websockets would differ in these.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import attrs

from consolekit.net.channels import Channel
from consolekit.proxy import frames
from consolekit.proxy.closecodes import close_code
from consolekit.proxy.frames import Close, Decoder
from consolekit.proxy.liveness import PING, Liveness
from consolekit.proxy.side import Side
from consolekit.proxy.viewer import reason_of
from consolekit.proxy.wheel import TimerWheel

_FROM_SERVER: Final = 192 * 1024
_FROM_CLIENT: Final = 128 * 1024
_FROM_CLIENT_SMALL: Final = 16 * 1024  # of thousands of tiny frames no more is unpacked at once
_GRACE: Final = 0.75  # seconds a side gets to take our last words
_GONE: Final = 1006
_ROOM: Final = frames.HEADER_ROOM
_PING_FRAME: Final = memoryview(frames.ping())


@attrs.frozen(kw_only=True)
class RelaySettings:
    """Deadlines and limits of every relay, in seconds and bytes.

    Attributes:
        ping_seconds: Silence of the viewer after which it is asked whether it is there.
        pong_seconds: How long it may take to answer.
        stall_seconds: How long a side may take none of the bytes that wait for it.
        idle_seconds: How long the viewer may send nothing of its own; pings do not count. 0 is for ever.
        max_message: The most bytes of one websocket message.
    """

    ping_seconds: float = 15.0
    pong_seconds: float = 15.0
    stall_seconds: float = 60.0
    idle_seconds: float = 0.0
    max_message: int = frames.MAX_MESSAGE


@attrs.frozen(kw_only=True)
class RelayEnd:
    """How a relay ended.

    Attributes:
        code: The close code the viewer got, or gave, or would have got.
        reason: Slug of ``closecodes``.
        detail: For the log: what exactly was wrong; often empty.
    """

    code: int
    reason: str
    detail: str = ""


class _Buffer(threading.local):
    """Where bytes land on their way through; one per thread, because nothing stays in it."""

    def __init__(self) -> None:
        self.whole = memoryview(bytearray(_ROOM + _FROM_SERVER))


_shared = _Buffer()


class Relay:
    """One session's bytes. ``start`` begins; ``on_end`` is called once, when both channels are closed.

    Args:
        client: The viewer's channel, after the 101.
        server: The server's channel, after its handshake.
        decoder: Has read the viewer's frames so far.
        client_payload: What the viewer sent and nobody has read.
        server_bytes: What the server sent and nobody has read.
        wheel: Ticks this relay once a second.
        settings: Deadlines and limits.
        on_end: Gets the end.

    Attributes:
        bytes_in: Payload bytes of the viewer.
        bytes_out: Bytes of the server.
    """

    __slots__ = (
        "_buffer",
        "_client",
        "_decoder",
        "_end",
        "_goodbye_said",
        "_life",
        "_loop",
        "_most_patience",
        "_on_end",
        "_patience",
        "_room",
        "_server",
        "_server_over",
        "_timer",
        "_unacknowledged",
        "_unread",
        "_wheel",
        "bytes_in",
        "bytes_out",
    )

    def __init__(
        self,
        client: Channel,
        server: Channel,
        *,
        decoder: Decoder,
        client_payload: bytes,
        server_bytes: bytes,
        wheel: TimerWheel,
        settings: RelaySettings,
        on_end: Callable[[RelayEnd], None],
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._client = Side(loop, client, self._client_readable, self._client_writable)
        self._server = Side(loop, server, self._server_readable, self._server_writable)
        self._decoder, self._wheel, self._on_end = decoder, wheel, on_end
        self._life = Liveness(self._client, self._server, settings, wheel.now())
        self._patience = self._most_patience = round(settings.stall_seconds / _GRACE)
        self._unread: tuple[bytes, bytes] | None = (client_payload, server_bytes)
        self._buffer = _shared.whole
        self._room = _FROM_CLIENT_SMALL
        self._server_over = ""  # how the server ended, while its last bytes are still being delivered
        self._end: RelayEnd | None = None
        self._goodbye_said = False
        self._unacknowledged = 0
        self._timer: asyncio.TimerHandle | None = None
        self.bytes_in = self.bytes_out = 0

    @property
    def last_input(self) -> float:
        """When the viewer last sent something of its own: monotonic, to a tick."""
        return self._life.last_input

    def start(self) -> None:
        """Deliver what was read before, then carry on."""
        unread, self._unread = self._unread, None
        if unread is None or self._end is not None:
            return
        self._wheel.add(self)
        payload, server_bytes = unread
        if payload:
            self.bytes_in += len(payload)
            self._server.push(memoryview(payload))
        if server_bytes:
            self.bytes_out += len(server_bytes)
            self._client.push(memoryview(frames.binary(server_bytes)))
        self._heed_control()
        self._update()

    def end(self, code: int, reason: str) -> None:
        """End it from outside: at most a moment for the viewer to be told, then both sides are closed.

        Args:
            code: Close code for the viewer.
            reason: Slug of ``closecodes``.
        """
        self._patience = 0
        self._close(RelayEnd(code=code, reason=reason))

    def on_tick(self, now: float) -> None:
        """Called by the wheel."""
        verdict = self._life.tick(now, self.bytes_in, self.bytes_out)
        if verdict == PING:
            if not self._client.push(_PING_FRAME):
                self._update()
        elif verdict:
            self._close(RelayEnd(code=close_code(verdict), reason=verdict))

    # ---- bytes

    def _server_readable(self) -> None:
        server = self._server
        if not server.reading:
            return
        try:
            size = server.channel.recv_into(self._buffer[_ROOM:])
        except BlockingIOError:
            self._update()
            return
        except OSError:
            server.deaf, server.waiting = True, None
            self._server_ended("server_reset")
            return
        if not size:
            self._server_ended("server_closed")
            return
        if self._end is None:
            self._from_server(size)
        if server.channel.pending():
            self._loop.call_soon(self._server_readable)

    def _from_server(self, size: int) -> None:
        """Send bytes of the server on, as one message, with its header packed in front of them."""
        self.bytes_out += size
        header = frames.binary_header(size)
        start = _ROOM - len(header)
        self._buffer[start:_ROOM] = header
        if not self._client.push(self._buffer[start : _ROOM + size]):
            self._update()

    def _client_readable(self) -> None:
        client = self._client
        if not client.reading:
            return
        try:
            size = client.channel.recv_into(self._buffer[: self._room])
        except BlockingIOError:
            self._update()
            return
        except OSError:
            size = 0
        if not size:
            self._client_ended()
            return
        self._life.heard = True
        self._from_client(size)
        if client.channel.pending():
            self._loop.call_soon(self._client_readable)

    def _from_client(self, size: int) -> None:
        """Send the payload of the viewer's frames on."""
        payload = self._decoder.feed(self._buffer, size)
        bulk = payload >= size - (size >> 6)  # little of it was headers, so the frames are large
        self._room = _FROM_CLIENT if bulk else _FROM_CLIENT_SMALL
        if self._end is not None:
            return
        if payload:
            self.bytes_in += payload
            if not self._server.push(self._buffer[:payload]):
                self._update()
        self._heed_control()

    def _heed_control(self) -> None:
        """Answer a ping, if one is to be answered; end, if the viewer ended or failed."""
        decoder = self._decoder
        if decoder.pong is not None:
            self._answer_ping()
        outcome = decoder.outcome
        if outcome is None:
            return
        if isinstance(outcome, Close):
            self._close(RelayEnd(code=outcome.code, reason="viewer_closed"), polite=True)
        else:
            slug = reason_of(outcome)
            self._close(RelayEnd(code=outcome.close_code, reason=slug, detail=outcome.why))

    def _answer_ping(self) -> None:
        """Answer the newest ping, once nothing waits before it."""
        payload = self._decoder.pong
        if payload is not None and not self._client.stuck:
            self._decoder.pong = None
            if not self._client.push(memoryview(frames.pong(payload))):
                self._update()

    # ---- what waits

    def _client_writable(self) -> None:
        client = self._client
        if not client.writing or not client.flush():
            return
        self._answer_ping()
        if self._end is not None:
            self._say_goodbye()
        elif self._server_over and not client.stuck:
            self._close(RelayEnd(code=close_code(self._server_over), reason=self._server_over))
        self._update()

    def _server_writable(self) -> None:
        server = self._server
        if not server.writing or not server.flush():
            return
        if self._end is not None:
            server.channel.shutdown_write()
        self._update()

    def _update(self) -> None:
        """Watch what is to be watched now: no side is read while bytes wait for the other."""
        client, server, ending = self._client, self._server, self._end is not None
        client.watch(read=ending or not server.stuck, write=client.stuck)
        hears = not (client.stuck or client.deaf or self._server_over)
        server.watch(read=ending or hears, write=server.stuck)

    # ---- ends

    def _server_ended(self, reason: str) -> None:
        """The server ended; what it said before is delivered first."""
        if self._end is not None:
            self._server.close()
            self._finish()
            return
        self._server_over = reason
        if not self._client.stuck and not self._client.deaf:
            self._close(RelayEnd(code=close_code(reason), reason=reason))
        self._update()

    def _client_ended(self) -> None:
        """The viewer's connection ended, with or without a word before."""
        self._client.close()
        self._close(RelayEnd(code=_GONE, reason="viewer_gone"), polite=True)
        self._finish()

    def _close(self, end: RelayEnd, *, polite: bool = False) -> None:
        """Begin to end; the first reason stays.

        Args:
            end: Why.
            polite: Let the server take what waits for it and see our FIN, as after a viewer's own goodbye.
        """
        if self._end is not None:
            return
        self._end, self._unread = end, None
        self._wheel.discard(self)
        self._timer = self._loop.call_later(_GRACE, self._grace_over)
        if not polite:
            self._server.close()
        elif not self._server.stuck:
            self._server.channel.shutdown_write()
        if not self._client.closed:
            self._say_goodbye()
        self._update()
        self._finish()

    def _say_goodbye(self) -> None:
        """Send the close frame as soon as nothing waits before it, then FIN; the viewer closes then."""
        client, end = self._client, self._end
        if end is None or client.stuck:
            return
        if not self._goodbye_said:
            self._goodbye_said = True
            if end.code == frames.NO_STATUS or frames.may_be_sent(end.code):
                client.push(memoryview(frames.close(end.code, end.reason)))
        if not client.stuck:
            client.channel.shutdown_write()

    def _grace_over(self) -> None:
        """Close what is still open, unless a server's last bytes are still on their way to the viewer."""
        if not self._client.closed and self._still_taking():
            self._timer = self._loop.call_later(_GRACE, self._grace_over)
            return
        self._client.close()
        self._server.close()
        self._finish()

    def _still_taking(self) -> bool:
        """Whether to wait on, while the viewer is taking what the server said before it ended."""
        if not self._server_over or not self._patience:
            return False
        before, self._unacknowledged = self._unacknowledged, self._client.channel.unacknowledged()
        if not self._unacknowledged and not self._client.stuck:
            return False
        moved = self._unacknowledged != before
        self._patience = self._most_patience if moved else self._patience - 1
        return True

    def _finish(self) -> None:
        """Tell the end, once both sides are closed."""
        if self._timer is None or not (self._client.closed and self._server.closed):
            return
        self._timer.cancel()
        self._timer = None
        assert self._end is not None  # noqa: S101 - the timer runs since there is an end
        self._on_end(self._end)
