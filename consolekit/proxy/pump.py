"""Proxy: what every relay shares: two channels, back-pressure, deadlines, and every way to end.

Knows no grant and no HTTP; of the bytes, only that the viewer's are websocket frames. What lies between
the two streams is a subclass's: ``Relay`` has a byte stream behind it, ``Tunnel`` another websocket.

Plain callbacks on two non-blocking channels: one read and one write a callback, one buffer that all
pumps of a thread share, no task, future or queue. What a side does not take is one piece, and the
other side is not read until it is gone; so a pump cannot buffer without bound.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import attrs

from consolekit.net.channels import Channel
from consolekit.proxy import frames
from consolekit.proxy.closecodes import AS_SAID, close_code
from consolekit.proxy.frames import Close, FrameError
from consolekit.proxy.liveness import PING, Liveness
from consolekit.proxy.side import Side
from consolekit.proxy.viewer import reason_of
from consolekit.proxy.wheel import TimerWheel

ROOM: Final = frames.HEADER_ROOM
"""Bytes in front of what the server sent, for a header."""

FROM_SERVER: Final = 192 * 1024
"""The most that is read of a server at once."""

FROM_CLIENT: Final = 128 * 1024
"""The most that is read of a viewer at once."""

SMALL: Final = 4 * 1024
"""The same where frames are tiny: of thousands of them no more is looked at at once."""

_GRACE: Final = 0.75  # seconds a side gets to take our last words
_LATE: Final = 16 * 1024 * 1024  # more than systems buffer: who still sends after that does not listen
_GONE: Final = 1006
_PING_FRAME: Final = memoryview(frames.ping())


@attrs.frozen(kw_only=True)
class RelaySettings:
    """Deadlines and limits of every relay, in seconds and bytes.

    Attributes:
        ping_seconds: Silence of the viewer after which it is asked whether it is there.
        pong_seconds: How long it may take to answer.
        stall_seconds: How long a side may take none of the bytes that wait for it.
        idle_seconds: How long the viewer may put nothing in; pings and pictures do not count. 0 is for ever.
        max_message: The most bytes of one websocket message of the viewer.
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
        self.whole = memoryview(bytearray(ROOM + FROM_SERVER))


_shared = _Buffer()


