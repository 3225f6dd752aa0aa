"""Proxy: puts a provider's filter between a viewer and its server. Knows no socket, no loop, no console.

``Sift`` is the filter with its failures caught. ``Sieve`` is what a ``Tunnel`` has in its ``Tracker``'s
place: it takes frames apart, because what lies in them is looked at, and makes new ones of what may go on.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import ClassVar, Final

from consolekit.core.errors import ViewerRefused
from consolekit.core.provider import ViewerFilter
from consolekit.proxy import frames
from consolekit.proxy.frames import FrameError, FrameHeaders, read_close

_log = logging.getLogger(__name__)
_CLOSE, _PING, _CONTROL = 0x8, 0x9, 0x08
_KEY_SIZE: Final = 4


class Sift:
    """A provider's filter that never raises.

    Args:
        viewer_filter: As the provider gave it, for this viewer alone.

    Attributes:
        inputs: How much the viewer has put in, as the filter counts it.
        failure: How the filter ended the stream, None while it goes on. Nothing passes after it.
    """

    __slots__ = ("_filter", "failure", "inputs")

    def __init__(self, viewer_filter: ViewerFilter) -> None:
        self._filter = viewer_filter
        self.inputs: int = 0
        self.failure: FrameError | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what the viewer sent; give what may go on. Look at ``failure`` afterwards."""
        if self.failure is not None:
            return b""
        try:
            passed = self._filter.feed(data)
            self.inputs = self._filter.inputs
        except ViewerRefused as exc:
            self.failure = FrameError(frames.VIEWER_REFUSED, str(exc))
        except Exception as exc:
            _log.exception("a provider's viewer filter raised what its contract does not allow")
            self.failure = FrameError(frames.INTERNAL, f"the viewer filter failed: {type(exc).__name__}")
        else:
            return passed
        return b""


class Sieve(FrameHeaders):
    """A viewer's frames in, frames for the server out. One per connection, for its whole life.

    The bounds of messages are not kept: what is filtered is a stream. Pings and pongs pass, in their places;
    a close frame does not (see ``Tunnel``). Of what came it keeps an unfinished header or control frame.

    Args:
        sift: What payload goes through.
        max_message: The most bytes of one message, fragments added up.
        make_key: Gives so many bytes that nobody can foresee, for the masks (RFC 6455, 10.3).

    Attributes:
        payload: Bytes of messages that came so far, without headers and control frames.
    """

    __slots__ = ("_make_key", "_out", "_plain", "_sift", "payload")

    between: ClassVar[bool] = True
    """What was passed on always ends with a whole frame."""

    def __init__(
        self, sift: Sift, max_message: int, *, make_key: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        super().__init__(max_message, masked=True)
        self._sift, self._make_key = sift, make_key
        self._plain = bytearray()  # payload since the last frame of ours
        self._out = bytearray()
        self.payload: int = 0

    def feed(self, data: memoryview) -> memoryview:
        """Take what came; never raises: look at ``outcome`` afterwards.

        Returns:
            What is to be sent to the server.
        """
        at, size = 0, len(data)
        while at < size and self.outcome is None:
            if not self._left:
                at = self._read_header(data, at, size)
                continue
            part = bytes(data[at : at + self._left])
            at += len(part)
            self._take(frames.unmask(self._mask, part))
        self._pass_on()
        out, self._out = memoryview(self._out), bytearray()
        return out

    def _take(self, part: bytes) -> None:
        """Take unmasked payload of the present frame."""
        self._left -= len(part)
        turn = len(part) % _KEY_SIZE
        self._mask = self._mask[turn:] + self._mask[:turn]
        if not self._opcode & _CONTROL:
            self._plain += part
            self.payload += len(part)
            return
        self._control += part
        if not self._left:
            self._end_control()

    def _pass_on(self) -> None:
        """Make a frame of what the filter lets through."""
        plain, self._plain = bytes(self._plain), bytearray()
        passed = self._sift.feed(plain) if plain else b""
        if passed:
            self._out += frames.masked_binary(passed, self._make_key(_KEY_SIZE))
        if self._sift.failure is not None:
            self._ended(self._sift.failure)

    def _end_control(self) -> None:
        payload, self._control = self._control, b""
        self._pass_on()
        if self.outcome is not None:
            return
        if self._opcode == _CLOSE:
            self._ended(read_close(payload))
            return
        frame = frames.ping(payload) if self._opcode == _PING else frames.pong(payload)
        self._out += frames.masked(frame, self._make_key(_KEY_SIZE))
