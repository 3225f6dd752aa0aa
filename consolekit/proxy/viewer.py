"""Proxy: the browser's side between the 101 and the relay: bytes for a handshake script, in frames.

Knows websocket frames and channels; knows no handshake and no server.
"""

from __future__ import annotations

import contextlib

from consolekit.core.errors import PeerError
from consolekit.net.channels import Channel, receive, send_all
from consolekit.net.linger import Linger
from consolekit.proxy import frames
from consolekit.proxy.frames import Close, Decoder, FrameError

_READ = 16 * 1024

_SLUGS = {
    frames.UNSUPPORTED_DATA: "unsupported_data",
    frames.TOO_BIG: "message_too_big",
    frames.PROTOCOL_ERROR: "protocol_error",
    frames.INTERNAL: "internal",
    frames.VIEWER_REFUSED: "viewer_refused",
}


class ViewerClosed(PeerError):
    """The viewer went away, or broke the protocol, before the relay began.

    Attributes:
        reason: Slug of ``closecodes``.
        close_code: What the viewer gave, 1006 where it gave nothing, or what its error is answered with.
    """

    close_code: int
    reason: str

    code = "viewer_closed"
    title = "The viewer closed the connection."

    def __init__(self, reason: str, close_code: int) -> None:
        self.reason, self.close_code = reason, close_code
        super().__init__(f"the viewer ended the connection: {reason}")


def reason_of(outcome: Close | FrameError) -> str:
    """The slug of how a stream of frames ended."""
    return "viewer_closed" if isinstance(outcome, Close) else _SLUGS[outcome.close_code]


class ViewerStream:
    """Reads payload, writes binary messages, answers pings.

    Args:
        channel: The established connection; the 101 has been sent.
        received: What came with or behind the HTTP request.
        max_message: The most bytes of one message.

    Attributes:
        channel: As given.
    """

    def __init__(self, channel: Channel, received: bytes, *, max_message: int = frames.MAX_MESSAGE) -> None:
        self.channel = channel
        self._decoder = Decoder(max_message)
        self._payload = b""
        self._received = received  # not decoded before somebody wants payload

    async def read(self, size: int) -> bytes:
        """Wait for payload: at most ``size`` bytes, at least one.

        Raises:
            ViewerClosed: the viewer closed, broke the protocol or vanished, and all before it was read.
            OSError: the connection broke.
        """
        self._decode_received()
        while True:
            await self._answer_ping()
            if self._payload:
                data, self._payload = self._payload[:size], self._payload[size:]
                return data
            outcome = self._decoder.outcome
            if outcome is not None:
                code = outcome.code if isinstance(outcome, Close) else outcome.close_code
                raise ViewerClosed(reason_of(outcome), code)
            raw = await receive(self.channel, _READ)
            if not raw:
                raise ViewerClosed("viewer_gone", 1006)
            self._decode(bytearray(raw))

    async def write(self, data: bytes) -> None:
        """Send a binary message.

        Raises:
            OSError: the connection broke.
        """
        await send_all(self.channel, frames.binary(data))

    def hand_over(self) -> tuple[Decoder, bytes]:
        """The decoder as it is now, and payload that nobody has read: the relay's, both."""
        self._decode_received()
        payload, self._payload = self._payload, b""
        return self._decoder, payload

    def take_raw(self) -> bytes:
        """What came behind the request, as it came, for who relays frames; only if nothing was read."""
        raw, self._received = self._received, b""
        return raw

    def close(self, code: int, reason: str = "") -> None:
        """Say why, give the viewer a moment to take it, close; returns at once.

        A code that may not be sent (1006) says nothing.
        """
        with contextlib.suppress(OSError):
            if code == frames.NO_STATUS or frames.may_be_sent(code):
                self.channel.send(memoryview(frames.close(code, reason)))
            Linger(self.channel, _nothing)
            return
        self.channel.close()

    async def _answer_ping(self) -> None:
        if self._decoder.pong is not None:
            payload, self._decoder.pong = self._decoder.pong, None
            await send_all(self.channel, frames.pong(payload))

    def _decode_received(self) -> None:
        received, self._received = self._received, b""
        if received:
            self._decode(bytearray(received))

    def _decode(self, raw: bytearray) -> None:
        size = self._decoder.feed(memoryview(raw), len(raw))
        self._payload += bytes(raw[:size])


def _nothing() -> None:
    return None
