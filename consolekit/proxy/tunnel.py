"""Proxy: carries frames between a viewer's websocket and a server's, as they are. Knows no grant, no HTTP.

Masks, fragments and the bounds of messages are the peers' own, and so are pings: each peer's reach the
other and are answered there. A ping of ours is answered by a viewer too, and its pong reaches the server,
which did not ask: RFC 6455, 5.5.3 lets it. Close frames alone do not pass: each side gets one of ours,
because our close codes are not a server's business, nor its codes the viewer's. Where a provider's filter is
to look at what the viewer sends, a ``Sieve`` makes the frames for the server anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from consolekit.net.channels import Channel
from consolekit.proxy import frames
from consolekit.proxy.closecodes import AS_SAID
from consolekit.proxy.frames import Close, FrameError
from consolekit.proxy.pump import FROM_CLIENT, FROM_SERVER, ROOM, SMALL, Pump, RelayEnd, RelaySettings
from consolekit.proxy.sieve import Sieve, Sift
from consolekit.proxy.tracker import Tracker
from consolekit.proxy.wheel import TimerWheel

_GOING_AWAY: Final = 1001
_IN_ORDER: Final = (frames.NORMAL, _GOING_AWAY, frames.NO_STATUS)


class Tunnel(Pump):
    """A server's websocket behind a viewer's.

    Args:
        client: The viewer's channel, after the 101.
        server: The server's channel, after its 101.
        unread: What viewer and server sent behind their handshakes, as it came.
        wheel: Ticks this tunnel once a second.
        settings: Deadlines and limits.
        on_end: Gets the end.
        parting: What the server's ends mean here, where they mean more: slug -> slug.
        sift: What the viewer's payload goes through; None: its frames pass as they are.
    """

    __slots__ = ("_down", "_sift", "_told_server", "_up")

    bytes_in: int
    bytes_out: int

    FIN_MEANS: ClassVar[str] = "server_reset"  # a websocket that is closed in order says so (RFC 6455, 7.1.4)

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
        sift: Sift | None = None,
    ) -> None:
        super().__init__(
            client, server, unread=unread, wheel=wheel, settings=settings, on_end=on_end, parting=parting
        )
        self._sift = sift
        self._up: Tracker | Sieve
        if sift is None:
            self._up = Tracker(settings.max_message, masked=True)
        else:
            self._up = Sieve(sift, settings.max_message)
        self._down = Tracker(masked=False)
        self._told_server = False

    @property
    def inputs(self) -> int:
        """What the filter counts, where there is one."""
        return self.bytes_in if self._sift is None else self._sift.inputs

    # ---- bytes

    def _deliver(self, from_client: bytes, from_server: bytes) -> None:
        self._take_up(memoryview(from_client))
        if self._end is None:
            self._take_down(memoryview(from_server))

    def _from_server(self, size: int) -> None:
        payload = self._take_down(self._buffer[ROOM : ROOM + size])
        bulk = payload >= size - (size >> 6)  # little of it was headers, so the frames are large
        self._server_room = ROOM + (FROM_SERVER if bulk else SMALL)

    def _from_client(self, size: int) -> None:
        if self._end is not None:
            return
        payload = self._take_up(self._buffer[:size])
        self._client_room = FROM_CLIENT if payload >= size - (size >> 6) else SMALL

    def _take_down(self, data: memoryview) -> int:
        """Pass frames of the server on; returns how much of them was payload."""
        down = self._down
        passed = down.feed(data)
        payload, self.bytes_out = down.payload - self.bytes_out, down.payload
        if passed and not self._client.push(passed):
            self._update()
        if down.outcome is not None:
            self._server_said(down.outcome)
        return payload

    def _take_up(self, data: memoryview) -> int:
        """Pass frames of the viewer on; returns how much of them was payload."""
        up = self._up
        passed = up.feed(data)
        payload, self.bytes_in = up.payload - self.bytes_in, up.payload
        if passed and not self._server.push(passed):
            self._update()
        if up.outcome is not None:
            self._viewer_said(up.outcome)
        return payload

    def _ask_viewer(self) -> None:
        if self._down.between:
            super()._ask_viewer()
        else:
            self._life.retract()

    # ---- ends

    def _server_said(self, outcome: Close | FrameError) -> None:
        """The server's frames ended, in order or not."""
        if isinstance(outcome, FrameError):
            self._server_ended("server_protocol_error", outcome.why)
        elif outcome.code in _IN_ORDER:
            self._server_ended("server_closed")
        else:
            self._server_ended("server_reset", f"the server closed with code {outcome.code}")

    def _server_ended(self, reason: str, detail: str = "") -> None:
        """Unlike a byte stream's end this leaves nothing to be said to the server: it is closed at once."""
        server = self._server
        self._take_leave()
        server.close()
        server.deaf = True
        super()._server_ended(reason, detail)
        if self._end is not None and not self._client.closed:
            self._say_goodbye()

    def _dismiss_server(self, polite: bool) -> None:
        if self._server.stuck and not polite and self._down.between:
            self._server.close()
        else:
            self._take_leave()

    def _take_leave(self) -> None:
        """Our close frame, where one may follow what was sent; FIN, once no frame is under way from there."""
        server = self._server
        if server.closed or server.stuck:
            return
        if not self._told_server:
            self._told_server = True
            if self._up.between:
                goodbye = frames.close(self._code_for_server())
                server.push(memoryview(frames.masked(goodbye, secrets.token_bytes(4))))
        if not server.stuck and self._down.between:
            server.channel.shutdown_write()

    def _code_for_server(self) -> int:
        """Its own code comes back to it, or it gets the viewer's; what else ended the session is ours."""
        for outcome in (self._down.outcome, self._up.outcome):
            if isinstance(outcome, Close):
                return outcome.code
        failure = self._down.outcome
        return failure.close_code if isinstance(failure, FrameError) else _GOING_AWAY

    def _late_from_server(self, size: int) -> None:
        """Let a frame that is under way come to its end: nothing of ours can be said inside of it."""
        if self._drops_server():
            return
        passed = self._down.finish(self._buffer[ROOM : ROOM + size])
        self.bytes_out = self._down.payload
        self._client.push(passed)
        if self._down.between:
            self._take_leave()
            self._say_goodbye()
        self._update()

    def _drops_server(self) -> bool:
        client = self._client
        return self._end is not None and (self._down.between or client.deaf or client.closed)

    def _say_goodbye(self) -> None:
        """As ever, but not inside of a frame: while it may still come to its end, this waits."""
        if not self._down.between:
            if not self._server.closed:
                return
            self._goodbye_said = True  # nothing of ours can follow: the viewer sees the connection end
        super()._say_goodbye()