class Pump(ABC):
    """One session's bytes. ``start`` begins; ``on_end`` is called once, when both channels are closed.

    Args:
        client: The viewer's channel, after the 101.
        server: The server's channel, after its handshake.
        unread: What viewer and server sent and nobody has delivered, in the form ``_deliver`` takes.
        wheel: Ticks this pump once a second.
        settings: Deadlines and limits.
        on_end: Gets the end.
        parting: What the server's ends mean here, where they mean more: slug -> slug.

    Attributes:
        bytes_in: Payload bytes of the viewer.
        bytes_out: Payload bytes of the server.
    """

    __slots__ = (
        "_buffer",
        "_client",
        "_client_room",
        "_end",
        "_goodbye_said",
        "_late",
        "_life",
        "_loop",
        "_most_patience",
        "_on_end",
        "_parting",
        "_patience",
        "_server",
        "_server_over",
        "_server_room",
        "_timer",
        "_unacknowledged",
        "_unread",
        "_wheel",
        "bytes_in",
        "bytes_out",
    )

    FIN_MEANS: ClassVar[str]
    """How it ended where the server's stream ends without a word: a slug of ``closecodes``."""

    def __init__(
        self,
        client: Channel,
        server: Channel,
        *,
        unread: tuple[bytes, bytes],
        wheel: TimerWheel,
        settings: RelaySettings,
        on_end: Callable[[RelayEnd], None],
        parting: Mapping[str, str] = AS_SAID,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._client = Side(loop, client, self._client_readable, self._client_writable)
        self._server = Side(loop, server, self._server_readable, self._server_writable)
        self._wheel, self._on_end, self._parting = wheel, on_end, parting
        self._life = Liveness(self._client, self._server, settings, wheel.now())
        self._patience = self._most_patience = round(settings.stall_seconds / _GRACE)
        self._unread: tuple[bytes, bytes] | None = unread
        self._buffer = _shared.whole
        self._client_room, self._server_room = SMALL, ROOM + FROM_SERVER
        self._server_over: RelayEnd | None = None  # set while its last bytes are still being delivered
        self._end: RelayEnd | None = None
        self._goodbye_said = False
        self._late = self._unacknowledged = 0
        self._timer: asyncio.TimerHandle | None = None
        self.bytes_in: int = 0
        self.bytes_out: int = 0

    @property
    def last_input(self) -> float:
        """When the viewer last put something in: monotonic, to a tick."""
        return self._life.last_input

    @property
    def inputs(self) -> int:
        """How much the viewer has put in. Default: every byte of it, for want of better knowledge."""
        return self.bytes_in

    def start(self) -> None:
        """Deliver what was read before, then carry on."""
        unread, self._unread = self._unread, None
        if unread is None or self._end is not None:
            return
        self._wheel.add(self)
        self._deliver(*unread)
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
        verdict = self._life.tick(now, self.inputs, self.bytes_out)
        if verdict == PING:
            self._ask_viewer()
        elif verdict:
            self._close(RelayEnd(code=close_code(verdict), reason=verdict))

    # ---- what a subclass does with bytes

    @abstractmethod
    def _deliver(self, from_client: bytes, from_server: bytes) -> None:
        """Pass on what was read before the start."""

    @abstractmethod
    def _from_server(self, size: int) -> None:
        """Pass on that many bytes of the server; they lie in the buffer behind ``ROOM``."""

    @abstractmethod
    def _from_client(self, size: int) -> None:
        """Pass on that many bytes of the viewer; they lie at the front of the buffer."""

    def _late_from_server(self, size: int) -> None:
        """The same after the end has begun. Default: drop them."""

    def _client_freed(self) -> None:
        """Nothing waits for the viewer any more."""

    # ---- reading

    def _server_readable(self) -> None:
        server = self._server
        if not server.reading:
            return
        try:
            size = server.channel.recv_into(self._buffer[ROOM : self._server_room])
        except BlockingIOError:
            self._update()
            return
        except OSError:
            server.deaf, server.waiting = True, None
            self._server_ended("server_reset")
            return
        if not size:
            self._server_ended(self.FIN_MEANS)
            return
        if self._end is None:
            self._from_server(size)
        else:
            self._late_from_server(size)
        if server.channel.pending():
            self._loop.call_soon(self._server_readable)

    def _client_readable(self) -> None:
        client = self._client
        if not client.reading:
            return
        try:
            size = client.channel.recv_into(self._buffer[: self._client_room])
        except BlockingIOError:
            self._update()
            return
        except OSError:
            size = 0
        if self._end is not None:
            self._late += size
        if not size or self._late > _LATE:
            self._client_ended()
            return
        self._life.heard = True
        self._from_client(size)
        if client.channel.pending():
            self._loop.call_soon(self._client_readable)

    # ---- what waits

    def _ask_viewer(self) -> None:
        if not self._client.push(_PING_FRAME):
            self._update()

    def _client_writable(self) -> None:
        client = self._client
        if not client.writing or not client.flush():
            return
        self._client_freed()
        if self._end is not None:
            self._say_goodbye()
        elif self._server_over and not client.stuck:
            self._close(self._server_over)
        self._update()

    def _server_writable(self) -> None:
        server = self._server
        if not server.writing or not server.flush():
            return
        if self._end is not None:
            self._take_leave()
        self._update()

    def _update(self) -> None:
        """Watch what is to be watched now: no side is read while bytes wait for the other."""
        client, server = self._client, self._server
        client.watch(read=self._end is not None or not server.stuck, write=client.stuck)
        hears = not (client.stuck or client.deaf or self._server_over)
        server.watch(read=hears or self._drops_server(), write=server.stuck)

    def _drops_server(self) -> bool:
        """Whether nothing that the server sends goes anywhere any more."""
        return self._end is not None

    # ---- ends

    def _viewer_said(self, outcome: Close | FrameError) -> None:
        """The viewer's frames ended, in order or not."""
        if isinstance(outcome, Close):
            self._close(RelayEnd(code=outcome.code, reason="viewer_closed"), polite=True)
        else:
            slug = reason_of(outcome)
            self._close(RelayEnd(code=outcome.close_code, reason=slug, detail=outcome.why))

    def _server_ended(self, reason: str, detail: str = "") -> None:
        """The server ended; what it said before is delivered first."""
        if self._end is not None:
            self._server.close()
            self._finish()
            return
        reason = self._parting.get(reason, reason)
        self._server_over = RelayEnd(code=close_code(reason), reason=reason, detail=detail)
        if not self._client.stuck and not self._client.deaf:
            self._close(self._server_over)
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
        self._dismiss_server(polite)
        if not self._client.closed:
            self._say_goodbye()
        self._update()
        self._finish()

    def _dismiss_server(self, polite: bool) -> None:
        if not polite:
            self._server.close()
        elif not self._server.stuck:
            self._take_leave()

    def _take_leave(self) -> None:
        """Tell the server that nothing follows; nothing waits for it."""
        self._server.channel.shutdown_write()

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
        if self._server_over is None or not self._patience:
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
