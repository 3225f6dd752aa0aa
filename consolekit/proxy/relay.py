"""Proxy: carries bytes between a viewer's websocket and a server's byte stream. Knows no grant, no HTTP.

What the server sends becomes one message a read; the payload of the viewer's frames goes to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from consolekit.net.channels import Channel
from consolekit.proxy import frames
from consolekit.proxy.closecodes import AS_SAID
from consolekit.proxy.frames import Decoder
from consolekit.proxy.pump import FROM_CLIENT, ROOM, SMALL, Pump, RelayEnd, RelaySettings
from consolekit.proxy.sieve import Sift
from consolekit.proxy.wheel import TimerWheel

__all__ = ["Relay", "RelayEnd", "RelaySettings", "SiftedRelay"]


class Relay(Pump):
    """A byte stream behind a viewer's websocket.

    Args:
        client: The viewer's channel, after the 101.
        server: The server's channel, after its handshake.
        decoder: Has read the viewer's frames so far.
        client_payload: What the viewer sent and nobody has read.
        server_bytes: What the server sent and nobody has read.
        wheel: Ticks this relay once a second.
        settings: Deadlines and limits.
        on_end: Gets the end.
        parting: What the server's ends mean here, where they mean more: slug -> slug.
    """

    __slots__ = ("_decoder",)

    bytes_in: int
    bytes_out: int

    FIN_MEANS: ClassVar[str] = "server_closed"

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
        parting: Mapping[str, str] = AS_SAID,
    ) -> None:
        unread = (client_payload, server_bytes)
        super().__init__(
            client, server, unread=unread, wheel=wheel, settings=settings, on_end=on_end, parting=parting
        )
        self._decoder = decoder

    def _deliver(self, from_client: bytes, from_server: bytes) -> None:
        if from_client:
            self.bytes_in += len(from_client)
            self._server.push(memoryview(from_client))
        if from_server:
            self.bytes_out += len(from_server)
            self._client.push(memoryview(frames.binary(from_server)))
        self._heed_control()

    def _from_server(self, size: int) -> None:
        """Send bytes of the server on, as one message, with its header packed in front of them."""
        self.bytes_out += size
        header = frames.binary_header(size)
        start = ROOM - len(header)
        self._buffer[start:ROOM] = header
        if not self._client.push(self._buffer[start : ROOM + size]):
            self._update()

    def _from_client(self, size: int) -> None:
        """Send the payload of the viewer's frames on."""
        payload = self._decoder.feed(self._buffer, size)
        bulk = payload >= size - (size >> 6)  # little of it was headers, so the frames are large
        self._client_room = FROM_CLIENT if bulk else SMALL
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
            self._client_freed()
        if decoder.outcome is not None:
            self._viewer_said(decoder.outcome)

    def _client_freed(self) -> None:
        """Answer the newest ping, once nothing waits before it."""
        payload = self._decoder.pong
        if payload is not None and not self._client.stuck:
            self._decoder.pong = None
            if not self._client.push(memoryview(frames.pong(payload))):
                self._update()


class SiftedRelay(Relay):
    """The same with a provider's filter in the viewer's direction; another class, so that others pay nothing.

    Args:
        sift: What the viewer's payload goes through.
        more: As for ``Relay``.
    """

    __slots__ = ("_sift",)

    bytes_in: int

    def __init__(self, client: Channel, server: Channel, *, sift: Sift, **more: Any) -> None:
        super().__init__(client, server, **more)
        self._sift = sift

    @property
    def inputs(self) -> int:
        """What the filter counts."""
        return self._sift.inputs

    def _deliver(self, from_client: bytes, from_server: bytes) -> None:
        self._pass_on(from_client)
        if self._end is None:
            super()._deliver(b"", from_server)

    def _from_client(self, size: int) -> None:
        payload = self._decoder.feed(self._buffer, size)
        if self._end is None:
            self._pass_on(bytes(self._buffer[:payload]))
            self._heed_control()

    def _pass_on(self, payload: bytes) -> None:
        if not payload:
            return
        self.bytes_in += len(payload)
        passed = self._sift.feed(payload)
        if passed and not self._server.push(memoryview(passed)):
            self._update()
        if self._sift.failure is not None:
            self._viewer_said(self._sift.failure)
